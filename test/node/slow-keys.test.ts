/** RSA signatures are made on another thread: what the main thread does meanwhile, and how they fail. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, test } from 'node:test';
import * as nodeTls from 'node:tls';
import { derToPem } from '../../src/certificates/pem.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import { TLSError } from '../../src/errors.ts';
import * as ourTls from '../../src/node/tls.ts';
import { DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';
import { listen, only, serverOptions, trust, versions } from './support.ts';

const validity = { notBefore: Date.now() - DAY, notAfter: Date.now() + DAY };
const root = makeRoot(validity);
const rootPem = derToPem(root.der);
const rsa = rsaCertificate();
const provider = nodeProvider as { -readonly [K in keyof CryptoProvider]: CryptoProvider[K] };
const { sign, signLater } = nodeProvider;

function rsaCertificate(): { readonly cert: string; readonly key: string } {
  const { publicKey, privateKey } = rsaKeyPair();
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  const { der } = makeLeaf(root, { names: ['localhost'], spki, ...validity });
  return { cert: derToPem(der), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
}

/** How often each was called; `later` may do something else in its place. */
function watch(later: CryptoProvider['signLater'] = signLater): { sign: number; signLater: number } {
  const calls = { sign: 0, signLater: 0 };
  provider.sign = (...args) => {
    calls.sign++;
    return sign(...args);
  };
  provider.signLater = (...args) => {
    calls.signLater++;
    return later(...args);
  };
  return calls;
}

afterEach(() => {
  Object.assign(provider, { sign, signLater });
});

for (const version of versions) {
  describe(`keys under ${version}`, () => {
    const to = (port: number) => ({ port, host: '127.0.0.1', servername: 'localhost', ca: rootPem, ...only(version) });

    test('an RSA key signs on another thread at either end, one of another type at once', async () => {
      const calls = watch();
      const server = ourTls.createServer({ ...rsa, requestCert: true, rejectUnauthorized: false, ...only(version) });
      const port = await listen(server);
      const accepted = once(server, 'secureConnection');
      const client = ourTls.connect({ ...to(port), ...rsa });
      const [socket] = await accepted;
      socket.on('error', () => {});
      client.on('error', () => {});
      assert.ok(socket.getPeerCertificate().raw.length > 0);
      assert.deepEqual(calls, { sign: 0, signLater: 2 });
      socket.destroy();
      client.destroy();
      server.close();
      const other = ourTls.createServer({ ...serverOptions, ...only(version) }, (accepted) =>
        accepted.on('error', () => {}),
      );
      const second = ourTls.connect({ ...to(await listen(other)), ...trust });
      await once(second, 'secureConnect');
      assert.deepEqual(calls, { sign: 1, signLater: 2 });
      second.destroy();
      other.close();
    });

    test('node:tls accepts what it signs', async () => {
      const server = ourTls.createServer({ ...rsa, ...only(version) });
      server.on('secureConnection', (socket) => socket.on('error', () => {}));
      const client = nodeTls.connect(to(await listen(server)));
      await once(client, 'secureConnect');
      assert.equal(client.authorized, true);
      client.destroy();
      server.close();
    });

    test('while one connection waits for its signature, another is served', async () => {
      let release: () => void = () => {};
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      let first = true;
      watch(async (...args) => {
        if (first) {
          first = false;
          await held;
        }
        return signLater(...args);
      });
      const server = ourTls.createServer({ ...rsa, ...only(version) }, (socket) =>
        socket.on('error', () => {}).pipe(socket),
      );
      const port = await listen(server);
      const waiting = ourTls.connect(to(port));
      let isSecure = false;
      waiting.once('secureConnect', () => {
        isSecure = true;
      });
      await once(waiting, 'connect');
      const served = ourTls.connect(to(port));
      served.write('hello');
      assert.equal(String((await once(served, 'data'))[0]), 'hello');
      assert.equal(isSecure, false);
      release();
      await once(waiting, 'secureConnect');
      waiting.destroy();
      served.destroy();
      server.close();
    });

    test('a signature that fails ends the connection with internal_error, and that connection alone', async () => {
      watch(() => Promise.reject(new TLSError('TLS_ERR_SIGN_FAILED', 'the key is gone')));
      const server = ourTls.createServer({ ...rsa, ...only(version) });
      const failed = once(server, 'tlsClientError');
      const port = await listen(server);
      const client = ourTls.connect(to(port));
      const [error] = await once(client, 'error');
      assert.equal(error.alert, 'internal_error');
      assert.equal((await failed)[0].code, 'TLS_ERR_SIGN_FAILED');
      watch();
      server.on('secureConnection', (socket) => socket.on('error', () => {}));
      const next = ourTls.connect(to(port));
      await once(next, 'secureConnect');
      next.destroy();
      server.close();
    });

    test('a signature that comes when its connection is gone is nobody’s', async () => {
      let release: () => void = () => {};
      const asked = new Promise<void>((noteAsked) => {
        watch(async (...args) => {
          noteAsked();
          await new Promise<void>((resolve) => {
            release = resolve;
          });
          return signLater(...args);
        });
      });
      const server = ourTls.createServer({ ...rsa, ...only(version) });
      const failed = once(server, 'tlsClientError');
      const connected = once(server, 'connection');
      const client = ourTls.connect(to(await listen(server)));
      client.on('error', () => {});
      const [transport] = await connected;
      await asked;
      transport.destroy();
      await failed;
      release();
      client.destroy();
      server.close();
      await once(server, 'close');
    });
  });
}
