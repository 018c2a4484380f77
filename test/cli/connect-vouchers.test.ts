/** What `connect` tells of stapled responses, timestamps, early data and Encrypted Client Hello. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createServer as createNativeServer } from 'node:tls';
import { concat } from '../../src/bytes/bytes.ts';
import { derToPem } from '../../src/certificates/pem.ts';
import { connectCommand } from '../../src/cli/connect.ts';
import { createServer } from '../../src/node/tls.ts';
import { DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { makeOcsp } from '../certificates/ocsp-maker.ts';
import { EchServer } from '../support/ech-server.ts';
import { projectRoot } from '../support/project.ts';
import { mayflyHosted, type Result, refusedHere, serve, temporaryFolder } from './support.ts';

const now = Date.now();
const validity = { notBefore: now - DAY, notAfter: now + 30 * DAY };
const root = makeRoot(validity);
const leaf = makeLeaf(root, { names: ['localhost'], ...validity });
const credentials = { cert: derToPem(leaf.der), key: leaf.key.privateKeyPem };
const times = { producedAt: now - 3_600_000, thisUpdate: now - 3_600_000, nextUpdate: now + DAY };

interface Listening {
  listen(port: number, host: string, done: () => void): unknown;
  close(): unknown;
  address(): unknown;
}

/** The flags that reach a server. */
async function reach(t: TestContext, server: Listening): Promise<string[]> {
  const ca = join(temporaryFolder(t), 'ca.pem');
  writeFileSync(ca, derToPem(root.der));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return ['connect', `localhost:${(server.address() as { port: number }).port}`, '--ca', ca];
}

function told(result: Result): Record<string, unknown> {
  assert.equal(result.code, 0, result.stdout + result.stderr);
  return JSON.parse(result.stdout.trimEnd().split('\n').at(-1) ?? '');
}

test('a stapled response is judged and told, and so are timestamps, which are not judged', async (t) => {
  const logId = randomBytes(32);
  const at = Buffer.alloc(8);
  at.writeBigUInt64BE(BigInt(now));
  const late = Buffer.alloc(8);
  late.writeBigUInt64BE(2n ** 53n - 1n);
  const timestamp = (time: Buffer) =>
    concat(Uint8Array.of(0), logId, time, Uint8Array.of(0, 0, 4, 3, 0, 2), new Uint8Array(2));
  const reachable = await reach(
    t,
    createServer({
      ...credentials,
      ocspResponse: makeOcsp({ leaf, issuer: root, ...times }),
      // The second says a time that no date has.
      signedCertificateTimestamps: [timestamp(at), timestamp(late)],
    }),
  );
  const report = told(await mayflyHosted([...reachable, '--json']));
  const seconds = (time: number) => new Date(Math.floor(time / 1000) * 1000).toISOString();
  assert.deepEqual(report.ocsp, {
    status: 'good',
    verified: true,
    problem: null,
    producedAt: seconds(times.producedAt),
    thisUpdate: seconds(times.thisUpdate),
    nextUpdate: seconds(times.nextUpdate),
    revokedAt: null,
  });
  assert.deepEqual(report.certificateTimestamps, {
    judged: false,
    list: [
      { logId: logId.toString('base64'), at: new Date(now).toISOString(), by: 'TLS' },
      { logId: null, at: null, by: 'TLS' },
    ],
  });
  const story = await mayflyHosted(reachable);
  assert.match(story.stdout, /OCSP response: good, made .*verified/);
  assert.match(story.stdout, /Timestamps: 2 from 2 logs .*not judged here/);
});

test('a certificate that its staple revokes is refused with code 23; --insecure tells when and by whom', async (t) => {
  const server = createNativeServer(credentials);
  const staple = makeOcsp({ leaf, issuer: root, ...times, status: 'revoked' });
  server.on('OCSPRequest', (_certificate, _issuer, callback) => callback(null, Buffer.from(staple)));
  server.on('tlsClientError', () => {});
  const reachable = await reach(t, server);
  const strict = await mayflyHosted(reachable);
  assert.equal(strict.code, 23, strict.stdout + strict.stderr);
  assert.match(strict.stderr, /was revoked at/);
  const lax = await mayflyHosted([...reachable, '--insecure']);
  assert.equal(lax.code, 0, lax.stderr);
  assert.match(lax.stdout, /not trusted: .* was revoked at [\s\S]*OCSP response: revoked/);
});

test('--early-get goes as early data where the session allows it, else after the handshake, and says which', async (t) => {
  const serving = await serve(t, ['--root', join(projectRoot, 'demo'), '--no-status', '--early-data']);
  const session = join(temporaryFolder(t), 'session');
  const at = ['connect', `localhost:${serving.port}`, '--ca', serving.ca, '--json', '--session', session];
  const first = told(await mayflyHosted([...at, '--early-get', '/']));
  assert.deepEqual(first.earlyRequest, { path: '/', outcome: 'not_sent', response: 'HTTP/1.1 200 OK' });
  const { tickets } = first.session as { tickets: { maxEarlyDataSize: number }[] };
  assert.equal(tickets[0].maxEarlyDataSize, 16_384);
  const second = told(await mayflyHosted([...at, '--early-get', '/none']));
  assert.deepEqual(second.earlyRequest, { path: '/none', outcome: 'taken', response: 'HTTP/1.1 404 Not Found' });
  for (const [flags, pattern] of [
    [['--early-get', '/'], /--session is missing/],
    [['--early-get', 'none', '--session', session], /"none" is not a path/],
    [['--early-get', '/', '--session', session, '--tls', '1.2'], /--early-get needs TLS 1\.3/],
    [['--early-get', '/', '--session', session, '--alpn', 'h2'], /speaks HTTP\/1\.1/],
    [['--ech', 'AAAA'], /no ECHConfigList/],
  ] as const) {
    const { code, line } = await refusedHere(connectCommand(), ['localhost:1', ...flags]);
    assert.equal(code, 2, line);
    assert.match(line, pattern);
  }
});

test('--ech sends a decoy, or ends where the server cannot read the hello, and says what to do', async (t) => {
  const publicLeaf = makeLeaf(root, { names: ['public.example', 'localhost'], ...validity });
  const server = createServer({ cert: derToPem(publicLeaf.der), key: publicLeaf.key.privateKeyPem });
  server.on('tlsClientError', () => {});
  server.on('secureConnection', (socket) => socket.on('error', () => {}));
  const reachable = await reach(t, server);
  assert.equal(told(await mayflyHosted([...reachable, '--json', '--ech', 'grease'])).encryptedClientHello, 'grease');
  assert.equal(told(await mayflyHosted([...reachable, '--json'])).encryptedClientHello, 'none');
  const { configList } = await EchServer.create();
  const refused = await mayflyHosted([...reachable, '--ech', Buffer.from(configList).toString('base64')]);
  assert.equal(refused.code, 16, refused.stdout);
  assert.match(refused.stderr, /does not have ECH any more: leave --ech out/);
});
