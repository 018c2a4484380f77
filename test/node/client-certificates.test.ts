/** Client certificates over `mayfly/tls`: whom a server lets in and as whom, with `node:tls` as the witness. */

import assert from 'node:assert/strict';
import { createPrivateKey, sign as nodeSign } from 'node:crypto';
import { once } from 'node:events';
import { describe, mock, test } from 'node:test';
import { keyPurposeOids } from '../../src/certificates/oids.ts';
import type { PeerCertificate } from '../../src/certificates/peer-certificate.ts';
import type { SignatureScheme } from '../../src/crypto/signatures.ts';
import type { ConnectionOptions, TLSSocket, TlsOptions } from '../../src/node/tls.ts';
import * as tls from '../../src/node/tls.ts';
import { restrictedRsaPss } from '../crypto/rsa-pss.ts';
import { refuses } from '../support/refusals.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';
import { alice, bob, clientCa, clientCertificate, mallory } from './client-support.ts';
import {
  between,
  cases,
  closing,
  failure,
  mayfly,
  native,
  serverOptions,
  type Tls,
  type Version,
  versions,
} from './support.ts';

interface Seen {
  readonly authorized: boolean;
  readonly error: unknown;
  readonly subject: string | undefined;
  readonly reused: boolean;
}

function seen(socket: TLSSocket): Seen {
  const { subject } = socket.getPeerCertificate() as Partial<PeerCertificate>;
  return {
    authorized: socket.authorized,
    error: socket.authorizationError,
    subject: subject?.CN as string | undefined,
    reused: socket.isSessionReused(),
  };
}

type Outcome = { readonly in: Seen; readonly session: Buffer | undefined } | { readonly refused: Error };

interface Site {
  visit(options?: ConnectionOptions): Promise<Outcome>;
  readonly server: tls.Server;
}

/** A server that says whom it saw, and clients of it. */
async function site(
  version: Version,
  options: TlsOptions,
  [serverTls, clientTls]: readonly [Tls, Tls] = [mayfly, mayfly],
): Promise<Site> {
  const { serve, connect } = between(serverTls, clientTls, version);
  const visits: Seen[] = [];
  const [server, port] = await serve(options, (socket) => {
    visits.push(seen(socket));
    socket.on('error', () => {});
    socket.end('hello');
  });
  server.on('tlsClientError', (_error, socket: TLSSocket) => socket.on('error', () => {}));
  return {
    server,
    async visit(own = {}) {
      const socket = connect(port, own);
      let session: Buffer | undefined;
      let refused: Error | undefined;
      socket.on('session', (newest: Buffer) => {
        session = newest;
      });
      socket.on('error', (error) => {
        refused = error;
      });
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk;
      });
      await closing(socket);
      const visit = visits.pop();
      if (text === 'hello' && visit !== undefined) {
        return { in: visit, session };
      }
      assert.equal(visit, undefined, 'a client that got nothing was not let in');
      return { refused: refused ?? new Error('closed without a word') };
    },
  };
}

function letIn(outcome: Outcome): Seen & { readonly session: Buffer | undefined } {
  assert.ok('in' in outcome, `refused: ${'refused' in outcome ? outcome.refused.stack : ''}`);
  return { ...outcome.in, session: outcome.session };
}

function turnedAway(outcome: Outcome, message?: RegExp): void {
  assert.ok('refused' in outcome, `let in: ${JSON.stringify(outcome)}`);
  if (message !== undefined) {
    assert.match(outcome.refused.message, message);
  }
}

const asking = { requestCert: true, ca: clientCa.pem };

for (const { name, server, client, version } of cases) {
  describe(name, () => {
    test('a server that asks knows its clients by their certificates, and turns others away', async () => {
      const { visit, server: listening } = await site(version, asking, [server, client]);
      for (const [who, subject] of [
        [alice, 'alice'],
        [bob, 'bob'],
      ] as const) {
        const { authorized, error, subject: known } = letIn(await visit(who));
        assert.deepEqual(
          { authorized, error: error ?? null, known },
          { authorized: true, error: null, known: subject },
        );
      }
      turnedAway(await visit());
      turnedAway(await visit(mallory));
      turnedAway(await visit(clientCertificate('a server', { extKeyUsage: [keyPurposeOids.server] })));
      turnedAway(await visit(clientCertificate('late', { notAfter: Date.now() - 1_000 })));
      listening.close();
    });

    test('with rejectUnauthorized false all are let in, and authorized tells', async () => {
      const { visit, server: listening } = await site(version, { ...asking, rejectUnauthorized: false }, [
        server,
        client,
      ]);
      assert.equal(letIn(await visit(alice)).authorized, true);
      for (const [options, subject] of [
        [{}, undefined],
        [mallory, 'mallory'],
        [clientCertificate('a server', { extKeyUsage: [keyPurposeOids.server] }), 'a server'],
      ] as const) {
        const { authorized, error, subject: known } = letIn(await visit(options));
        assert.equal(authorized, false);
        assert.equal(typeof error, 'string');
        assert.equal(known, subject);
      }
      listening.close();
    });

    test('a server that does not ask is shown no certificate', async () => {
      const { visit, server: listening } = await site(version, { ca: clientCa.pem }, [server, client]);
      const { authorized, error, subject } = letIn(await visit(alice));
      assert.deepEqual([authorized, error ?? null, subject], [false, null, undefined]);
      listening.close();
    });
  });
}

for (const version of versions) {
  describe(`client certificates of mayfly/tls, ${version}`, () => {
    test('the reason why a client is not authorized is a code, and one that is refused is told by an alert', async () => {
      const lenient = await site(version, { ...asking, rejectUnauthorized: false });
      for (const [options, code] of [
        [{}, 'TLS_ERR_CERTIFICATE_REQUIRED'],
        [mallory, 'TLS_ERR_UNKNOWN_CA'],
        [clientCertificate('late', { notAfter: Date.now() - 1_000 }), 'TLS_ERR_CERTIFICATE_EXPIRED'],
        [clientCertificate('x', { extKeyUsage: [keyPurposeOids.server] }), 'TLS_ERR_BAD_CERTIFICATE'],
      ] as const) {
        assert.equal(letIn(await lenient.visit(options)).error, code);
      }
      lenient.server.close();
      const strict = await site(version, asking);
      const heard: unknown[] = [];
      strict.server.on('tlsClientError', (error) => heard.push(error.code));
      turnedAway(await strict.visit(), version === 'TLSv1.3' ? /certificate_required/ : /handshake_failure/);
      turnedAway(await strict.visit(mallory), /unknown_ca/);
      assert.deepEqual(heard, ['TLS_ERR_CERTIFICATE_REQUIRED', 'TLS_ERR_UNKNOWN_CA']);
      strict.server.close();
    });

    test('without ca the roots of Node are trusted, and none of their names is sent', async () => {
      const { visit, server } = await site(version, { requestCert: true });
      turnedAway(await visit(alice), /unknown_ca/);
      server.close();
    });

    test('both ends show their certificates and the whole chain', async () => {
      const { serve, connect } = between(mayfly, mayfly, version);
      const [server, port] = await serve(asking, (socket) => socket.end());
      const accepted = once(server, 'secureConnection');
      const client = connect(port, { ...alice, cert: `${alice.cert}\n${clientCa.pem}` });
      const [socket] = (await accepted) as [TLSSocket];
      const chain = socket.getPeerCertificate(true) as PeerCertificate;
      assert.equal(chain.subject.CN, 'alice');
      assert.equal(chain.issuerCertificate?.subject.CN, 'Clients');
      await closing(client.resume());
      assert.equal((client.getCertificate() as PeerCertificate).subject.CN, 'alice');
      server.close();
    });

    test('a client may hold its key elsewhere, under a passphrase, or have one for each kind of server', async () => {
      const { visit, server } = await site(version, asking);
      const key = createPrivateKey(alice.key);
      const sign = async (scheme: SignatureScheme, data: Uint8Array) => {
        assert.equal(scheme, 'ecdsa_secp256r1_sha256');
        return nodeSign('sha256', data, key);
      };
      assert.equal(letIn(await visit({ cert: alice.cert, sign })).subject, 'alice');
      const locked = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'open' }) as string;
      assert.equal(letIn(await visit({ cert: alice.cert, key: locked, passphrase: 'open' })).subject, 'alice');
      const failing = () => Promise.reject(new Error('the KMS is away'));
      const failed = await visit({ cert: alice.cert, sign: failing });
      turnedAway(failed, /the KMS is away/);
      assert.equal('refused' in failed && (failed.refused as tls.TLSError).code, 'TLS_ERR_SIGN_FAILED');
      server.close();
      const rsa = clientCertificate('rsa', { keys: rsaKeyPair() });
      const both = { cert: [rsa.cert, alice.cert], key: [alice.key, rsa.key] };
      for (const [sigalgs, subject] of [
        [undefined, 'rsa'],
        ['ECDSA+SHA256', 'alice'],
      ] as const) {
        const choosy = await site(version, { ...asking, sigalgs }, [native, mayfly]);
        assert.equal(letIn(await choosy.visit(both)).subject, subject);
        choosy.server.close();
      }
    });

    test('a key restricted to one kind of RSA-PSS serves on both sides', async () => {
      for (const [hash, salt, scheme] of [
        ['sha256', 32, 'rsa_pss_pss_sha256'],
        ['sha384', 48, 'rsa_pss_pss_sha384'],
      ] as const) {
        const who = clientCertificate('restricted', { keys: restrictedRsaPss(hash, hash, salt) });
        const ownKeys = restrictedRsaPss(hash, hash, salt);
        const own = clientCertificate('localhost', {
          keys: ownKeys,
          extKeyUsage: [keyPurposeOids.server],
        });
        const { visit, server } = await site(version, { ...asking, ...own });
        const options = { ca: clientCa.pem, checkServerIdentity: () => undefined };
        assert.equal(letIn(await visit({ ...who, ...options })).subject, 'restricted');
        server.close();
        const schemes = tls.createSecureContext(who).credentials.map((credential) => credential.schemes);
        assert.deepEqual(schemes, [[scheme]]);
      }
    });

    test('a resumed session has the client of its full handshake', async () => {
      const { visit, server } = await site(version, asking);
      let { session } = letIn(await visit(alice));
      for (let i = 0; i < 3; i++) {
        const again = letIn(await visit({ ...alice, session }));
        assert.deepEqual([again.reused, again.authorized, again.subject], [true, true, 'alice']);
        session = again.session ?? session;
      }
      server.close();
    });

    test('a session whose certificate has expired since is not resumed: the client is asked anew', async () => {
      const shortly = clientCertificate('shortly', { notAfter: Math.floor(Date.now() / 1000) * 1000 + 600_000 });
      const strict = await site(version, asking);
      const lenient = await site(version, { ...asking, rejectUnauthorized: false });
      const first = letIn(await strict.visit(shortly));
      const other = letIn(await strict.visit(shortly));
      const third = letIn(await lenient.visit(shortly));
      mock.timers.enable({ apis: ['Date'], now: Date.now() + 660_000 });
      try {
        turnedAway(await strict.visit({ ...shortly, session: first.session }), /certificate_expired/);
        const renewed = letIn(await strict.visit({ ...alice, session: other.session }));
        assert.deepEqual([renewed.reused, renewed.subject, renewed.authorized], [false, 'alice', true]);
        assert.deepEqual(strict.server.counters.refusals, { client_untrusted: 1 });
        const told = letIn(await lenient.visit({ ...shortly, session: third.session }));
        assert.deepEqual([told.reused, told.subject, told.authorized], [true, 'shortly', false]);
        assert.equal(told.error, 'TLS_ERR_CERTIFICATE_EXPIRED');
      } finally {
        mock.timers.reset();
      }
      strict.server.close();
      lenient.server.close();
    });

    test('a certificate that expires while its resumption is under way is not let in', async () => {
      const shortly = clientCertificate('shortly', { notAfter: Math.floor(Date.now() / 1000) * 1000 + 600_000 });
      const { visit, server } = await site(version, asking);
      const { session } = letIn(await visit(shortly));
      const heard = once(server, 'tlsClientError');
      const accepted = mock.fn();
      server.on('secureConnection', accepted);
      const { port } = server.address() as { port: number };
      const client = between(mayfly, mayfly, version).connect(port, { ...shortly, session });
      const failed = failure(client, 'data');
      // The server has taken the session, and waits for the client's Finished.
      client.once('keylog', () => mock.timers.enable({ apis: ['Date'], now: Date.now() + 660_000 }));
      try {
        const [error] = await heard;
        assert.equal(error.code, 'TLS_ERR_CERTIFICATE_EXPIRED');
        assert.match((await failed).message, /access_denied/);
        assert.equal(accepted.mock.callCount(), 0);
      } finally {
        mock.timers.reset();
      }
      server.close();
    });
  });
}

describe('the options on client certificates', () => {
  test('a server and its secureContext cannot say opposite things', () => {
    const secureContext = tls.createSecureContext({ ...serverOptions, requestCert: false });
    refuses('TLS_ERR_CONFIG', () => tls.createServer({ secureContext, requestCert: true }));
    tls.createServer({ secureContext, requestCert: false }).close();
  });

  test('lists of revoked certificates are refused, not overlooked', () => {
    refuses('TLS_ERR_NOT_SUPPORTED', () =>
      tls.createServer({ ...serverOptions, ...asking, ...({ crl: 'x' } as object) }),
    );
  });

  test('a ca that cannot be read is refused when the server is made', () => {
    refuses('TLS_ERR_CONFIG', () => tls.createServer({ ...serverOptions, requestCert: true, ca: 'nonsense' }));
  });
});
