/** `mayfly serve` and certificates that change while it runs. */

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { derInteger, derSequence } from '../../src/certificates/der-writer.ts';
import { extensionOids } from '../../src/certificates/oids.ts';
import { derToPem, pemToDer } from '../../src/certificates/pem.ts';
import { serveCommand } from '../../src/cli/serve.ts';
import { connect, type TLSSocket } from '../../src/node/tls.ts';
import { DAY, extension, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { makeOcsp } from '../certificates/ocsp-maker.ts';
import { projectRoot } from '../support/project.ts';
import {
  certificateFiles,
  type Event,
  mayflyHosted,
  refusedHere,
  type Serving,
  serve,
  status,
  temporaryFolder,
} from './support.ts';

const demo = join(projectRoot, 'demo');

/** A connection that is open, and the certificate that it was shown, PEM. */
async function visit(t: TestContext, { port }: Serving, options: object = {}): Promise<[TLSSocket, string, Buffer]> {
  const socket = connect({ host: 'localhost', port, rejectUnauthorized: false, allowTruncation: true, ...options });
  t.after(() => socket.destroy());
  socket.resume();
  const session = await new Promise<Buffer>((resolve, reject) => {
    socket.once('session', resolve);
    socket.once('error', reject);
  });
  return [socket, derToPem((socket.getPeerCertificate() as { raw: Buffer }).raw), session];
}

function first(path: string): string {
  return derToPem(pemToDer(readFileSync(path, 'latin1'))[0]);
}

/** The events of this name from now on. */
async function next(serving: Serving, name: string, seen: number): Promise<Event> {
  await serving.until(name);
  for (;;) {
    const found = serving.events.filter(({ event }) => event === name);
    if (found.length > seen) {
      return found[seen];
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('serve, with certificates that are renewed', () => {
  test('on SIGHUP shows the new one, with open connections, ticket keys and the status page left alone', async (t) => {
    const folder = temporaryFolder(t);
    const { certPath, keyPath } = certificateFiles(folder);
    const other = certificateFiles(folder, { prefix: 'other-', names: ['renewed.test', 'localhost'] });
    const serving = await serve(t, ['--root', demo, '--cert', certPath, '--key', keyPath]);
    const before = first(certPath);
    const [open, shown, session] = await visit(t, serving);
    assert.equal(shown, before);
    const ring = (await status(serving)).ring.keys.map(({ name }) => name);

    serving.child.kill('SIGHUP');
    assert.equal((await serving.until('certificate-unchanged')).reason, 'signal');
    const [again, , kept] = await visit(t, serving, { session });
    assert.equal(again.isSessionReused(), true);

    copyFileSync(other.certPath, certPath);
    copyFileSync(other.keyPath, keyPath);
    serving.child.kill('SIGHUP');
    const renewed = await serving.until('certificate-renewed');
    assert.deepEqual(renewed.names, ['renewed.test', 'localhost']);
    assert.equal(renewed.endsSessions, true);
    const [full, now, latest] = await visit(t, serving, { session: kept });
    assert.equal(now, first(other.certPath));
    assert.equal(full.isSessionReused(), false);
    assert.equal((await visit(t, serving, { session: latest }))[0].isSessionReused(), true);
    const after = await status(serving);
    assert.deepEqual(
      after.ring.keys.map(({ name }) => name),
      ring,
    );
    assert.deepEqual(after.resumptionRefusals, { policy_changed: 1 });
    assert.deepEqual((after as unknown as { certificate: { names: string[] } }).certificate.names, [
      'renewed.test',
      'localhost',
    ]);

    open.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const [answer] = (await new Promise((resolve) => open.once('data', (...data) => resolve(data)))) as [Buffer];
    assert.match(answer.toString('latin1'), /^HTTP\/1\.1 200/, 'the connection from before still serves');
    assert.equal(await serving.stop(), 0);
  });

  test('keeps the old one when the new one is bad, says why, and takes the next good one', async (t) => {
    const folder = temporaryFolder(t);
    const { certPath, keyPath } = certificateFiles(folder);
    const other = certificateFiles(folder, { prefix: 'other-' });
    const expired = certificateFiles(folder, { prefix: 'expired-', now: Date.now() - 40 * DAY, days: 10 });
    const serving = await serve(t, ['--root', demo, '--no-status', '--cert', certPath, '--key', keyPath]);
    const before = first(certPath);
    const bad: [() => void, RegExp][] = [
      [() => copyFileSync(other.certPath, certPath), /does not belong/],
      [() => writeFileSync(certPath, 'nonsense'), /holds no certificate/],
      [() => rmSync(certPath), /does not exist/],
      [
        () => {
          copyFileSync(expired.certPath, certPath);
          copyFileSync(expired.keyPath, keyPath);
        },
        /expired/,
      ],
    ];
    for (const [i, [spoil, reason]] of bad.entries()) {
      spoil();
      serving.child.kill('SIGHUP');
      const refused = (await next(serving, 'certificate-refused', i)).message as string;
      assert.match(refused, reason);
      assert.equal((await visit(t, serving))[1], before);
    }
    const warnings = serving.events.filter(({ event }) => event === 'warning').map(({ message }) => String(message));
    assert.ok(warnings.every((warning) => warning.includes('the certificate in use goes on')));
    copyFileSync(other.certPath, certPath);
    copyFileSync(other.keyPath, keyPath);
    serving.child.kill('SIGHUP');
    await serving.until('certificate-renewed');
    assert.equal((await visit(t, serving))[1], first(other.certPath));
    assert.equal(await serving.stop(), 0);
  });

  test('by itself when the files change, also by an exchange of symbolic links', async (t) => {
    const folder = temporaryFolder(t);
    const made = certificateFiles(folder, { prefix: 'one-' });
    const other = certificateFiles(folder, { prefix: 'two-' });
    const [certPath, keyPath] = [join(folder, 'live-cert.pem'), join(folder, 'live-key.pem')];
    symlinkSync(made.certPath, certPath);
    symlinkSync(made.keyPath, keyPath);
    const serving = await serve(t, ['--root', demo, '--no-status', '--cert', certPath, '--key', keyPath]);
    assert.equal((await visit(t, serving))[1], first(made.certPath));
    for (const [live, target] of [
      [certPath, other.certPath],
      [keyPath, other.keyPath],
    ]) {
      symlinkSync(target, `${live}.new`);
      renameSync(`${live}.new`, live);
    }
    assert.equal((await serving.until('certificate-renewed')).reason, 'files');
    assert.equal((await visit(t, serving))[1], first(other.certPath));
    assert.equal(await serving.stop(), 0);
  });
});

describe('serve --staple', () => {
  const now = Date.now();
  const validity = { notBefore: now - DAY, notAfter: now + 30 * DAY };
  const root = makeRoot(validity);
  const leaf = makeLeaf(root, { names: ['localhost'], ...validity });
  const times = { producedAt: now - 3_600_000, thisUpdate: now - 3_600_000, nextUpdate: now + DAY };

  function files(t: TestContext, staple: Uint8Array): string[] {
    const folder = temporaryFolder(t);
    const paths = ['cert.pem', 'key.pem', 'staple.der'].map((name) => join(folder, name));
    writeFileSync(paths[0], derToPem(leaf.der) + derToPem(root.der));
    writeFileSync(paths[1], leaf.key.privateKeyPem, { mode: 0o600 });
    writeFileSync(paths[2], staple);
    return paths;
  }

  test('staples the response in the file, and a newer one on SIGHUP, which ends no session', async (t) => {
    const [certPath, keyPath, staplePath] = files(t, makeOcsp({ leaf, issuer: root, ...times }));
    const flags = ['--cert', certPath, '--key', keyPath, '--staple', staplePath];
    const serving = await serve(t, ['--root', demo, '--no-status', ...flags]);
    const trusting = { ca: derToPem(root.der), rejectUnauthorized: true, stapling: 'require' };
    const [socket, , session] = await visit(t, serving, trusting);
    assert.deepEqual(Buffer.from(socket.mayfly?.ocspResponse ?? []), readFileSync(staplePath));
    writeFileSync(staplePath, makeOcsp({ leaf, issuer: root, ...times, thisUpdate: now - 60_000 }));
    serving.child.kill('SIGHUP');
    assert.equal((await serving.until('certificate-renewed')).endsSessions, false);
    assert.equal((await visit(t, serving, { session }))[0].isSessionReused(), true);
    const [later] = await visit(t, serving, trusting);
    assert.deepEqual(Buffer.from(later.mayfly?.ocspResponse ?? []), readFileSync(staplePath));
    writeFileSync(staplePath, makeOcsp({ leaf, issuer: root, ...times, status: 'revoked' }));
    serving.child.kill('SIGHUP');
    assert.match(String((await serving.until('certificate-refused')).message), /revoked/);
    await visit(t, serving, trusting);
    assert.equal(await serving.stop(), 0);
  });

  test('is asked for where the certificate says that it must be stapled, at the start and when it is read again', async (t) => {
    const must = makeLeaf(root, {
      names: ['localhost'],
      ...validity,
      more: [extension(extensionOids.tlsFeature, false, derSequence(derInteger(5)))],
    });
    const [certPath, keyPath, staplePath] = files(t, makeOcsp({ leaf: must, issuer: root, ...times }));
    const flags = ['--root', demo, '--no-status', '--cert', certPath, '--key', keyPath];
    const plain = await serve(t, flags);
    const warnings = ({ events }: Serving) =>
      events.filter(({ event }) => event === 'warning').map(({ message }) => String(message));
    assert.deepEqual(warnings(plain), []);
    writeFileSync(certPath, derToPem(must.der) + derToPem(root.der));
    writeFileSync(keyPath, must.key.privateKeyPem);
    plain.child.kill('SIGHUP');
    await plain.until('certificate-renewed');
    const warning = /cert\.pem says that an OCSP response is stapled .*must-staple.* none is: .*refuse.* --staple/;
    assert.equal(warnings(plain).length, 1);
    assert.match(warnings(plain)[0], warning);
    await plain.stop();
    const again = await serve(t, [...flags, '--workers', '1']);
    assert.equal(warnings(again).length, 1);
    assert.match(warnings(again)[0], warning);
    await again.stop();
    assert.deepEqual(warnings(await serve(t, [...flags, '--staple', staplePath])), []);
  });

  test('refuses to begin with a response that is bad', async (t) => {
    const [certPath, keyPath, staplePath] = files(t, makeOcsp({ leaf, issuer: root, ...times, status: 'unknown' }));
    const flags = ['--cert', certPath, '--key', keyPath, '--staple', staplePath];
    const { code, stderr } = await mayflyHosted([
      'serve',
      '--root',
      demo,
      '--listen',
      'localhost:0',
      '--no-status',
      ...flags,
    ]);
    assert.equal(code, 4);
    assert.match(stderr, /cannot be stapled: .*does not know/);
  });

  test('goes with a certificate', async () => {
    const { code, line } = await refusedHere(serveCommand(), ['--staple', 'some.der', '--root', demo]);
    assert.equal(code, 2);
    assert.match(line, /--cert is missing/);
  });
});
