/**
 * Private keys of key exchanges, which never become `Secret`s: `node:crypto` keeps them, or ML-KEM in JavaScript does.
 *
 * What can be read without leaving traces of the reading is told at once: an ECDH object gives its private key out into one
 * buffer, and the JavaScript ML-KEM takes its randomness from whom we like. A KeyObject cannot be read so, as encoding it
 * leaves copies in OpenSSL's buffers; of x25519 its public key is noted here, and the examiner then tries what looks like a
 * private key in memory (`private-key-hunt.ts`).
 */

import type { KeyObject } from 'node:crypto';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { exportRawPublic } from '../../src/crypto/capabilities.ts';
import { nobleMlKem } from '../../src/crypto/ml-kem.ts';
import { pooledRandom } from '../../src/crypto/random-pool.ts';
import { endForeign, tell, tellBirth } from './testimony.ts';

export const X25519_PUBLIC_KEY = 'x25519PublicKey';
export const EC_PRIVATE_KEY = 'ecPrivateKey';
export const ML_KEM_SEED = 'mlKemSeed';
export const ML_KEM_MESSAGE = 'mlKemMessage';
export const ML_KEM_SHARED_SECRET = 'mlKemSharedSecret';

interface Ecdh {
  generateKeys(): Buffer;
  getPrivateKey(): Buffer;
}

interface Jwk {
  readonly x: string;
}

function bytesOf(publicKey: KeyObject | Jwk | Uint8Array): Uint8Array {
  if (publicKey instanceof Uint8Array) {
    return publicKey;
  }
  return 'x' in publicKey ? Buffer.from(publicKey.x, 'base64url') : exportRawPublic(publicKey);
}

/** Puts wrappers around what `node:crypto` exports, for this process: before Mayfly's modules are there, which may keep it. */
export function noteKeyShares(): void {
  const crypto = createRequire(import.meta.url)('node:crypto') as {
    ECDH: { prototype: Ecdh };
    generateKeyPairSync: (
      type: string,
      options?: unknown,
    ) => {
      publicKey: KeyObject | Jwk | Uint8Array;
      privateKey: KeyObject;
    };
  };
  const { generateKeyPairSync, ECDH } = crypto;
  crypto.generateKeyPairSync = (type, options) => {
    const pair = generateKeyPairSync(type, options);
    if (type === 'x25519') {
      tell(X25519_PUBLIC_KEY, bytesOf(pair.publicKey));
    }
    return pair;
  };
  const { generateKeys } = ECDH.prototype;
  const before = new WeakMap<Ecdh, number>();
  ECDH.prototype.generateKeys = function (this: Ecdh) {
    const publicKey = generateKeys.call(this);
    // Only now is the one before it gone; the newest has not been used yet.
    endForeign(before.get(this));
    const privateKey = this.getPrivateKey();
    before.set(this, tellBirth(EC_PRIVATE_KEY, privateKey));
    privateKey.fill(0);
    return publicKey;
  };
  syncBuiltinESMExports();
}

/** Key encapsulations by the implementation in JavaScript, whose randomness and outcome are told. */
export function liveMlKem(times: number): void {
  const kem = nobleMlKem((bytes) => {
    pooledRandom(bytes);
    tell(bytes.length === 64 ? ML_KEM_SEED : ML_KEM_MESSAGE, bytes);
  });
  for (let i = 0; i < times; i++) {
    const key = kem.generate();
    const { ciphertext, sharedSecret } = kem.encapsulate(key.publicKey);
    const agreed = key.agree(ciphertext);
    tell(ML_KEM_SHARED_SECRET, agreed);
    agreed.fill(0);
    sharedSecret.fill(0);
  }
}
