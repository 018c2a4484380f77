import assert from 'node:assert/strict';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { serveCommand } from '../../src/cli/serve.ts';
import { projectRoot } from '../support/project.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import { certificateFiles, mayfly, mayflyHosted, refusedHere, run, temporaryFolder } from './support.ts';

/** Runs `serve` with arguments it must refuse: one line on stderr, nothing on stdout, never a stack trace. */
async function refused(
  args: readonly string[],
  state: string,
  runner = mayflyHosted,
): Promise<{ code: number | null; line: string }> {
  const { code, stdout, stderr } = await runner(['serve', ...args], { XDG_STATE_HOME: state });
  assert.equal(stdout, '', args.join(' '));
  assert.match(stderr, /^mayfly: [^\n]+\n$/, args.join(' '));
  return { code, line: stderr };
}

const demo = join(projectRoot, 'demo');
const anyPort = ['--listen', 'localhost:0', '--no-status'];

test('serve refuses wrong flags with code 2', async (t) => {
  const folder = temporaryFolder(t);
  const { certPath, keyPath } = certificateFiles(folder);
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--listen', 'localhost:99999'], /--listen: .*port/],
    [['--listen', 'a:b:c'], /--listen/],
    [['--tls', '1.1'], /--tls: "1\.1" is not a choice.*1\.2, 1\.3 or both/],
    [['--rotate', '7h'], /--rotate: 7h is not between 1s and 6h/],
    [['--rotate', '100ms'], /--rotate/],
    [['--lifetime', '24h'], /--lifetime/],
    [['--rotate', '6h', '--lifetime', '23h'], /29h|1d5h/],
    [['--lifetime', 'long'], /--lifetime: "long" is not a duration/],
    [['--cert', certPath], /--key is missing/],
    [['--key', keyPath], /--cert is missing/],
    [['--upstream', 'localhost:3000'], /--upstream: "localhost:3000" is not an http:\/\/ URL/],
    [['--upstream', 'ftp://localhost'], /--upstream/],
    [['--upstream-connections', '5'], /--upstream is missing/],
    [['--upstream-per-client', '5'], /--upstream is missing/],
    [
      ['--upstream', 'http://localhost', '--upstream-connections', '9', '--upstream-per-client', '10'],
      /--upstream-per-client: "10" is not a number from 1 to 9/,
    ],
    [
      ['--upstream', 'http://localhost', '--upstream-connections', '0'],
      /--upstream-connections: "0" is not a number from 1/,
    ],
    [['--root', folder, '--upstream', 'http://localhost:1'], /--root.*--upstream/],
    [['--cert', certPath, '--key', keyPath, '--ca-out', join(folder, 'out')], /--ca-out/],
    [['--status', '0.0.0.0:0', '--listen', 'localhost:0'], /--status: 0\.0\.0\.0 can be reached from other machines/],
    [['--status', 'example.org:8444', '--listen', 'localhost:0'], /--status/],
    [['--root', demo, '--group', 'x448'], /--group: expected names among/],
    [['--root', demo, '--suite', 'RC4'], /--suite: expected names among/],
    [['--root', demo, '--suite', 'TLS_AES_128_GCM_SHA256', '--tls', '1.2'], /--suite/],
  ];
  for (const [args, pattern] of cases) {
    const { code, line } = await refusedHere(serveCommand(), args);
    assert.equal(code, 2, line);
    assert.match(line, pattern);
  }
  // A reload that comes while the server begins must not end it.
  assert.equal(process.listenerCount('SIGHUP'), 1);
  const [args, pattern] = cases[0];
  const { code, line } = await refused(args, folder, mayfly);
  assert.equal(code, 2);
  assert.match(line, pattern);
});

test('a folder in which the server’s own secrets lie is not served', async (t) => {
  const folder = temporaryFolder(t);
  const { certPath, keyPath } = certificateFiles(folder);
  const hidden = join(folder, '.keys');
  mkdirSync(hidden);
  renameSync(keyPath, join(hidden, 'key.pem'));
  const link = join(folder, 'link.pem');
  symlinkSync(join(hidden, 'key.pem'), link);
  const elsewhere = join(temporaryFolder(t), 'key.pem');
  symlinkSync(certPath, elsewhere);
  for (const args of [
    ['--key', link],
    ['--key', elsewhere],
    ['--keylog', join(folder, 'not', 'yet.log')],
    ['--identity', certPath],
  ]) {
    const { code, line } = await refusedHere(serveCommand(), ['--root', folder, '--cert', certPath, ...args]);
    assert.equal(code, 2, line);
    assert.match(line, /the folder that is served, .* holds the .*anybody could fetch it.*--root/);
  }
  // What begins with a dot is never served; the next thing that is wrong is told.
  const key = join(hidden, 'key.pem');
  const fine = await refusedHere(serveCommand(), ['--root', folder, '--key', key]);
  assert.match(fine.line, /--cert is missing/);
});

test('serve names the file that it cannot read or write, with code 3', async (t) => {
  const folder = temporaryFolder(t);
  const { certPath, keyPath } = certificateFiles(folder);
  const missing = join(folder, 'missing.pem');
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--cert', missing, '--key', keyPath], /cannot read .*missing\.pem: it does not exist/],
    [['--cert', certPath, '--key', missing], /cannot read .*missing\.pem/],
    [['--cert', folder, '--key', keyPath], /it is a folder/],
    [['--root', missing], /cannot read .*missing\.pem/],
    [['--root', certPath], /it is not a folder/],
    [['--keylog', join(folder, 'no', 'log')], /cannot write .*log/],
    [['--ca-out', join(folder, 'no', 'ca')], /cannot write .*ca/],
  ];
  for (const [args, pattern] of cases) {
    const { code, line } = await refused([...anyPort, ...args], folder);
    assert.equal(code, 3, line);
    assert.match(line, pattern);
  }
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const { code, line } = await refused(anyPort, file);
  assert.equal(code, 3);
  assert.match(line, /not a folder\. Set XDG_STATE_HOME .* or give a certificate/);
});

test('serve does not begin on a folder in which it can read nothing', {
  skip: (process.platform === 'win32' || process.getuid?.() === 0) && 'who is root may enter every folder',
}, async (t) => {
  const folder = temporaryFolder(t);
  const closed = join(folder, 'closed');
  mkdirSync(closed, { mode: 0o600 });
  const { code, line } = await refused([...anyPort, '--root', closed], folder);
  assert.equal(code, 3);
  assert.match(line, /cannot read .*closed: permission denied\. Check who may read it/);
});

test('serve says what a certificate or key file holds instead, with code 4', async (t) => {
  const folder = temporaryFolder(t);
  const { certPath, keyPath, caPath } = certificateFiles(folder);
  const junk = join(folder, 'junk.pem');
  writeFileSync(junk, 'no PEM at all');
  const broken = join(folder, 'broken.pem');
  writeFileSync(broken, '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n');
  const brokenKey = join(folder, 'broken-key.pem');
  writeFileSync(brokenKey, '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n');
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [junk, keyPath, /junk\.pem holds no certificate/],
    [broken, keyPath, /broken\.pem/],
    [keyPath, keyPath, /holds a private key, not a certificate/],
    [certPath, junk, /junk\.pem holds no private key/],
    [certPath, certPath, /holds no private key/],
    [certPath, brokenKey, /private key in .*broken-key\.pem cannot be used/],
  ];
  for (const [cert, key, pattern] of cases) {
    const { code, line } = await refused([...anyPort, '--cert', cert, '--key', key], folder);
    assert.equal(code, 4, line);
    assert.match(line, pattern);
  }
  const swapped = join(folder, 'swapped.pem');
  const { readFileSync } = await import('node:fs');
  writeFileSync(swapped, readFileSync(caPath, 'utf8') + readFileSync(certPath, 'utf8'));
  const { code, line } = await refused([...anyPort, '--cert', swapped, '--key', keyPath], folder);
  assert.equal(code, 4);
  assert.match(line, /wrong order/);
});

test('serve says how to remove a passphrase', skipUnless('openssl'), async (t) => {
  const folder = temporaryFolder(t);
  const { certPath, keyPath } = certificateFiles(folder);
  const encrypted = join(folder, 'encrypted.pem');
  const made = await run(requireTool('openssl'), [
    'pkey',
    '-in',
    keyPath,
    '-aes128',
    '-passout',
    'pass:x',
    '-out',
    encrypted,
  ]);
  assert.equal(made.code, 0, made.stderr);
  const { code, line } = await refused([...anyPort, '--cert', certPath, '--key', encrypted], folder);
  assert.equal(code, 4);
  assert.match(line, /passphrase.*openssl pkey/);
});

test('serve refuses a key that is not the certificate’s, with code 5', async (t) => {
  const folder = temporaryFolder(t);
  const { certPath } = certificateFiles(folder);
  const { keyPath } = certificateFiles(folder, { prefix: 'other-' });
  const { code, line } = await refused([...anyPort, '--cert', certPath, '--key', keyPath], folder);
  assert.equal(code, 5);
  assert.match(line, /does not belong to the certificate/);
});

test('serve names a busy port, with code 6, whether of the server or of the status page', async (t) => {
  const folder = temporaryFolder(t);
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  t.after(() => blocker.close());
  const { port } = blocker.address() as { port: number };
  const first = await refused(['--listen', `localhost:${port}`, '--no-status'], folder);
  assert.equal(first.code, 6);
  assert.match(first.line, new RegExp(`127\\.0\\.0\\.1:${port}: another program already does.*--listen`));
  // The server listens by then: a process of its own shows that it is closed again.
  const second = await refused(['--listen', 'localhost:0', '--status', `127.0.0.1:${port}`], folder, mayfly);
  assert.equal(second.code, 6);
  assert.match(second.line, new RegExp(`127\\.0\\.0\\.1:${port}: .*--status`));
});

test('serve refuses an address of another machine, with code 7', async (t) => {
  const folder = temporaryFolder(t);
  const { code, line } = await refused(['--listen', '192.0.2.1:0', '--no-status'], folder);
  assert.equal(code, 7);
  assert.match(line, /does not have that address/);
});

test('serve refuses a certificate that no client would accept any more, with code 21', async (t) => {
  const folder = temporaryFolder(t);
  const day = 86_400_000;
  const expired = certificateFiles(folder, { now: Date.now() - 60 * day, prefix: 'expired-' });
  const first = await refused([...anyPort, '--cert', expired.certPath, '--key', expired.keyPath], folder);
  assert.equal(first.code, 21);
  assert.match(first.line, /expired on \d{4}-\d\d-\d\d/);
  const early = certificateFiles(folder, { now: Date.now() + 10 * day, prefix: 'early-' });
  const second = await refused([...anyPort, '--cert', early.certPath, '--key', early.keyPath], folder);
  assert.equal(second.code, 21);
  assert.match(second.line, /not valid before/);
});

test('a damaged development CA is replaced, with a warning', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'mayfly'));
  writeFileSync(join(folder, 'mayfly', 'ca.pem'), 'junk');
  writeFileSync(join(folder, 'mayfly', 'ca-key.pem'), 'junk');
  const { code, stderr } = await mayflyHosted(['serve', '--listen', '192.0.2.1:0', '--no-status'], {
    XDG_STATE_HOME: folder,
  });
  assert.equal(code, 7);
  assert.match(stderr, /warning: the development CA in .* a new one was made/);
});
