import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect as tcpConnect } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { projectRoot } from '../support/project.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import {
  certificateFiles,
  mayflyHosted,
  run,
  type Serving,
  serve,
  sharedServer,
  status,
  temporaryFolder,
} from './support.ts';

const demo = join(projectRoot, 'demo');
const server = sharedServer(['--root', demo]);

function curl(serving: Serving, path: string, ...flags: string[]) {
  return run(requireTool('curl'), [
    '-s',
    '--max-time',
    '10',
    '--cacert',
    serving.ca,
    ...flags,
    `${serving.url}${path}`,
  ]);
}

test('the development CA is kept for its owner alone, and the same one serves again', async (t) => {
  const state = temporaryFolder(t);
  const out = join(state, 'out.pem');
  const first = await serve(t, ['--root', demo, '--ca-out', out]);
  const folder = dirname(first.ca);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  assert.equal(statSync(first.ca).mode & 0o777, 0o600);
  assert.equal(statSync(join(folder, 'ca-key.pem')).mode & 0o777, 0o600);
  const pem = readFileSync(first.ca, 'utf8');
  assert.match(pem, /^-----BEGIN CERTIFICATE-----/);
  assert.equal(readFileSync(out, 'utf8'), pem);
  assert.doesNotMatch(readFileSync(out, 'utf8'), /PRIVATE KEY/);
  await first.stop();
  const again = await mayflyHosted(['serve', '--json', '--listen', '192.0.2.1:0', '--no-status'], {
    XDG_STATE_HOME: dirname(folder),
  });
  assert.doesNotMatch(again.stdout, /warning/);
  assert.equal(readFileSync(first.ca, 'utf8'), pem);
});

describe('a served folder', skipUnless('curl'), () => {
  test('is served over HTTP/1.1 and HTTP/2, on 127.0.0.1 and on ::1, under one port', async () => {
    const serving = await server();
    const wing = statSync(join(demo, 'images', 'wing.png')).size;
    for (const [flags, version] of [
      [['--http1.1'], '1.1'],
      [['--http2'], '2'],
      [['-4'], '2'],
      [['-6'], '2'],
    ] as const) {
      const form = '%{http_version} %{http_code} %{size_download} %{content_type}';
      const { stdout, code, stderr } = await curl(serving, '/images/wing.png', ...flags, '-o', '/dev/null', '-w', form);
      assert.equal(code, 0, stderr);
      assert.equal(stdout, `${version} 200 ${wing} image/png`);
    }
  });

  test('answers HEAD, ranges and conditional requests', async () => {
    const serving = await server();
    for (const flag of ['--http1.1', '--http2']) {
      const head = await curl(serving, '/', flag, '-I');
      assert.match(head.stdout, /^HTTP\/(1\.1|2) 200/);
      assert.match(head.stdout, /content-type: text\/html; charset=utf-8/i);
      const etag = /etag: (.*)\r/i.exec(head.stdout)?.[1] ?? '';
      assert.notEqual(etag, '');
      const unchanged = await curl(serving, '/', flag, '-H', `If-None-Match: ${etag}`, '-w', '%{http_code}');
      assert.equal(unchanged.stdout, '304');
      const range = await curl(serving, '/index.html', flag, '-r', '0-14', '-w', ' %{http_code}');
      assert.equal(range.stdout, '<!doctype html> 206');
      const beyond = await curl(
        serving,
        '/index.html',
        flag,
        '-r',
        '9999999-',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
      );
      assert.equal(beyond.stdout, '416');
      const post = await curl(serving, '/', flag, '-X', 'POST', '-d', 'x', '-w', ' %{http_code}');
      assert.match(post.stdout, /405$/);
    }
  });

  test('never gives out what lies outside, nor hidden files', async (t) => {
    const folder = temporaryFolder(t);
    const { mkdirSync } = await import('node:fs');
    mkdirSync(join(folder, 'root', '.git'), { recursive: true });
    writeFileSync(join(folder, 'root', 'index.html'), 'inside');
    writeFileSync(join(folder, 'root', '.git', 'config'), 'hidden');
    writeFileSync(join(folder, 'secret'), 'outside');
    const serving = await serve(t, ['--root', join(folder, 'root')]);
    for (const path of [
      '/../secret',
      '/%2e%2e/secret',
      '/..%2fsecret',
      '/x/..%2f..%2fsecret',
      '/..%5csecret',
      '//../secret',
      '/%00/../secret',
      '/.git/config',
      '/%2egit/config',
      '/%zz',
    ]) {
      const { stdout } = await curl(serving, path, '--path-as-is', '-w', ' %{http_code}');
      assert.match(stdout, / (400|403|404)$/, path);
      assert.doesNotMatch(stdout, /outside|hidden/, path);
    }
    assert.equal((await curl(serving, '/')).stdout, 'inside');
  });
});

test('a given certificate is shown, and its chain verifies', skipUnless('openssl'), async (t) => {
  const folder = temporaryFolder(t);
  const { caPath, certPath, keyPath } = certificateFiles(folder);
  const serving = await serve(t, ['--root', demo, '--cert', certPath, '--key', keyPath]);
  assert.equal(serving.ca, '');
  const { stdout, code } = await run(
    requireTool('openssl'),
    [
      's_client',
      '-connect',
      `localhost:${serving.port}`,
      '-servername',
      'localhost',
      '-CAfile',
      caPath,
      '-verify_return_error',
    ],
    { input: 'Q\n' },
  );
  assert.equal(code, 0, stdout);
  assert.match(stdout, /Verify return code: 0 \(ok\)/);
  assert.match(stdout, /New, TLSv1\.3/);
});

test('openssl resumes with a ticket', skipUnless('openssl'), async (t) => {
  const serving = await server();
  const { handshakes: before } = await status(serving);
  const file = join(temporaryFolder(t), 'session.pem');
  const target = ['-connect', `localhost:${serving.port}`, '-CAfile', serving.ca];
  const request = 'HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
  const first = await run(requireTool('openssl'), ['s_client', ...target, '-ign_eof', '-sess_out', file], {
    input: request,
  });
  assert.match(first.stdout, /New, TLSv1\.3/);
  assert.match(first.stdout, /200 OK/);
  const second = await run(requireTool('openssl'), ['s_client', ...target, '-ign_eof', '-sess_in', file], {
    input: request,
  });
  assert.match(second.stdout, /Reused, TLSv1\.3/);
  assert.match(second.stdout, /200 OK/);
  const { handshakes } = await status(serving);
  assert.deepEqual([handshakes.full - before.full, handshakes.resumed - before.resumed], [1, 1]);
});

test('with --no-resumption there is neither a ticket nor a session ID', async (t) => {
  const serving = await serve(t, ['--root', demo, '--no-resumption']);
  for (const flags of [[], ['--tls', '1.2'], ['--resume', 'id']]) {
    const { stdout } = await mayflyHosted([
      'connect',
      `localhost:${serving.port}`,
      '--ca',
      serving.ca,
      '--json',
      ...flags,
    ]);
    const handshake = JSON.parse(stdout) as { session: { tickets: unknown[] } };
    assert.deepEqual(handshake.session.tickets, []);
  }
  const { ring, sessionCache } = await status(serving);
  assert.deepEqual([ring.enabled, ring.keys, sessionCache], [false, [], undefined]);
});

test('--keylog appends the secrets of each connection in the SSLKEYLOGFILE form, for the owner alone', async (t) => {
  const path = join(temporaryFolder(t), 'keys.log');
  const serving = await serve(t, ['--root', demo, '--keylog', path]);
  assert.match(String((await serving.until('warning')).message), /secrets of every connection/);
  await mayflyHosted(['connect', `localhost:${serving.port}`, '--ca', serving.ca]);
  await mayflyHosted(['connect', `localhost:${serving.port}`, '--ca', serving.ca, '--tls', '1.2']);
  await serving.stop();
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  assert.deepEqual(lines.map((line) => line.split(' ')[0]).sort(), [
    'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
    'CLIENT_RANDOM',
    'CLIENT_TRAFFIC_SECRET_0',
    'EXPORTER_SECRET',
    'SERVER_HANDSHAKE_TRAFFIC_SECRET',
    'SERVER_TRAFFIC_SECRET_0',
  ]);
  for (const line of lines) {
    assert.match(line, /^[A-Z_0]+ [0-9a-f]{64} [0-9a-f]{64,96}$/);
  }
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

/** All that a peer answers to these bytes, until it closes. */
function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = tcpConnect({ host: '127.0.0.1', port });
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      answer += text;
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' ? resolve(answer) : reject(error),
    );
    socket.on('close', () => resolve(answer));
    socket.write(bytes, 'latin1');
  });
}

test('plain HTTP and other strangers on the TLS port are answered or dropped, and nobody else notices', async (t) => {
  const serving = await server();
  const { handshakes: before } = await status(serving);
  const { connect } = await import('../../src/node/tls.ts');
  const ca = readFileSync(serving.ca);
  const steady = connect({ host: 'localhost', port: serving.port, ca });
  // The server is ended first, after the test.
  steady.on('error', () => {});
  t.after(() => steady.destroy());
  await new Promise<void>((resolve) => steady.once('secureConnect', resolve));

  const plain = await exchange(serving.port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.match(plain, /^HTTP\/1\.1 400 /);
  assert.match(plain, /https/i);
  await exchange(serving.port, 'SSH-2.0-OpenSSH_9.6\r\n');
  // The head of a ClientHello that never goes on, and then the end.
  const cutOff = tcpConnect({ host: '127.0.0.1', port: serving.port });
  await new Promise<void>((resolve) => cutOff.write(Buffer.from('16030100c8010000c40303', 'hex'), () => resolve()));
  cutOff.destroy();

  const answer = new Promise<string>((resolve) =>
    steady.once('data', (data: Buffer) => resolve(data.toString('latin1'))),
  );
  steady.write('HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.match(await answer, /^HTTP\/1\.1 200 OK/);
  const failed = await serving.until('connection-failed');
  assert.equal(failed.code, 'TLS_ERR_NOT_TLS');
  assert.ok((await status(serving)).handshakes.failed >= before.failed + 2);
});

test('what is TLS but not HTTP gets a readable answer', async (t) => {
  const serving = await server();
  const { connect } = await import('../../src/node/tls.ts');
  const socket = connect({
    host: 'localhost',
    port: serving.port,
    ca: readFileSync(serving.ca),
    ALPNProtocols: ['http/1.1'],
  });
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  await new Promise<void>((resolve) => socket.once('secureConnect', resolve));
  const answer = new Promise<string>((resolve) =>
    socket.once('data', (data: Buffer) => resolve(data.toString('latin1'))),
  );
  socket.write('\x00\x01\x02 nonsense\r\n\r\n');
  assert.match(await answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
});
