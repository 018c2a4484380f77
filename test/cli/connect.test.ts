import assert from 'node:assert/strict';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readSessionFile, writeSessionFile } from '../../src/cli/connect/session-file.ts';
import { connectCommand } from '../../src/cli/connect.ts';
import { createOutput } from '../../src/cli/output.ts';
import { projectRoot } from '../support/project.ts';
import {
  certificateFiles,
  mayfly,
  mayflyHosted,
  type Result,
  refusedHere,
  type Serving,
  serve,
  sharedServer,
  temporaryFolder,
} from './support.ts';

const demo = join(projectRoot, 'demo');
const server = sharedServer(['--root', demo]);

interface Node {
  readonly name: string;
  readonly length: number;
  readonly children: readonly Node[];
}

interface Told {
  readonly version: string;
  readonly resumedBy: string | null;
  readonly extendedMasterSecret: boolean;
  readonly cipherSuite: string;
  readonly namedGroup: string | null;
  readonly helloRetried: boolean;
  readonly alpnProtocol: string | null;
  readonly serverName: string | null;
  readonly signatureScheme: string | null;
  readonly trusted: boolean;
  readonly chain: readonly { readonly subject: string; readonly root: boolean; readonly names: readonly string[] }[];
  readonly resumed: boolean;
  readonly pskMode: string | null;
  readonly session: {
    readonly offered: boolean;
    readonly reason: string | null;
    readonly tickets: readonly { readonly form: string }[];
  };
  readonly secrets: readonly Node[];
  readonly phases: Record<string, number>;
}

function told(result: Result): Told {
  assert.equal(result.code, 0, result.stdout + result.stderr);
  return JSON.parse(result.stdout.trimEnd().split('\n').at(-1) ?? '') as Told;
}

function connect(serving: Serving, ...flags: string[]): Promise<Result> {
  return mayflyHosted(['connect', `localhost:${serving.port}`, '--ca', serving.ca, ...flags]);
}

/** `name:length` of every node, by depth. */
function flat(nodes: readonly Node[], depth = 0): string[] {
  return nodes.flatMap((node) => [
    `${' '.repeat(depth)}${node.name}:${node.length}`,
    ...flat(node.children, depth + 1),
  ]);
}

/** A server that treats every connection alike, on a free port. */
async function strangeServer(t: TestContext, treat: (socket: Socket) => void): Promise<string> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    treat(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of open) {
      socket.destroy();
    }
    server.close();
  });
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

test('a full handshake is told in full', async () => {
  const serving = await server();
  const flags = ['--ca', serving.ca, '--group', 'x25519', '--suite', 'TLS_AES_256_GCM_SHA384'];
  const story = await mayfly(['connect', `localhost:${serving.port}`, ...flags]);
  assert.equal(story.code, 0, story.stderr);
  assert.equal(story.stderr, '');
  for (const part of [
    /full TLS 1\.3 handshake in \d/,
    /Suite +\[TLS_AES_256_GCM_SHA384\]/,
    /Group +\[x25519\]/,
    /ALPN +\[h2\], http\/1\.1/,
    /trusted: the chain ends in a trusted root/,
    /0 +CN=localhost/,
    /root CN=Mayfly development CA/,
    /for localhost, 127\.0\.0\.1, ::1/,
    /ecdsa_secp256r1_sha256/,
    /no session was offered/,
    /2 tickets came: good for 2h/,
    /all of them are erased now/,
    /TCP connected +\d/,
    /server authenticated +\d/,
    /first ticket came +\d/,
  ]) {
    assert.match(story.stdout, part);
  }
  assert.doesNotMatch(story.stdout, /undefined|NaN|\[object/);
});

test('the tree of secrets is what really happened: full, hybrid, resumed, retried', async (t) => {
  const serving = await server();
  const file = join(temporaryFolder(t), 'session');
  const full = told(await connect(serving, '--json', '--session', file, '--group', 'x25519'));
  const handshakeSecrets = (depth: number, tickets: number) => {
    const lines = [
      'HandshakeSecret:32',
      ' client_handshake_traffic_secret:32',
      '  client_write_key:16',
      '  client_write_iv:12',
      '  finished_key:32',
      ' server_handshake_traffic_secret:32',
      '  server_write_key:16',
      '  server_write_iv:12',
      '  finished_key:32',
      ' MainSecret:32',
      '  client_application_traffic_secret_0:32',
      '   client_write_key:16',
      '   client_write_iv:12',
      '  server_application_traffic_secret_0:32',
      '   server_write_key:16',
      '   server_write_iv:12',
      '  exporter_secret:32',
      '  resumption_secret:32',
      ...Array.from({ length: tickets }, (_, i) => `   PSK of ticket ${i + 1}:32`),
    ];
    return lines.map((line) => ' '.repeat(depth) + line);
  };
  assert.deepEqual(flat(full.secrets), ['(EC)DHE shared secret:32', ...handshakeSecrets(1, 2)]);
  assert.deepEqual([full.resumed, full.pskMode, full.helloRetried], [false, null, false]);

  const resumed = told(await connect(serving, '--json', '--session', file));
  assert.deepEqual([resumed.resumed, resumed.pskMode, resumed.signatureScheme], [true, 'psk_dhe_ke', null]);
  assert.equal(resumed.chain[0].subject, 'CN=localhost');
  assert.deepEqual(flat(resumed.secrets), [
    'PSK:32',
    ' EarlySecret:32',
    '  binder_key:32',
    '   finished_key:32',
    `(EC)DHE shared secret:${resumed.namedGroup === 'X25519MLKEM768' ? 64 : 32}`,
    ...handshakeSecrets(1, 1),
  ]);

  const hybrid = told(await connect(serving, '--json', '--group', 'X25519MLKEM768'));
  assert.equal(flat(hybrid.secrets)[0], '(EC)DHE shared secret:64');
  const wide = told(await connect(serving, '--json', '--suite', 'TLS_AES_256_GCM_SHA384', '--group', 'secp384r1'));
  assert.deepEqual(flat(wide.secrets).slice(0, 4), [
    '(EC)DHE shared secret:48',
    ' HandshakeSecret:48',
    '  client_handshake_traffic_secret:48',
    '   client_write_key:32',
  ]);
});

test('TLS 1.2 is told as it happened: premaster, master, key block, two keys and two implicit nonces', async (t) => {
  const serving = await server();
  const story = await connect(serving, '--tls', '1.2', '--group', 'x25519');
  for (const part of [
    /full TLS 1\.2 handshake in \d/,
    /Version +\[TLS 1\.2\]/,
    /\[TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\]/,
    /Binding +extended master secret, secure renegotiation/,
    /It signed its key share and both random values with .*ecdsa_secp256r1_sha256/,
    /one ticket came: good for (1h|59m59s), .* with the master secret inside/,
    /forward secret once it is erased,\s+and\s+the\s+server’s\s+ticket\s+key/,
    /client_write_IV +4 bytes +implicit; 8 more go with each record/,
    /all of them are erased now/,
    /server authenticated +\d/,
  ]) {
    assert.match(story.stdout, part);
  }
  assert.doesNotMatch(story.stdout, /undefined|NaN|\[object|HandshakeSecret|first ticket came/);

  const below = (keyLength: number, ivLength: number) => [
    `key block:${2 * (keyLength + ivLength)}`,
    ` client_write_key:${keyLength}`,
    ` server_write_key:${keyLength}`,
    ` client_write_IV:${ivLength}`,
    ` server_write_IV:${ivLength}`,
    'client verify_data:12',
    'server verify_data:12',
  ];
  const full = (premaster: number, keyLength: number, ivLength: number) => [
    `premaster secret:${premaster}`,
    ' extended master secret:48',
    ...below(keyLength, ivLength).map((line) => `  ${line}`),
  ];
  const resumed = (keyLength: number, ivLength: number) => [
    'master secret:48',
    ...below(keyLength, ivLength).map((line) => ` ${line}`),
  ];
  const folder = temporaryFolder(t);
  for (const { form, suite, keyLength, ivLength } of [
    { form: 'ticket', suite: 'ECDHE-ECDSA-AES128-GCM-SHA256', keyLength: 16, ivLength: 4 },
    { form: 'id', suite: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', keyLength: 32, ivLength: 12 },
  ]) {
    const flags = ['--tls', '1.2', '--resume', form, '--session', join(folder, form), '--suite', suite, '--json'];
    const first = told(await connect(serving, ...flags, '--group', 'secp384r1'));
    assert.deepEqual(flat(first.secrets), full(48, keyLength, ivLength));
    assert.deepEqual([first.version, first.resumedBy, first.extendedMasterSecret], ['TLSv1.2', null, true]);
    assert.deepEqual(
      first.session.tickets.map((ticket) => ticket.form),
      [form],
    );
    // A TLS 1.2 session is not used up: the third run resumes too.
    for (let run = 0; run < 2; run++) {
      const next = told(await connect(serving, ...flags));
      assert.deepEqual([next.resumed, next.resumedBy, next.namedGroup], [true, form, null]);
      assert.deepEqual(flat(next.secrets), resumed(keyLength, ivLength));
      assert.deepEqual(Object.keys(next.phases), ['lookup', 'tcp', 'hello', 'complete']);
    }
  }
  const again = await connect(serving, '--resume', 'id', '--session', join(folder, 'id'));
  assert.match(again.stdout, /resumed by a session ID of .*: there was no key exchange/);
  assert.match(again.stdout, /no\s+more\s+forward\s+secret\s+than\s+that\s+master\s+secret/);
  assert.match(again.stdout, /Group +none used \(no key exchange\)/);
});

test('a session that is offered in vain is told: the server is another one now, or speaks another version', async (t) => {
  const folder = temporaryFolder(t);
  const { caPath, certPath, keyPath } = certificateFiles(folder);
  const common = ['--root', demo, '--cert', certPath, '--key', keyPath];
  const first = await serve(t, common);
  const listen = `localhost:${first.port}`;
  const run = (form: string, ...flags: string[]) =>
    mayflyHosted(['connect', listen, '--ca', caPath, '--json', '--session', join(folder, form), ...flags]);
  told(await run('id', '--resume', 'id'));
  told(await run('ticket', '--tls', '1.2'));
  told(await run('old', '--tls', '1.3', '--group', 'x25519'));
  await first.stop();
  await serve(t, [...common, '--tls', '1.2', '--listen', listen]);
  const premaster = ['premaster secret:32', ' extended master secret:48'];
  for (const [form, unused] of [
    ['id', ['master secret:48']],
    ['ticket', ['master secret:48']],
    ['old', ['PSK:32', ' EarlySecret:32', '  binder_key:32', '   finished_key:32']],
  ] as const) {
    const outcome = told(await run(form, ...(form === 'id' ? ['--resume', 'id'] : [])));
    assert.deepEqual([outcome.version, outcome.resumed, outcome.session.offered], ['TLSv1.2', false, true], form);
    assert.match(String(outcome.session.reason), /did not take the session/);
    assert.deepEqual(flat(outcome.secrets).slice(0, unused.length + 2), [...unused, ...premaster]);
  }
});

test('--tls and --resume choose what is offered', async (t) => {
  const serving = await serve(t, ['--root', demo, '--tls', '1.3']);
  const refused = await connect(serving, '--tls', '1.2');
  assert.equal(refused.code, 16);
  assert.match(refused.stderr, /protocol_version/);
  assert.equal(told(await connect(serving, '--json')).version, 'TLSv1.3');
  const file = join(temporaryFolder(t), 'session');
  told(await connect(serving, '--json', '--session', file));
  const other = told(await connect(serving, '--json', '--session', file, '--resume', 'ticket'));
  assert.equal(other.resumed, true);
});

test('times are told for each phase, and are sane', async () => {
  const serving = await server();
  const { phases } = told(await connect(serving, '--json'));
  assert.deepEqual(Object.keys(phases), ['lookup', 'tcp', 'hello', 'authentication', 'complete', 'first ticket']);
  assert.ok(Object.values(phases).every((duration) => duration >= 0 && duration < 20_000));
});

test('ALPN, name and choice of algorithms are as asked for', async () => {
  const serving = await server();
  const none = told(await connect(serving, '--json', '--alpn', ''));
  assert.equal(none.alpnProtocol, null);
  const http1 = told(await connect(serving, '--json', '--alpn', 'http/1.1', '--suite', 'TLS_CHACHA20_POLY1305_SHA256'));
  assert.deepEqual([http1.alpnProtocol, http1.cipherSuite], ['http/1.1', 'TLS_CHACHA20_POLY1305_SHA256']);
  const byAddress = told(await mayflyHosted(['connect', `127.0.0.1:${serving.port}`, '--ca', serving.ca, '--json']));
  assert.equal(byAddress.serverName, null);
  const refused = await connect(serving, '--alpn', 'gopher');
  assert.equal(refused.code, 16);
  assert.match(refused.stderr, /no_application_protocol/);
});

test('a session file holds secrets: mode 0600, a warning, each ticket used once', async (t) => {
  const serving = await server();
  const file = join(temporaryFolder(t), 'session');
  const first = await connect(serving, '--session', file);
  assert.match(first.stderr, /warning: .*session holds secrets/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const before = readFileSync(file);
  chmodSync(file, 0o644);
  const second = await connect(serving, '--session', file);
  assert.match(second.stderr, /could be read by others \(mode 644\)/);
  assert.match(second.stdout, /resumed with a ticket of .* the secrets rest on a fresh key exchange too/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  // The newest of the first run was used; what was before it is still there.
  const after = readFileSync(file);
  assert.notDeepEqual(after, before);
  for (let run = 0; run < 3; run++) {
    const { resumed } = told(await connect(serving, '--json', '--session', file));
    assert.equal(resumed, true);
  }
});

test('a session file keeps the newest eight sessions and no more', (t) => {
  const file = join(temporaryFolder(t), 'session');
  const sessions = Array.from({ length: 12 }, (_, i) => new Uint8Array(40).fill(i));
  writeSessionFile(file, { origin: 'a b c', sessions });
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const read = readSessionFile(file, createOutput(false));
  assert.deepEqual([read?.origin, read?.sessions], ['a b c', sessions.slice(4)]);
});

test('a session is not offered to another server, nor one made without trust to a strict run', async (t) => {
  const serving = await server();
  const file = join(temporaryFolder(t), 'session');
  await mayflyHosted(['connect', `localhost:${serving.port}`, '--insecure', '--session', file]);
  const strict = told(await connect(serving, '--json', '--session', file));
  assert.deepEqual([strict.resumed, strict.session.offered], [false, false]);
  assert.match(String(strict.session.reason), /another server or another check/);
});

test('what is no session file is refused with code 4, and left as it is', async (t) => {
  const file = join(temporaryFolder(t), 'notes.txt');
  for (const content of [
    'my notes',
    'mayfly sessions 1\nx\n\0\0\0\x09short',
    'mayfly sessions 1\nx\n\xff\xff\xff\xff',
  ]) {
    writeFileSync(file, content, 'latin1');
    const { code, stderr } = await mayflyHosted(['connect', 'localhost:1', '--session', file]);
    assert.equal(code, 4);
    assert.doesNotMatch(stderr, /becomes 600/);
    assert.match(stderr, /notes\.txt is not a session file/);
    assert.equal(readFileSync(file, 'latin1'), content);
  }
});

test('a failure is one line with its own exit code', async (t) => {
  const serving = await server();
  const folder = temporaryFolder(t);
  const at = `localhost:${serving.port}`;
  const plain = await strangeServer(t, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
  );
  const silent = await strangeServer(t, () => {});
  const shy = await strangeServer(t, (socket) => socket.once('data', () => socket.destroy()));
  const halfway = await strangeServer(t, (socket) => {
    socket.once('data', () => socket.end(Buffer.from('160303007a020000760303', 'hex')));
  });
  const alerting = await strangeServer(t, (socket) =>
    socket.once('data', () => socket.end(Buffer.from('15030300020228', 'hex'))),
  );
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [[at], 20, /leads to no trusted root.*--ca FILE/],
    [[at, '--ca', serving.ca, '--servername', 'example.org'], 22, /is not for "example\.org".*--servername/],
    [['127.0.0.1:1'], 11, /connection refused/],
    [['no-such-host.invalid'], 10, /no address/],
    [[plain], 14, /does not speak TLS here, but what looks like plain HTTP/],
    [[shy], 15, /hung up|reset|closed|ended/],
    [[halfway], 15, /ended|closed/],
    [[alerting], 16, /handshake_failure.*no suite, group or signature/],
    [[silent, '--timeout', '300ms'], 13, /did not finish the handshake within 300ms/],
    [[at, '--session', join(folder, 'no', 'file')], 3, /cannot write/],
  ];
  const casesHere: typeof cases = [
    [[at, '--ca', join(folder, 'missing')], 3, /cannot read .*missing/],
    [[at, '--ca', join(demo, 'style.css')], 4, /holds no certificate/],
    [[at, '--group', 'x448'], 2, /^--group: .*x448/],
    [[at, '--suite', 'RC4'], 2, /^--suite: .*RC4/],
    [[at, '--servername', 'a..b', '--insecure'], 2, /"a\.\.b" is not a host name that can be sent$/],
    [[at, '--timeout', 'soon'], 2, /--timeout/],
    [['local host'], 2, /HOST:PORT/],
    [[at, '--tls', '1.1'], 2, /--tls: "1\.1".*1\.2, 1\.3 or both/],
    [[at, '--resume', 'cookie'], 2, /--resume: "cookie".*id or ticket/],
    [[at, '--resume', 'id', '--tls', '1.3'], 2, /Only TLS 1\.2 has session IDs/],
    [[at, '--ca', serving.ca, '--keylog', join(folder, 'no', 'file')], 3, /cannot write/],
  ];
  for (const [args, wanted, pattern] of casesHere) {
    const { code, line } = await refusedHere(connectCommand(), args);
    assert.equal(code, wanted, `${args.join(' ')}: ${line}`);
    assert.match(line, pattern);
  }
  await Promise.all(
    cases.map(async ([args, wanted, pattern], index) => {
      // The first ends with a connection made, the last with one that hangs: each as a process of its own, so that it must
      // leave nothing open.
      const inOwnProcess = index === 0 || args.includes('--timeout');
      const { code, stdout, stderr } = await (inOwnProcess ? mayfly : mayflyHosted)(['connect', ...args]);
      assert.equal(code, wanted, `${args.join(' ')}: ${stdout}${stderr}`);
      assert.equal(stdout, '', args.join(' '));
      const lines = stderr
        .trimEnd()
        .split('\n')
        .filter((line) => !line.startsWith('warning: '));
      assert.equal(lines.length, 1, stderr);
      assert.match(lines[0], /^mayfly: /);
      assert.match(lines[0], pattern);
    }),
  );
});

test('an expired certificate is refused with code 21, and --insecure tells what is wrong', async (t) => {
  const folder = temporaryFolder(t);
  const { caPath, certPath, keyPath } = certificateFiles(folder, { now: Date.now() - 40 * 86_400_000, days: 30 });
  const { createServer: createTlsServer } = await import('../../src/node/tls.ts');
  const server = createTlsServer({ cert: readFileSync(certPath), key: readFileSync(keyPath) });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => server.close());
  const at = `localhost:${(server.address() as { port: number }).port}`;
  const strict = await mayflyHosted(['connect', at, '--ca', caPath]);
  assert.equal(strict.code, 21, strict.stderr);
  assert.match(strict.stderr, /expired|not valid|ended/);
  const lax = await mayflyHosted(['connect', at, '--ca', caPath, '--insecure']);
  assert.equal(lax.code, 0, lax.stderr);
  assert.match(lax.stdout, /NOT TRUSTED/);
  assert.match(lax.stdout, /not trusted: .* it expired at /);
});
