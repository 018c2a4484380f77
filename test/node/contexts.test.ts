/** Several certificates in one server, and their renewal while it runs. */

import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign as nodeSign } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import * as nodeTls from 'node:tls';
import { derToPem } from '../../src/certificates/pem.ts';
import * as tls from '../../src/node/tls.ts';
import { type Authority, DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { refuses } from '../support/refusals.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';
import { closing, delay, listen, only, versions } from './support.ts';

const now = Date.now();
const validity = { notBefore: now - DAY, notAfter: now + DAY };
const root = makeRoot({ subject: 'Public root', ...validity });
const privateRoot = makeRoot({ subject: 'Private root', ...validity });
const ca = [derToPem(root.der), derToPem(privateRoot.der)];

interface Made {
  readonly cert: string;
  readonly key: string;
  readonly privateKey: KeyObject;
}

const makers = {
  ecdsa: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ed25519: () => generateKeyPairSync('ed25519'),
  rsa: () => rsaKeyPair(),
} as const;

let serial = 1;
function certificate(type: keyof typeof makers, names: string[], subject: string, by: Authority = root): Made {
  const { publicKey, privateKey } = makers[type]();
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  const leaf = makeLeaf(by, { subject, names, spki, serial: Uint8Array.of(0x4d, serial++), ...validity });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  return { cert: derToPem(leaf.der), key, privateKey };
}

/** The common name of the certificate that a server shows. */
async function shown(port: number, options: nodeTls.ConnectionOptions & tls.ConnectionOptions): Promise<string> {
  const socket = nodeTls.connect({ host: '127.0.0.1', port, servername: 'localhost', ca, ...options } as never);
  await once(socket, 'secureConnect');
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  await closing(socket);
  return String(CN);
}

async function visit(port: number, options: tls.ConnectionOptions): Promise<tls.TLSSocket> {
  const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ca, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

function commonName({ subject }: { subject?: unknown }): string {
  return (subject as { CN: string }).CN;
}

function quiet(server: tls.Server): tls.Server {
  return server.on('secureConnection', (socket: tls.TLSSocket) => socket.on('error', () => {}).resume());
}

describe('one server with certificates of several key types', () => {
  const ecdsa = certificate('ecdsa', ['localhost'], 'ecdsa');
  const ed25519 = certificate('ed25519', ['localhost'], 'ed25519');
  const rsa = certificate('rsa', ['localhost'], 'rsa');
  const all = { cert: [ecdsa.cert, ed25519.cert, rsa.cert], key: [rsa.key, ecdsa.key, ed25519.key] };
  const chains = 'rsa_pkcs1_sha256:ecdsa_secp256r1_sha256';

  for (const version of versions) {
    test(`shows each client the first that it can verify, ${version}`, async () => {
      const server = quiet(tls.createServer({ ...all, ...only(version) }));
      const port = await listen(server);
      assert.equal(await shown(port, {}), 'ecdsa');
      assert.equal(await shown(port, { sigalgs: 'rsa_pss_rsae_sha256' }), 'rsa');
      assert.equal(await shown(port, { sigalgs: `ed25519:rsa_pss_rsae_sha256` }), 'ed25519');
      assert.equal(await shown(port, { sigalgs: chains }), 'ecdsa');
      const suite = 'ECDHE-RSA-AES128-GCM-SHA256';
      if (version === 'TLSv1.2') {
        assert.equal(await shown(port, { ciphers: suite }), 'rsa', 'the suite names the key type');
      }
      server.close();
    });
  }

  test('turns to the certificate under an authority that the client announces', async () => {
    const other = certificate('ecdsa', ['localhost'], 'private', privateRoot);
    const server = quiet(tls.createServer({ cert: [ecdsa.cert, other.cert], key: [ecdsa.key, other.key] }));
    const port = await listen(server);
    for (const [options, expected] of [
      [{ ca: ca[0], announceAuthorities: true }, 'ecdsa'],
      [{ ca: ca[1], announceAuthorities: true }, 'private'],
      [{ ca, announceAuthorities: true }, 'ecdsa'],
    ] as const) {
      const socket = await visit(port, options as tls.ConnectionOptions);
      assert.equal(commonName(socket.getPeerCertificate()), expected);
      socket.destroy();
    }
    // Without the announcement the first comes, and is not trusted.
    await assert.rejects(visit(port, { ca: ca[1] }), { code: 'TLS_ERR_UNKNOWN_CA' });
    server.close();
  });

  test('announcing authorities needs some to announce', () => {
    refuses('TLS_ERR_CONFIG', () => tls.connect({ port: 1, announceAuthorities: true }));
  });
});

describe('certificates by name', () => {
  const fallback = certificate('ecdsa', ['localhost', '*.test'], 'fallback');
  const exact = certificate('rsa', ['*.test'], 'exact');
  const wild = certificate('ed25519', ['*.test'], 'wild');
  const forName = (name: string) => ({ servername: name, checkServerIdentity: () => undefined });

  test('the context added last that matches serves, and `*` stands for one label', async () => {
    const server = quiet(tls.createServer(fallback));
    server.addContext('*.test', wild);
    server.addContext('a.test', exact);
    const port = await listen(server);
    for (const [name, expected] of [
      ['a.test', 'exact'],
      ['A.TEST', 'exact'],
      ['b.test', 'wild'],
      ['a.b.test', 'fallback'],
      ['test', 'fallback'],
      ['xtest', 'fallback'],
      ['localhost', 'fallback'],
    ]) {
      assert.equal(await shown(port, forName(name)), expected, name);
    }
    server.addContext('*.test', exact);
    assert.equal(await shown(port, forName('b.test')), 'exact');
    server.close();
  });

  test('a named context may itself have several key types', async () => {
    const server = quiet(tls.createServer(fallback));
    server.addContext('a.test', { cert: [wild.cert, exact.cert], key: [wild.key, exact.key] });
    const port = await listen(server);
    assert.equal(
      await shown(port, { ...forName('a.test'), sigalgs: 'rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256' }),
      'exact',
    );
    assert.equal(await shown(port, { ...forName('a.test'), sigalgs: 'ed25519:ecdsa_secp256r1_sha256' }), 'wild');
    server.close();
  });

  for (const version of versions) {
    test(`SNICallback answers at once or later, with a context, options or nothing, ${version}`, async () => {
      const contexts: Record<string, unknown> = {
        'a.test': tls.createSecureContext(exact),
        'b.test': wild,
        'c.test': null,
        'd.test': undefined,
      };
      for (const later of [false, true]) {
        const server = quiet(
          tls.createServer({
            ...fallback,
            ...only(version),
            SNICallback(name, callback) {
              const answer = () => callback(null, contexts[name] as tls.SecureContext);
              if (later) {
                setTimeout(answer, 5);
              } else {
                answer();
              }
            },
          }),
        );
        const port = await listen(server);
        assert.equal(await shown(port, forName('a.test')), 'exact');
        assert.equal(await shown(port, forName('b.test')), 'wild');
        assert.equal(await shown(port, forName('c.test')), 'fallback');
        assert.equal(await shown(port, forName('d.test')), 'fallback');
        server.close();
      }
    });

    test(`a SNICallback that fails, throws or answers nonsense ends that handshake alone, ${version}`, async () => {
      const server = quiet(
        tls.createServer({
          ...fallback,
          ...only(version),
          SNICallback(name, callback) {
            if (name === 'throws.test') {
              throw new Error('a mistake');
            }
            if (name === 'fails.test') {
              setImmediate(callback, new Error('no such name'));
              return;
            }
            if (name === 'nonsense.test') {
              callback(null, 'text' as never);
              return;
            }
            callback(null, wild);
            // Once is enough: what is said again is not heard.
            callback(new Error('again'));
          },
        }),
      );
      const port = await listen(server);
      for (const [name, code] of [
        ['throws.test', 'TLS_ERR_UNRECOGNIZED_NAME'],
        ['fails.test', 'TLS_ERR_UNRECOGNIZED_NAME'],
        ['nonsense.test', 'TLS_ERR_CONFIG'],
      ]) {
        const refused = once(server, 'tlsClientError');
        await assert.rejects(visit(port, { servername: name, ...only(version) }), /internal_error/);
        assert.equal((await refused)[0].code, code, name);
      }
      assert.equal(await shown(port, forName('fine.test')), 'wild');
      server.close();
    });
  }

  test('a SNICallback that never answers meets the handshake timeout', async () => {
    const server = quiet(tls.createServer({ ...fallback, handshakeTimeout: 50, SNICallback() {} }));
    const port = await listen(server);
    const refused = once(server, 'tlsClientError');
    await assert.rejects(visit(port, {}));
    assert.equal((await refused)[0].code, 'TLS_ERR_HANDSHAKE_TIMEOUT');
    server.close();
  });
});

describe('a certificate that is renewed while the server runs', () => {
  const before = certificate('ecdsa', ['localhost'], 'before');
  const renewed = certificate('ecdsa', ['localhost'], 'renewed');

  for (const version of versions) {
    test(`serves new connections; those that are open go on and keep their own, ${version}`, async () => {
      const server = tls.createServer({ ...before, ...only(version) }, (socket) => socket.pipe(socket));
      const port = await listen(server);
      const accepted = once(server, 'secureConnection');
      const old = await visit(port, only(version));
      const [oldAtServer] = (await accepted) as [tls.TLSSocket];
      server.setSecureContext({ ...renewed, ...only(version) });
      assert.equal(await shown(port, only(version)), 'renewed');
      old.write('still here');
      assert.equal(String((await once(old, 'data'))[0]), 'still here');
      assert.equal(commonName(oldAtServer.getCertificate()), 'before');
      old.destroy();
      server.close();
    });

    test(`keeps the ticket keys; each client makes one full handshake, and resumes from then on, ${version}`, async () => {
      const server = quiet(tls.createServer({ ...before, ...only(version) }));
      const port = await listen(server);
      const names = server.sessions.status().map(({ name }) => name);
      const visits = async (session?: Buffer): Promise<[boolean, Buffer]> => {
        const accepted = once(server, 'secureConnection');
        const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ca, session, ...only(version) });
        const [got] = (await once(socket, 'session')) as [Buffer];
        await accepted;
        const result: [boolean, Buffer] = [socket.isSessionReused(), got];
        socket.destroy();
        await closing(socket);
        return result;
      };
      const [, first] = await visits();
      server.setSecureContext({ ...before, ...only(version) });
      const [sameCertificate, second] = await visits(first);
      assert.equal(sameCertificate, true, 'the same files read again end no session');
      server.setSecureContext({ ...renewed, ...only(version) });
      const [otherCertificate, third] = await visits(second);
      assert.equal(otherCertificate, false, 'a session is bound to the certificate it was made under');
      assert.ok((server.counters.refusals.policy_changed ?? 0) >= 1, 'and was refused for that, not for its key');
      assert.equal((await visits(third))[0], true);
      assert.deepEqual(
        server.sessions.status().map(({ name }) => name),
        names,
      );
      server.close();
    });

    test(`does not disturb a handshake that waits for a signature of the old key, ${version}`, async () => {
      let release = () => {};
      const asked = new Promise<void>((resolve) => {
        release = resolve;
      });
      let go = () => {};
      const held = new Promise<void>((resolve) => {
        go = resolve;
      });
      const signer = (made: Made, wait: boolean) => ({
        cert: made.cert,
        async sign(_scheme: string, data: Uint8Array) {
          if (wait) {
            release();
            await held;
          }
          return nodeSign('sha256', data, made.privateKey);
        },
      });
      const server = quiet(tls.createServer({ ...signer(before, true), ...only(version) }));
      const port = await listen(server);
      const pending = visit(port, only(version));
      await asked;
      server.setSecureContext({ ...signer(renewed, false), ...only(version) });
      assert.equal(await shown(port, only(version)), 'renewed');
      go();
      const socket = await pending;
      assert.equal(commonName(socket.getPeerCertificate()), 'before');
      socket.destroy();
      server.close();
    });
  }

  test('a bad one is refused, and the old one stays', async () => {
    const server = quiet(tls.createServer(before));
    const port = await listen(server);
    refuses('TLS_ERR_KEY_MISMATCH', () => server.setSecureContext({ cert: renewed.cert, key: before.key }));
    refuses('TLS_ERR_CONFIG', () => server.setSecureContext({ cert: 'nonsense', key: before.key }));
    await delay(1);
    assert.equal(await shown(port, {}), 'before');
    server.close();
  });
});
