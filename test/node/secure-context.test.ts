/** Certificates, keys, algorithms and signers of mayfly/tls: what is taken and what is refused. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants, createPrivateKey, generateKeyPairSync, sign as nodeSign } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import * as tls from '../../src/node/tls.ts';
import { refuses } from '../support/refusals.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import {
  between,
  ca,
  certificateFor,
  collect,
  delay,
  failure,
  listen,
  mayfly,
  native,
  serverOptions,
  trust,
  versions,
} from './support.ts';

const { serve, connect } = between(mayfly, mayfly);

describe('secure contexts', () => {
  test('a key that does not belong to the certificate is refused at creation', () => {
    const { cert } = certificateFor('a.test');
    const { key } = certificateFor('b.test');
    refuses('TLS_ERR_KEY_MISMATCH', () => tls.createSecureContext({ cert, key }));
    refuses('TLS_ERR_KEY_MISMATCH', () => tls.createServer({ cert, key }));
  });

  test('a certificate without a key, and a key without a certificate, are refused', () => {
    const { cert, key } = certificateFor('a.test');
    refuses('TLS_ERR_CONFIG', () => tls.createSecureContext({ cert }));
    refuses('TLS_ERR_CONFIG', () => tls.createSecureContext({ key }));
    refuses('TLS_ERR_CONFIG', () => tls.createSecureContext({ cert: 'no certificate', key }));
    refuses('TLS_ERR_BAD_KEY', () => tls.createSecureContext({ cert, key: 'no key' }));
  });

  test('keys may be KeyObjects, bytes, objects with a passphrase, and stand in any order', () => {
    const a = certificateFor('a.test');
    const b = certificateFor('b.test');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    assert.ok(privateKey);
    const locked = createPrivateKey(a.key).export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'open',
    });
    const context = tls.createSecureContext({
      cert: [a.cert, Buffer.from(b.cert)],
      key: [createPrivateKey(b.key), { pem: locked, passphrase: 'open' }],
    });
    assert.equal(context.credentials.length, 2);
    assert.ok(context.credentials.every((credential) => credential.privateKey !== undefined));
    assert.equal(
      tls.createSecureContext({ cert: a.cert, key: locked as string, passphrase: 'open' }).credentials.length,
      1,
    );
  });

  test('a context of node:tls is refused', () => {
    const secureContext = native.createSecureContext(serverOptions);
    refuses('TLS_ERR_CONFIG', () => tls.createServer({ secureContext }));
    refuses('TLS_ERR_CONFIG', () => tls.createServer(serverOptions).setSecureContext(secureContext));
    refuses('TLS_ERR_CONFIG', () => tls.connect({ port: 1, secureContext }));
  });

  test('what is not supported says so', () => {
    for (const options of [
      { pfx: Buffer.from('x') },
      { crl: 'x' },
      { dhparam: 'x' },
      { ticketKeys: Buffer.alloc(48) },
      { minVersion: 'TLSv1.1' },
      { maxVersion: 'TLSv1' },
      { secureProtocol: 'TLSv1_1_method' },
      { secureProtocol: 'SSLv3_method' },
      { ciphers: 'AES128-SHA:DES-CBC3-SHA:!aNULL' },
      { ciphers: 'TLS_AES_128_CCM_SHA256' },
      { ciphers: 'ECDHE-RSA-AES128-GCM-SHA256', maxVersion: 'TLSv1.3', minVersion: 'TLSv1.3', sigalgs: 'DSA+SHA1' },
      { ciphers: 'TLS_AES_128_GCM_SHA256', maxVersion: 'TLSv1.2' },
      { ecdhCurve: 'brainpoolP256r1' },
      { sigalgs: 'DSA+SHA1' },
    ]) {
      refuses('TLS_ERR_NOT_SUPPORTED', () => tls.createServer({ ...serverOptions, ...(options as object) }));
    }
    // A context made beforehand must not make these pass unseen.
    const secureContext = tls.createSecureContext(serverOptions);
    refuses('TLS_ERR_NOT_SUPPORTED', () => tls.createServer({ secureContext, ...({ crl: 'x' } as object) }));
    for (const options of [
      { minVersion: 'TLS 1.2' },
      { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' },
      { secureProtocol: 'TLSv1_2_method', maxVersion: 'TLSv1.2' },
      { minVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TLSv1_3 },
      { ciphers: '' },
      { ciphers: 7 as unknown as string },
    ]) {
      refuses('TLS_ERR_CONFIG', () => tls.createServer({ ...serverOptions, ...options }));
    }
    const server = tls.createServer(serverOptions);
    assert.match(refuses('TLS_ERR_NOT_SUPPORTED', () => server.getTicketKeys()).message, /sessions/);
    refuses('TLS_ERR_NOT_SUPPORTED', () => server.setTicketKeys(Buffer.alloc(48)));
  });

  test('ciphers and groups are offered in the order given', async () => {
    const [server, port] = await serve({}, (socket) => socket.end());
    for (const [ciphers, ecdhCurve, group] of [
      ['TLS_CHACHA20_POLY1305_SHA256', 'P-384', 'secp384r1'],
      ['TLS_AES_256_GCM_SHA384', 'prime256v1:X25519', 'secp256r1'],
    ]) {
      const socket = connect(port, { ciphers, ecdhCurve });
      await once(socket, 'secureConnect');
      assert.equal((socket.getCipher() as { name: string }).name, ciphers);
      assert.equal(socket.mayfly?.namedGroup, group);
      socket.resume();
      await once(socket, 'close');
    }
    server.close();
  });

  test('versions are agreed between what minVersion, maxVersion and the like leave on both sides', async () => {
    assert.deepEqual([tls.DEFAULT_MIN_VERSION, tls.DEFAULT_MAX_VERSION], ['TLSv1.2', 'TLSv1.3']);
    const cases: readonly (readonly [object, object, string | undefined])[] = [
      [{}, {}, 'TLSv1.3'],
      [{}, { maxVersion: 'TLSv1.2' }, 'TLSv1.2'],
      [{ maxVersion: 'TLSv1.2' }, {}, 'TLSv1.2'],
      [{ minVersion: 'TLSv1.3' }, {}, 'TLSv1.3'],
      [{ minVersion: 'TLSv1.3' }, { maxVersion: 'TLSv1.2' }, undefined],
      [{ maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.3' }, undefined],
      [{ secureProtocol: 'TLSv1_2_method' }, { secureProtocol: 'TLS_method' }, 'TLSv1.2'],
      [{}, { secureProtocol: 'TLSv1_2_client_method' }, 'TLSv1.2'],
      [{ secureOptions: constants.SSL_OP_NO_TLSv1_3 }, {}, 'TLSv1.2'],
      [{ secureOptions: constants.SSL_OP_NO_TLSv1_2 }, { maxVersion: 'TLSv1.2' }, undefined],
      [{ ciphers: 'TLS_AES_128_GCM_SHA256' }, { maxVersion: 'TLSv1.2' }, undefined],
      [{ ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }, {}, 'TLSv1.3'],
    ];
    for (const [atServer, atClient, version] of cases) {
      const server = tls.createServer({ ...serverOptions, ...atServer }, (socket) => socket.end());
      const refused = once(server, 'tlsClientError');
      const port = await listen(server);
      const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust, ...atClient });
      if (version === undefined) {
        assert.match((await failure(socket, 'secureConnect')).message, /protocol_version/);
        assert.match((await refused)[0].code, /^TLS_ERR_(PROTOCOL_VERSION|ALERT_RECEIVED)$/);
      } else {
        await once(socket, 'secureConnect');
        assert.equal(socket.getProtocol(), version);
        socket.resume();
        await once(socket, 'close');
      }
      server.close();
    }
  });

  for (const version of versions) {
    test(`a sign function signs in the place of a key, ${version}`, async () => {
      const { cert, key } = certificateFor('localhost');
      const calls: string[] = [];
      const { serve, connect } = between(mayfly, mayfly, version);
      const [server, port] = await serve(
        {
          cert,
          key: undefined,
          sign: async (scheme, data) => {
            calls.push(scheme);
            await delay(2);
            return nodeSign('sha256', data, key);
          },
        },
        (socket) => socket.end('signed'),
      );
      assert.equal(String(await collect(connect(port))), 'signed');
      assert.deepEqual(calls, ['ecdsa_secp256r1_sha256']);
      server.close();
    });
  }

  test('a sign function that fails, or answers nonsense, ends that handshake with internal_error', async () => {
    const { cert } = certificateFor('localhost');
    for (const sign of [
      () => Promise.reject(new Error('the vault is shut')),
      () => {
        throw new Error('the vault is shut');
      },
      () => undefined as never,
    ]) {
      const [server, port] = await serve({ cert, key: undefined, sign });
      const refused = once(server, 'tlsClientError');
      const error = await failure(connect(port), 'secureConnect');
      assert.equal(error.code, 'TLS_ERR_ALERT_RECEIVED');
      assert.match(error.message, /internal_error/);
      assert.equal((await refused)[0].code, 'TLS_ERR_SIGN_FAILED');
      server.close();
    }
  });

  test('the first certificate whose key the client can verify serves', skipUnless('openssl'), async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mayfly-test-'));
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const args = `req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=localhost -keyout ${key} -out ${cert}`.split(' ');
    execFileSync(requireTool('openssl'), [...args, '-addext', 'subjectAltName=DNS:localhost'], { stdio: 'ignore' });
    const rsa = { cert: readFileSync(cert), key: readFileSync(key) };
    rmSync(folder, { recursive: true });
    const [server, port] = await serve(
      { cert: [serverOptions.cert, rsa.cert], key: [serverOptions.key, rsa.key] },
      (socket) => socket.end(),
    );
    const both = { ca: [ca.certificatePem, rsa.cert] };
    for (const [sigalgs, type] of [
      ['RSA-PSS+SHA256:RSA+SHA256', 'modulus'],
      ['ECDSA+SHA256', 'nistCurve'],
    ]) {
      const options = { host: '127.0.0.1', port, servername: 'localhost', ...both, sigalgs };
      const socket = native.connect(options);
      await once(socket, 'secureConnect');
      assert.ok(type in socket.getPeerCertificate(), `${sigalgs}: ${type}`);
      socket.resume();
      await once(socket, 'close');
    }
    server.close();
  });
});
