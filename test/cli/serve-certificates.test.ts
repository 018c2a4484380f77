/** `mayfly serve` with several certificates: which is shown to whom, their renewal, and pairs that are refused. */

import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { derToPem } from '../../src/certificates/pem.ts';
import { serveCommand } from '../../src/cli/serve.ts';
import { type Authority, DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { makeOcsp } from '../certificates/ocsp-maker.ts';
import { projectRoot } from '../support/project.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import { refusedHere, run, type Serving, serve, temporaryFolder } from './support.ts';

const demo = join(projectRoot, 'demo');
const now = Date.now();
const validity = { notBefore: now - DAY, notAfter: now + 30 * DAY };
const root = makeRoot(validity);
let serial = 0;

function certificate(subject: string, names: readonly string[], rsa = false): Authority & { readonly pem: string } {
  const spec = { subject, names, ...validity, serial: Uint8Array.of(1, serial++) };
  if (!rsa) {
    const made = makeLeaf(root, spec);
    return { ...made, pem: made.key.privateKeyPem };
  }
  const { privateKey, publicKey } = rsaKeyPair();
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  return { ...makeLeaf(root, { ...spec, spki }), pem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
}

const made = {
  ec: certificate('ec', ['localhost', 'a.test']),
  rsa: certificate('rsa', ['a.test', 'localhost'], true),
  wild: certificate('wild', ['*.b.test']),
  exact: certificate('exact', ['X.b.test']),
  again: certificate('again', ['a.test']),
  address: certificate('address', ['127.0.0.1']),
  renewed: certificate('renewed', ['X.b.test', 'c.test']),
};
type Name = keyof typeof made;

function write(folder: string, name: Name): { readonly cert: string; readonly key: string } {
  const paths = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}-key.pem`) };
  writeFileSync(paths.cert, derToPem(made[name].der) + derToPem(root.der));
  writeFileSync(paths.key, made[name].pem, { mode: 0o600 });
  return paths;
}

function pairs(folder: string, ...names: readonly Name[]): string[] {
  return names.flatMap((name) => {
    const { cert, key } = write(folder, name);
    return ['--cert', cert, '--key', key];
  });
}

/** The subject that openssl s_client is shown, or the whole of what it says. */
async function shown({ port }: Serving, args: readonly string[], whole = false): Promise<string> {
  const target = ['s_client', '-connect', `localhost:${port}`, ...args];
  const { stdout, stderr } = await run(requireTool('openssl'), target);
  return whole ? stdout : (/^subject=CN ?= ?(\w+)$/m.exec(stdout)?.[1] ?? stderr);
}

const toName = (name: string) => ['-servername', name];
const EC = ['-sigalgs', 'ECDSA+SHA256'];
const RSA = ['-sigalgs', 'RSA-PSS+SHA256:RSA+SHA256'];

describe('serve with several certificates', { ...skipUnless('openssl') }, () => {
  test('shows each client the one for its name and of a kind that it can check', async (t) => {
    const folder = temporaryFolder(t);
    const staples = [join(folder, 'exact.der'), join(folder, 'rsa.der')];
    const times = { producedAt: now - 3_600_000, thisUpdate: now - 3_600_000, nextUpdate: now + DAY };
    writeFileSync(staples[0], makeOcsp({ leaf: made.exact, issuer: root, ...times }));
    writeFileSync(staples[1], makeOcsp({ leaf: made.rsa, issuer: root, ...times }));
    const flags = [
      ...pairs(folder, 'ec', 'rsa', 'wild', 'exact'),
      ...staples.flatMap((staple) => ['--staple', staple]),
    ];
    const serving = await serve(t, ['--root', demo, ...flags]);
    const cases: readonly (readonly [readonly string[], string])[] = [
      [[...toName('a.test'), ...EC], 'ec'],
      [[...toName('a.test'), ...RSA], 'rsa'],
      [[...toName('A.Test'), ...RSA, '-tls1_2'], 'rsa'],
      [[...toName('a.test'), '-tls1_2'], 'ec'],
      [['-noservername'], 'ec'],
      [['-noservername', ...RSA], 'rsa'],
      [[...toName('elsewhere.test'), ...RSA], 'rsa'],
      [toName('x.b.test'), 'exact'],
      [toName('Y.B.test'), 'wild'],
      [toName('y.x.b.test'), 'ec'],
      [toName('b.test'), 'ec'],
    ];
    for (const [args, subject] of cases) {
      assert.equal(await shown(serving, args), subject, args.join(' '));
    }
    const stapled = async (args: readonly string[]) => /Status: successful/.test(await shown(serving, args, true));
    assert.equal(await stapled([...toName('x.b.test'), '-status']), true);
    assert.equal(await stapled([...toName('y.b.test'), '-status']), false);
    assert.equal(await stapled([...toName('a.test'), ...RSA, '-status']), true);
    assert.equal(await stapled([...toName('a.test'), ...EC, '-status']), false);
    const { certificates } = await serving.until('listening');
    assert.deepEqual(
      (certificates as { key: string }[]).map(({ key }) => key),
      ['EC P-256', 'RSA, 2048 bits', 'EC P-256', 'EC P-256'],
    );
    assert.equal(await serving.stop(), 0);
  });

  test('and workers take all of them anew when one changes, and keep all when one is bad', async (t) => {
    const folder = temporaryFolder(t);
    const serving = await serve(t, ['--root', demo, '--workers', '1', ...pairs(folder, 'ec', 'rsa', 'exact')]);
    assert.equal(await shown(serving, [...toName('a.test'), ...RSA]), 'rsa');
    assert.equal(await shown(serving, toName('x.b.test')), 'exact');
    assert.equal(await shown(serving, toName('c.test')), 'ec');
    const [live, next] = [write(folder, 'exact'), write(folder, 'renewed')];
    copyFileSync(next.cert, live.cert);
    serving.child.kill('SIGHUP');
    assert.match(String((await serving.until('certificate-refused')).message), /exact-key\.pem does not belong/);
    assert.equal(await shown(serving, toName('x.b.test')), 'exact');
    copyFileSync(next.key, live.key);
    serving.child.kill('SIGHUP');
    assert.deepEqual((await serving.until('certificate-renewed')).names, ['localhost', 'a.test', 'X.b.test', 'c.test']);
    assert.equal(await shown(serving, toName('x.b.test')), 'renewed');
    assert.equal(await shown(serving, toName('c.test')), 'renewed');
    assert.equal(await shown(serving, [...toName('a.test'), ...RSA]), 'rsa');
    assert.equal(await serving.stop(), 0);
  });
});

test('serve refuses certificates that do not go together, and says which', async (t) => {
  const folder = temporaryFolder(t);
  const [ec, rsa] = [write(folder, 'ec'), write(folder, 'rsa')];
  const stray = join(folder, 'stray.der');
  writeFileSync(stray, makeOcsp({ leaf: made.exact, issuer: root, thisUpdate: now, producedAt: now }));
  const crossed = ['--cert', ec.cert, '--key', rsa.key, '--cert', rsa.cert, '--key', ec.key];
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [
      ['--cert', ec.cert, '--key', ec.key, '--cert', rsa.cert],
      2,
      /--key is missing: .* 2 times --cert and 1 times --key/,
    ],
    [crossed, 5, /rsa-key\.pem does not belong .*ec\.pem\. Keys go with certificates by their order/],
    [pairs(folder, 'ec', 'again'), 2, /again\.pem would never be shown: .*ec\.pem .*\(EC P-256\) .*\(a\.test\)/],
    [pairs(folder, 'ec', 'ec'), 2, /would never be shown/],
    [pairs(folder, 'ec', 'address'), 2, /address\.pem would never be shown: .* clients ask by a DNS name/],
    [[...pairs(folder, 'ec', 'rsa'), '--staple', stray], 4, /stray\.der cannot be stapled: it says nothing of any/],
    [['--root', folder, ...pairs(folder, 'ec', 'rsa')], 2, /holds the private key .*ec-key\.pem/],
  ];
  for (const [args, code, pattern] of cases) {
    const refused = await refusedHere(serveCommand(), args.includes('--root') ? args : ['--root', demo, ...args]);
    assert.match(refused.line, pattern);
    assert.equal(refused.code, code, refused.line);
  }
});
