/** OpenSSL keeps what went wrong in a queue, where Node 20 leaves some of it: that must not spoil what comes next. */

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { createSecureContext } from 'node:tls';
import { generateDheShare } from '../../src/crypto/dhe-exchange.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { X25519Exchange } from '../../src/crypto/x25519.ts';

/** Of the application's, and none of ours. */
function leaveError(): void {
  assert.throws(() => createSecureContext({ ecdhCurve: 'X25519:no-such-curve' }), {
    code: 'ERR_CRYPTO_OPERATION_FAILED',
  });
}

describe('an error that another call left behind', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

  it('is not that of a private key, whatever its form', () => {
    for (const key of [
      pem,
      Buffer.from(pem),
      privateKey.export({ type: 'pkcs8', format: 'der' }),
      privateKey.export({ type: 'sec1', format: 'der' }),
    ]) {
      leaveError();
      assert.equal(nodeProvider.importPrivateKey(key).schemes[0], 'ecdsa_secp256r1_sha256');
    }
  });

  it('is not that of a key share', () => {
    leaveError();
    const share = X25519Exchange.fromScalar(new Uint8Array(32).fill(7));
    const peer = nodeProvider.generateKeyShare('x25519');
    leaveError();
    assert.equal(share.agree(peer.publicKey).length, 32);
    peer.erase();
    leaveError();
    generateDheShare('ffdhe2048', (bytes) => bytes.fill(7)).erase();
  });

  it('does not make a key of what is none', () => {
    leaveError();
    assert.throws(() => nodeProvider.importPrivateKey('no key'), { code: 'TLS_ERR_BAD_KEY' });
    leaveError();
    assert.throws(() => nodeProvider.importPrivateKey(pem.replace(/[A-Z]/, '_')), { code: 'TLS_ERR_BAD_KEY' });
  });
});
