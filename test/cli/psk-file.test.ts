/** `--psk-file`: pre-shared keys at `serve` and `connect`, and what is refused of their files. */

import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connectCommand } from '../../src/cli/connect.ts';
import { erasePsks, readPskFile } from '../../src/cli/psk-file.ts';
import { serveCommand } from '../../src/cli/serve.ts';
import { projectRoot } from '../support/project.ts';
import { skipUnless } from '../support/tools.ts';
import {
  certificateFiles,
  mayflyHosted,
  type Owner,
  type Result,
  refusedHere,
  run,
  serve,
  temporaryFolder,
} from './support.ts';

const cleanUps: (() => unknown)[] = [];
const owner: Owner = { after: (cleanUp) => cleanUps.push(cleanUp) };
after(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

const folder = temporaryFolder(owner);
const demo = join(projectRoot, 'demo');
const key = '00112233445566778899aabbccddeeff';
const other = 'ffeeddccbbaa99887766554433221100';

function write(name: string, ...lines: string[]): string {
  const path = join(folder, name);
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 });
  return path;
}

function told(result: Result): Record<string, unknown> {
  assert.equal(result.code, 0, result.stdout + result.stderr);
  return JSON.parse(result.stdout.trimEnd().split('\n').at(-1) ?? '');
}

test('both ends know each other by a key, imported or not; a file that changes is read again', async () => {
  const known = write('server.psk', '# two', '', `web1 ${key} client=web1 server=db1`, `plain ${other} not-imported`);
  const { certPath, keyPath, caPath } = certificateFiles(folder);
  const flags = ['--cert', certPath, '--key', keyPath, '--psk-file', known, '--group', 'x25519', '--workers', '1'];
  const serving = await serve(owner, ['--root', demo, '--no-status', ...flags]);
  const listening = await serving.until('listening');
  assert.equal(listening.preSharedKeys, 2);
  const connect = (...more: string[]) =>
    mayflyHosted(['connect', `localhost:${serving.port}`, '--json', '--ca', caPath, ...more]);
  const imported = write('web1.psk', `web1 ${key} client=web1 server=db1`);
  const session = join(folder, 'session');
  const first = told(await connect('--psk-file', imported, '--session', session));
  assert.equal(first.authenticatedBy, 'externalPsk');
  assert.deepEqual(first.externalPsk, { identity: 'web1', context: { client: 'web1', server: 'db1' } });
  assert.deepEqual([first.namedGroup, first.pskMode, first.chain], ['x25519', 'psk_dhe_ke', []]);
  const again = told(await connect('--psk-file', imported, '--session', session));
  assert.deepEqual([again.resumed, again.authenticatedBy], [true, 'externalPsk']);
  const without = told(await connect('--session', session));
  assert.match(
    String((without.session as { reason: string }).reason),
    /began with a pre-shared key that was not given/,
  );
  const plain = told(await connect('--psk-file', write('plain.psk', `plain ${other} not-imported`)));
  assert.deepEqual(plain.externalPsk, { identity: 'plain', context: null });
  // Turned round, as a reflected connection would be, it is another key.
  const turned = told(await connect('--psk-file', write('turned.psk', `web1 ${key} client=db1 server=web1`)));
  assert.equal(turned.authenticatedBy, 'certificate');

  write('server.psk', `web1 ${other} client=web1 server=db1`);
  serving.child.kill('SIGHUP');
  assert.equal((await serving.until('certificate-renewed')).preSharedKeys, 1);
  const renewed = write('web1.psk', `web1 ${other} client=web1 server=db1`);
  assert.equal(told(await connect('--psk-file', renewed)).authenticatedBy, 'externalPsk');
  const gone = told(await connect('--psk-file', join(folder, 'plain.psk')));
  assert.deepEqual([gone.authenticatedBy, gone.namedGroup], ['certificate', 'x25519']);
  write('server.psk', 'nonsense');
  serving.child.kill('SIGHUP');
  assert.match(String((await serving.until('certificate-refused')).message), /server\.psk, line 1, has no key/);
  assert.equal(told(await connect('--psk-file', renewed)).authenticatedBy, 'externalPsk');
});

test('openssl s_client -psk is known by a key that is not imported', skipUnless('openssl'), async (t) => {
  const known = write('openssl.psk', `peer ${key} not-imported`);
  const serving = await serve(t, ['--root', demo, '--no-status', '--psk-file', known]);
  const { stdout } = await run(
    'openssl',
    ['s_client', '-connect', `localhost:${serving.port}`, '-tls1_3', '-psk', key, '-psk_identity', 'peer'],
    { input: 'Q\n' },
  );
  assert.match(stdout, /no peer certificate available[\s\S]*TLS_AES_128_GCM_SHA256/);
});

test('a file that others can read, or that is not one of keys, is refused, and no key is told', async () => {
  const open = write('open.psk', `a ${key} not-imported`);
  chmodSync(open, 0o640);
  for (const [path, code, pattern] of [
    [open, 3, /can be read by others \(mode 640\)/],
    [join(folder, 'none'), 3, /does not exist/],
    [write('1.psk', '# nothing'), 4, /holds no key/],
    [write('2.psk', '', 'a'), 4, /line 2, has no key/],
    [write('3.psk', `${key} a not-imported`), 4, /line 1, has a key that is not hexadecimal/],
    [write('4.psk', `a ${key}0 not-imported`), 4, /not hexadecimal/],
    [write('5.psk', `a ${key}`), 4, /must say who is who/],
    [write('6.psk', `a ${key} client=x`), 4, /must say who is who/],
    [write('7.psk', `a ${key} not-imported server=x`), 4, /must say who is who/],
    [write('8.psk', `a ${key} not-imported hash=md5`), 4, /a hash that is not known/],
    [write('9.psk', `a ${key} ${other}`), 4, /a field that is none/],
    [write('10.psk', `a ${key.slice(2)} not-imported`), 4, /at least 16 bytes/],
    [write('11.psk', `a ${key} client=${'x'.repeat(256)} server=y`), 4, /at most 255 bytes/],
  ] as const) {
    const refused = await refusedHere(connectCommand(), ['localhost:1', '--psk-file', path]);
    assert.equal(refused.code, code, refused.line);
    assert.match(refused.line, pattern);
    assert(!refused.line.includes(key.slice(2)) && !refused.line.includes(other), refused.line);
  }
  const twice = write('twice.psk', `a ${key} not-imported`, `a ${other} not-imported`);
  for (const [args, code, pattern] of [
    [['--psk-file', twice], 4, /two keys for a/],
    [['--psk-file', open], 3, /can be read by others/],
    [['--psk-file', twice, '--tls', '1.2'], 2, /--psk-file needs TLS 1\.3/],
    [['--psk-file', twice, '--client-ca', twice], 2, /--client-cert request/],
    [['--psk-file', twice, '--root', folder], 2, /holds the pre-shared keys/],
  ] as const) {
    const refused = await refusedHere(serveCommand(), ['--root', demo, ...args]);
    assert.equal(refused.code, code, refused.line);
    assert.match(refused.line, pattern);
  }
});

test('keys come as they stand in the file, and are erased', () => {
  const psks = readPskFile(write('read.psk', `a\t${key.toUpperCase()}  client=x server=y hash=sha384\r`, '#', ''));
  assert.deepEqual(
    psks.map(({ identity, hash, importContext }) => ({ identity, hash, importContext })),
    [{ identity: 'a', hash: 'sha384', importContext: { client: 'x', server: 'y' } }],
  );
  assert.equal(Buffer.from(psks[0].psk).toString('hex'), key);
  erasePsks(psks);
  assert.deepEqual(psks[0].psk, new Uint8Array(16));
});
