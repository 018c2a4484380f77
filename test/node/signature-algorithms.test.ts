import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { createServer } from 'node:tls';
import { checkSigalgs, parseSigalgs } from '../../src/node/signature-algorithms.ts';
import { identity } from '../support/connections.ts';
import { refuses } from '../support/refusals.ts';
import { listen, mayfly, native, serverOptions, trust } from './support.ts';

const BOTH = ['TLSv1.3', 'TLSv1.2'] as const;
const ONLY12 = ['TLSv1.2'] as const;

describe('sigalgs', () => {
  test('takes the names of OpenSSL and of IANA, each once, in the order given', () => {
    assert.deepEqual(parseSigalgs('PSS+SHA256:rsa-pss+sha384:Ed25519:rsa_pss_rsae_sha256:RSA+SHA512', BOTH), [
      'rsa_pss_rsae_sha256',
      'rsa_pss_rsae_sha384',
      'ed25519',
      'rsa_pkcs1_sha512',
    ]);
    assert.equal(parseSigalgs(undefined, BOTH), undefined);
  });

  test('refuses names that are unknown or unsafe, and what leaves TLS 1.3 without any', () => {
    for (const name of [
      '',
      'RSA+SHA1',
      'ECDSA+SHA1',
      'rsa_pkcs1_sha1',
      'RSA+MD5',
      'DSA+SHA256',
      'toString',
      'ed25519:',
    ]) {
      refuses('TLS_ERR_NOT_SUPPORTED', () => parseSigalgs(name, ONLY12));
    }
    refuses('TLS_ERR_CONFIG', () => parseSigalgs('RSA+SHA256', BOTH));
    assert.deepEqual(parseSigalgs('RSA+SHA256', ONLY12), ['rsa_pkcs1_sha256']);
  });

  test('refuses a certificate that could not be shown, and a version in which none could', () => {
    const only = (type: 'rsa' | 'ec-p256', sigalgs: string) => ({
      ...identity(type).credential,
      allowedSchemes: parseSigalgs(sigalgs, BOTH),
    });
    refuses('TLS_ERR_CONFIG', () => checkSigalgs([only('rsa', 'ECDSA+SHA256')], BOTH));
    const mixed = 'ECDSA+SHA256:RSA+SHA256';
    refuses('TLS_ERR_CONFIG', () => checkSigalgs([only('rsa', mixed)], BOTH));
    checkSigalgs([only('rsa', mixed), only('ec-p256', mixed)], BOTH);
  });

  test('a client offers these and no others, as node:tls does', async () => {
    const server = createServer(serverOptions);
    const port = await listen(server);
    for (const client of [native, mayfly]) {
      const heard = once(server, 'secureConnection');
      const sigalgs = 'ECDSA+SHA256:RSA-PSS+SHA512';
      const socket = client.connect({ ...trust, host: '127.0.0.1', port, servername: 'localhost', sigalgs });
      const [served] = await heard;
      server.unref();
      assert.deepEqual(served.getSharedSigalgs(), ['ECDSA+SHA256', 'RSA-PSS+SHA512']);
      served.destroy();
      socket.destroy();
    }
    server.close();
  });
});
