/** Certificates that must be stapled and what else they demand, through mayfly/tls: by default, judged, and later on. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import * as nodeTls from 'node:tls';
import { derInteger, derSequence } from '../../src/certificates/der-writer.ts';
import { extensionOids } from '../../src/certificates/oids.ts';
import { derToPem } from '../../src/certificates/pem.ts';
import * as tls from '../../src/node/tls.ts';
import { decodeClientSession, encodeClientSession } from '../../src/session/client-session.ts';
import { type Authority, DAY, extension, makeIntermediate, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { makeOcsp, type OcspSpec } from '../certificates/ocsp-maker.ts';
import { closing, listen, only, versions } from '../node/support.ts';

const now = Date.now();
const validity = { notBefore: now - DAY, notAfter: now + 30 * DAY };
const feature = (critical: boolean) => ({
  more: [extension(extensionOids.tlsFeature, critical, derSequence(derInteger(5)))],
});
const root = makeRoot({ subject: 'Stapling root', ...validity });
const issuer = makeIntermediate(root, validity);
const server = { names: ['localhost'], ...validity };
const mustStaple = makeLeaf(issuer, { ...server, ...feature(false) });
const critical = makeLeaf(issuer, { ...server, ...feature(true) });
const trust = { ca: derToPem(root.der) };

function pem(leaf: Authority, between = issuer): { cert: string; key: string } {
  return { cert: derToPem(leaf.der) + derToPem(between.der), key: leaf.key.privateKeyPem };
}

function staple(leaf: Authority, spec: Partial<OcspSpec> = {}): Uint8Array {
  const times = { producedAt: now - 60_000, thisUpdate: now - 60_000, nextUpdate: now + DAY };
  return makeOcsp({ leaf, issuer, ...times, ...spec });
}

/** Staples what `next` gives, each time it is asked. */
async function serve(options: tls.TlsOptions, next: () => Uint8Array | undefined): Promise<[tls.Server, number]> {
  const made = tls.createServer(options, (socket) => socket.on('error', () => {}).resume());
  made.on('OCSPRequest', (_certificate: Buffer, _issuer: Buffer, callback: tls.OcspCallback) => callback(null, next()));
  made.on('tlsClientError', () => {});
  return [made, await listen(made)];
}

function connect(port: number, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust, ...options });
  return socket.on('error', () => {});
}

/** 'fine', or the code of what went wrong. */
function outcome(socket: tls.TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('secureConnect', () => resolve('fine'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

async function visit(port: number, options: tls.ConnectionOptions = {}): Promise<string> {
  const socket = connect(port, options);
  const ended = await outcome(socket);
  socket.destroy();
  await closing(socket);
  return ended;
}

for (const version of versions) {
  const options = only(version);

  describe(`through mayfly/tls, ${version},`, () => {
    test('a critical TLS feature is refused by a client that judges no staples, and is what it says to others', async () => {
      for (const [response, byDefault, asked, checked] of [
        [undefined, 'TLS_ERR_BAD_CERTIFICATE', 'TLS_ERR_BAD_CERTIFICATE', 'TLS_ERR_BAD_STATUS'],
        [staple(critical), 'TLS_ERR_BAD_CERTIFICATE', 'TLS_ERR_BAD_CERTIFICATE', 'fine'],
      ] as const) {
        const [made, port] = await serve({ ...pem(critical), ...options }, () => response);
        assert.equal(await visit(port), byDefault);
        // Whoever asks and judges for himself must look at the certificate himself, too.
        assert.equal(await visit(port, { requestOCSP: true }), asked);
        assert.equal(await visit(port, { stapling: 'check' }), checked);
        assert.equal(await visit(port, { stapling: 'require' }), checked);
        made.close();
      }
    });

    test('a CA that demands to be stapled is not got round by a certificate that does not say so', async () => {
      const demanding = makeIntermediate(root, { ...validity, subject: 'Demanding', ...feature(false) });
      const lax = makeLeaf(demanding, server);
      const [made, port] = await serve({ ...pem(lax, demanding), ...options }, () => undefined);
      assert.equal(await visit(port), 'TLS_ERR_BAD_CERTIFICATE');
      assert.equal(await visit(port, { stapling: 'check' }), 'TLS_ERR_BAD_CERTIFICATE');
      made.close();
      const bound = makeLeaf(demanding, { ...server, ...feature(false) });
      const [other, second] = await serve({ ...pem(bound, demanding), ...options }, () => undefined);
      assert.equal(await visit(second), 'fine');
      assert.equal(await visit(second, { stapling: 'check' }), 'TLS_ERR_BAD_STATUS');
      other.close();
    });

    test('a session goes on without a staple, and the full handshake after it does not', async () => {
      let response: Uint8Array | undefined = staple(critical);
      const [made, port] = await serve({ ...pem(critical), ...options }, () => response);
      const sessionCache = new tls.ClientSessions();
      const first = connect(port, { sessionCache, stapling: 'check' });
      await once(first, 'session');
      first.destroy();
      await closing(first);
      response = undefined;
      const second = connect(port, { sessionCache, stapling: 'check' });
      assert.equal(await outcome(second), 'fine');
      assert.equal(second.isSessionReused(), true);
      assert.equal(second.authorized, true);
      second.destroy();
      await closing(second);
      assert.equal(await visit(port, { stapling: 'check' }), 'TLS_ERR_BAD_STATUS');
      assert.equal(
        await visit(port, { sessionCache }),
        'TLS_ERR_BAD_CERTIFICATE',
        'nor is it found by who judges none',
      );
      made.close();
    });

    test('a session whose certificate cannot be read, or must be stapled, is not resumed by who judges staples', async () => {
      const [made, port] = await serve({ ...pem(mustStaple), ...options }, () => staple(mustStaple));
      const sessionOf = async (): Promise<Buffer> => {
        const socket = connect(port);
        const [session] = await once(socket, 'session');
        socket.destroy();
        await closing(socket);
        return session;
      };
      const reused = async (session: Uint8Array, stapling: 'check' | undefined): Promise<boolean> => {
        const socket = connect(port, { session, stapling });
        assert.equal(await outcome(socket), 'fine');
        const was = socket.isSessionReused();
        socket.destroy();
        await closing(socket);
        return was;
      };
      assert.equal(await reused(await sessionOf(), undefined), true);
      assert.equal(await reused(await sessionOf(), 'check'), false);
      const decoded = decodeClientSession(await sessionOf());
      const chain = [Uint8Array.of(0x30, 0)];
      const encoded = encodeClientSession({ ...decoded, peerCertificates: chain });
      decoded.secret.erase();
      const unreadable = encoded.surrender('test');
      assert.deepEqual(decodeClientSession(unreadable).peerCertificates, chain);
      assert.equal(await reused(unreadable, 'check'), false);
      made.close();
    });

    test("a client's certificate with a critical TLS feature is not believed, as no server can ask it for a staple", async () => {
      const client = makeLeaf(issuer, { extKeyUsage: null, ...validity, ...feature(true) });
      const asking = { ...pem(mustStaple), ...trust, ...options, requestCert: true };
      const [lax, port] = await serve({ ...asking, rejectUnauthorized: false }, () => undefined);
      const accepted = once(lax, 'secureConnection') as Promise<[tls.TLSSocket]>;
      const socket = connect(port, pem(client));
      const [ours] = await accepted;
      assert.deepEqual([ours.authorized, ours.authorizationError], [false, 'TLS_ERR_BAD_CERTIFICATE']);
      socket.destroy();
      await closing(socket);
      lax.close();
      const [strict, second] = await serve(asking, () => undefined);
      const refused = once(strict, 'tlsClientError');
      await visit(second, pem(client));
      assert.equal((await refused)[0].code, 'TLS_ERR_BAD_CERTIFICATE');
      strict.close();
    });

    test('rubbish behind the certificate of a client that is let in makes nothing throw', async () => {
      // OpenSSL reads it, and node:tls sends it; what appears twice is refused here (RFC 5280 §4.2).
      const twice = extension('1.2.3.4', false, derInteger(1));
      const rubbish = makeIntermediate(root, { ...validity, more: [twice, twice] });
      const client = makeLeaf(issuer, { extKeyUsage: null, ...validity });
      const asking = { ...pem(mustStaple), ...trust, ...options, requestCert: true, rejectUnauthorized: false };
      const [made, port] = await serve(asking, () => undefined);
      const accepted = once(made, 'secureConnection') as Promise<[tls.TLSSocket]>;
      const identity = pem(client, rubbish);
      const socket = nodeTls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust, ...identity });
      socket.on('error', () => {});
      const [ours] = await accepted;
      assert.equal(ours.authorizationError, 'TLS_ERR_UNKNOWN_CA');
      const shown = ours.getPeerCertificate(true);
      assert.deepEqual((shown as nodeTls.PeerCertificate).raw, Buffer.from(client.der));
      assert.equal('issuerCertificate' in shown, false);
      socket.destroy();
      await closing(ours);
      made.close();
    });
  });
}

describe('in a renegotiation', () => {
  for (const [what, then, code] of [
    ['that is stapled no more', undefined, 'TLS_ERR_BAD_STATUS'],
    ['that was revoked meanwhile', staple(mustStaple, { status: 'revoked' }), 'TLS_ERR_CERTIFICATE_REVOKED'],
    ['that is stapled again', staple(mustStaple), null],
  ] as const) {
    test(`a certificate ${what} ${code === null ? 'is believed' : 'ends the connection'}`, async () => {
      let response: Uint8Array | undefined = staple(mustStaple);
      const [made, port] = await serve({ ...pem(mustStaple), ...only('TLSv1.2') }, () => response);
      const accepted = once(made, 'secureConnection') as Promise<[tls.TLSSocket]>;
      const socket = connect(port, { stapling: 'check' });
      assert.equal(await outcome(socket), 'fine');
      const [ours] = await accepted;
      response = then;
      const failed = code === null ? undefined : once(socket, 'error');
      const told = await new Promise<Error | null>((resolve) => ours.renegotiate({}, resolve));
      assert.equal(told === null, code === null);
      assert.equal((await failed)?.[0].code ?? null, code);
      assert.equal(socket.destroyed, code !== null);
      socket.destroy();
      await closing(ours);
      made.close();
    });
  }
});

for (const version of versions) {
  test(`${version}: once its certificate is known to be revoked, no session of a server resumes`, async () => {
    let response = staple(mustStaple);
    const [made, port] = await serve({ ...pem(mustStaple), ...only(version) }, () => response);
    const sessionCache = new tls.ClientSessions();
    const options = { stapling: 'check', sessionCache } as const;
    const first = connect(port, options).resume();
    await once(first, 'session');
    first.destroy();
    await closing(first);
    assert(sessionCache.size > 0);
    response = staple(mustStaple, { status: 'revoked' });
    // What cannot be read is not offered: a full handshake follows.
    assert.equal(await visit(port, { ...options, session: Buffer.alloc(1) }), 'TLS_ERR_CERTIFICATE_REVOKED');
    assert.equal(sessionCache.size, 0);
    assert.equal(await visit(port, options), 'TLS_ERR_CERTIFICATE_REVOKED');
    made.close();
  });
}

test('a response without nextUpdate is stapled for the day for which clients believe it', async (t) => {
  const ocspResponse = staple(mustStaple, { thisUpdate: now, nextUpdate: null });
  const made = tls.createServer({ ...pem(mustStaple), ocspResponse }, (socket) =>
    socket.on('error', () => {}).resume(),
  );
  const port = await listen(made);
  const stapled = async () => {
    const socket = connect(port, { requestOCSP: true });
    const [received] = await once(socket, 'OCSPResponse');
    socket.destroy();
    await closing(socket);
    return received !== null;
  };
  t.mock.timers.enable({ apis: ['Date'], now: now + DAY - 1000 });
  assert.equal(await stapled(), true);
  t.mock.timers.setTime(now + DAY + 1000);
  assert.equal(await stapled(), false);
  t.mock.timers.reset();
  made.close();
});
