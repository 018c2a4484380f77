/** Flags of `mayfly serve` that say what clients are told and with whom it speaks. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect as http2Connect } from 'node:http2';
import { get } from 'node:https';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { derToPem } from '../../src/certificates/pem.ts';
import { serveCommand } from '../../src/cli/serve.ts';
import { DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { projectRoot } from '../support/project.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import { portOf, WEBSOCKET_ACCEPT, WEBSOCKET_KEY } from './forwarding-support.ts';
import { certificateFiles, mayflyHosted, refusedHere, run, serve, temporaryFolder } from './support.ts';

const demo = join(projectRoot, 'demo');
const trusting = { rejectUnauthorized: false };

async function refusals(cases: readonly (readonly [readonly string[], RegExp])[]): Promise<void> {
  for (const [args, pattern] of cases) {
    const { code, line } = await refusedHere(serveCommand(), ['--root', demo, ...args]);
    assert.match(line, pattern);
    assert.equal(code, 2, line);
  }
}

/** All values of Strict-Transport-Security in the answer, by HTTP/1.1 and HTTP/2. */
async function transportSecurity(url: string, path: string): Promise<readonly unknown[]> {
  const [answer] = await once(get(`${url}${path}`, { ...trusting, agent: false }), 'response');
  const names = (answer.rawHeaders as string[]).filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  answer.resume();
  const session = http2Connect(url, trusting);
  const stream = session.request({ ':path': path });
  const [headers] = await once(stream, 'response');
  session.destroy();
  assert.ok(names.filter((name) => name === 'strict-transport-security').length <= 1);
  return [answer.headers['strict-transport-security'], headers['strict-transport-security']];
}

/** All that is answered to these lines, over TLS. */
async function askOverTls(port: number, ...lines: string[]): Promise<string> {
  const socket = tlsConnect({ port, ...trusting });
  socket.write([...lines, '', ''].join('\r\n'));
  let text = '';
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
  });
  await once(socket, 'close');
  return text;
}

test('serve --hsts is in each answer, once, and an upstream server’s own goes before it', async (t) => {
  const folder = temporaryFolder(t);
  const { certPath, keyPath } = certificateFiles(folder);
  const own = ['--cert', certPath, '--key', keyPath];
  const upstream = createServer((request, response) => {
    if (request.url === '/own') {
      // RFC 6797 §8.1: of several the first counts.
      response.setHeader('Strict-Transport-Security', ['max-age=5', 'max-age=6']);
    }
    response.end('here\n');
  });
  const port = await portOf(t, upstream);
  const proxy = await serve(t, [
    ...['--upstream', `http://127.0.0.1:${port}`, '--hsts', '31536000,includesubdomains,preload', '--no-status'],
    ...own,
  ]);
  const ours = 'max-age=31536000; includeSubDomains; preload';
  assert.deepEqual(await transportSecurity(proxy.url, '/'), [ours, ours]);
  assert.deepEqual(await transportSecurity(proxy.url, '/own'), ['max-age=5', 'max-age=5']);
  upstream.on('upgrade', ({ url }, socket) => {
    const own = url === '/own' ? 'Strict-Transport-Security: max-age=5\r\n' : '';
    socket.end(
      url === '/refused'
        ? 'HTTP/1.1 403 No\r\nConnection: close\r\n\r\n'
        : `HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: websocket\r\n${WEBSOCKET_ACCEPT}${own}\r\n`,
    );
  });
  const key = WEBSOCKET_KEY.trim();
  const upgrade = ['Host: a', 'Connection: upgrade', 'Upgrade: websocket', key];
  for (const [status, value, lines] of [
    [101, ours, ['GET /chat HTTP/1.1', ...upgrade]],
    [101, 'max-age=5', ['GET /own HTTP/1.1', ...upgrade]],
    [403, ours, ['GET /refused HTTP/1.1', ...upgrade]],
    [400, ours, ['GET / HTTP/1.1', ...upgrade.filter((line) => line !== key)]],
    [501, ours, ['GET / HTTP/1.1', 'Host: a', 'Connection: upgrade', 'Upgrade: h2c']],
    [400, ours, ['GET / HTTP/1.1', ...upgrade.slice(1)]],
    // These Node would answer by itself.
    [400, ours, ['GET / HTTP/1.1', 'Connection: close']],
    [417, ours, ['GET / HTTP/1.1', 'Host: a', 'Connection: close', 'Expect: more']],
  ] as const) {
    const answer = await askOverTls(proxy.port, ...lines);
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), lines.join());
    assert.deepEqual(
      [...answer.matchAll(/^strict-transport-security: (.*)\r$/gim)].map(([, found]) => found),
      [value],
      lines.join(),
    );
  }
  // 502, of our own making.
  upstream.closeAllConnections();
  upstream.close();
  assert.deepEqual(await transportSecurity(proxy.url, '/'), [ours, ours]);
  const socket = tlsConnect({ port: proxy.port, ...trusting }, () => socket.write('no request\r\n\r\n'));
  assert.match(
    String(await once(socket, 'data')),
    /^HTTP\/1\.1 400 .*\r\nStrict-Transport-Security: max-age=31536000;/s,
  );
  socket.destroy();
  assert.equal(await proxy.stop(), 0);

  await refusals([
    [['--hsts', '31536000'], /--hsts needs a certificate of yours/],
    [[...own, '--hsts', 'a year'], /--hsts: "a year" is not a number of seconds/],
    [[...own, '--hsts', '-1'], /is not a number of seconds/],
    [[...own, '--hsts', '315360001'], /is not a number of seconds from 0 to 315360000/],
    [[...own, '--hsts', '300,subdomains'], /--hsts: "subdomains" is not a choice/],
    [[...own, '--hsts', '300,includeSubDomains,includesubdomains'], /twice/],
    [[...own, '--hsts', '31536000,preload'], /preload only with includeSubDomains/],
    [[...own, '--hsts', '300,includeSubDomains,preload'], /for a year or more/],
  ]);
});

/** A client of TLS 1.2 without extended master secret: openssl, as its configuration says. */
async function legacyClient(folder: string, port: number): Promise<string> {
  const config = join(folder, 'openssl.cnf');
  writeFileSync(
    config,
    'openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nOptions = -ExtendedMasterSecret\n',
  );
  const target = ['s_client', '-connect', `localhost:${port}`, '-tls1_2'];
  const { stdout } = await run(requireTool('openssl'), target, { env: { OPENSSL_CONF: config } });
  return stdout;
}

describe('as openssl s_client sees it', { ...skipUnless('openssl') }, () => {
  test('serve lets clients without extended master secret in only when told so, and says what that costs', async (t) => {
    const folder = temporaryFolder(t);
    const flag = '--dangerously-allow-legacy-master-secret';
    const [strict, lenient] = await Promise.all([
      serve(t, ['--root', demo, '--no-status']),
      serve(t, ['--root', demo, '--no-status', flag]),
    ]);
    assert.match(await legacyClient(folder, strict.port), /Cipher is \(NONE\)/);
    assert.match(await legacyClient(folder, lenient.port), /Cipher is ECDHE-.*Extended master secret: no/s);
    await lenient.until('warning', ({ message }) => /extended master secret .*triple handshake/.test(String(message)));
    assert.equal(strict.events.filter(({ event }) => event === 'warning').length, 0);
    await refusals([[[flag, '--tls', '1.3'], /legacy-master-secret is for TLS 1\.2/]]);
  });

  test('serve --sigalgs decides how it signs, in OpenSSL’s words and IANA’s', async (t) => {
    const { privateKey, publicKey } = rsaKeyPair();
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
    const validity = { notBefore: Date.now() - DAY, notAfter: Date.now() + 30 * DAY };
    const root = makeRoot(validity);
    const folder = temporaryFolder(t);
    const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(folder, name));
    writeFileSync(cert, derToPem(makeLeaf(root, { ...validity, spki }).der) + derToPem(root.der));
    writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const own = ['--cert', cert, '--key', key, '--no-status', '--listen', 'localhost:0'];
    const serving = await serve(t, ['--root', demo, ...own, '--sigalgs', 'RSA-PSS+SHA384:rsa_pkcs1_sha512']);
    const args = ['s_client', '-connect', `localhost:${serving.port}`];
    assert.match((await run(requireTool('openssl'), args)).stdout, /Peer signing digest: SHA384/);
    const only256 = await run(requireTool('openssl'), [...args, '-sigalgs', 'RSA-PSS+SHA256']);
    assert.match(only256.stdout, /Cipher is \(NONE\)/);
    await refusals([
      [[...own, '--sigalgs', 'RSA+SHA1'], /--sigalgs: expected names among .*, got RSA\+SHA1/],
      [[...own, '--sigalgs', 'ECDSA+SHA256'], /--sigalgs: none of the schemes fits the certificate's key/],
      [[...own, '--sigalgs', 'RSA+SHA256'], /--sigalgs: TLS 1\.3 has no use for rsa_pkcs1_sha256/],
    ]);
  });
});

test('serve tells of a private key that every user can read, and what to do, and of no other', {
  skip: process.platform === 'win32' && 'Windows has no such modes',
}, async (t) => {
  const folder = temporaryFolder(t);
  const { certPath, keyPath } = certificateFiles(folder);
  const flags = ['--root', demo, '--no-status', '--workers', '1', '--cert', certPath, '--key', keyPath];
  const told = async (folderMode: number, fileMode: number) => {
    chmodSync(folder, folderMode);
    chmodSync(keyPath, fileMode);
    const serving = await serve(t, flags);
    await serving.stop();
    return serving.events.filter(({ event }) => event === 'warning').map(({ message }) => String(message));
  };
  const [group, hidden] = [await told(0o755, 0o640), await told(0o700, 0o644)];
  assert.deepEqual([...group, ...hidden], []);
  const open = await told(0o755, 0o644);
  assert.equal(open.length, 1);
  const warning = /private key in \S+key\.pem can be read by every user .*\(mode 0644\): chmod o-rwx \S+key\.pem/;
  assert.match(open[0], warning);

  // Also later, when the files are read again, be they other ones or not.
  chmodSync(keyPath, 0o600);
  const serving = await serve(t, flags);
  const warnings = () => serving.events.filter(({ event }) => event === 'warning');
  assert.equal(warnings().length, 0);
  chmodSync(keyPath, 0o644);
  serving.child.kill('SIGHUP');
  await serving.until('certificate-unchanged');
  assert.match(String(warnings()[0].message), warning);
  const other = certificateFiles(folder, { prefix: 'other-' });
  copyFileSync(other.certPath, certPath);
  writeFileSync(keyPath, readFileSync(other.keyPath));
  serving.child.kill('SIGHUP');
  await serving.until('certificate-renewed');
  assert.equal(warnings().length, 2);
  assert.equal(await serving.stop(), 0);
});

test('the help of every command fits into 80 columns', async () => {
  const asked: string[] = [];
  const look = async (command: readonly string[]): Promise<void> => {
    asked.push(command.join(' '));
    const { stdout } = await mayflyHosted([...command, '--help']);
    assert.match(stdout, new RegExp(`^Usage: ${['mayfly', ...command].join(' ')} `));
    assert.deepEqual(
      stdout.split('\n').filter((line) => line.length > 80),
      [],
    );
    const [, list = ''] = stdout.split('\nCommands:\n');
    for (const [, name] of list.split('\n\n')[0].matchAll(/^ {2}(\w+)/gm)) {
      if (name !== 'help') {
        await look([...command, name]);
      }
    }
  };
  await look([]);
  for (const known of ['serve', 'connect', 'limits', 'policy', 'ring agent']) {
    assert.ok(asked.includes(known), `${known} is not among ${asked.join(', ')}`);
  }
});
