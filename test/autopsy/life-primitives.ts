/**
 * The primitives of `node:crypto` alone, as Mayfly's provider calls them: what they leave behind of a key that their caller
 * has erased is nothing that Mayfly could mend.
 */

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  diffieHellman,
  generateKeyPairSync,
  hash,
  randomFillSync,
} from 'node:crypto';
import { hasNativeMlKem, newerCrypto } from '../../src/crypto/capabilities.ts';
import { rounds, type Scale } from './scale.ts';
import { endForeign, tellBirth } from './testimony.ts';

type Primitive = () => Uint8Array;

/** Each makes or takes a secret, and gives it back to be told and erased. */
const primitives: Readonly<Record<string, Primitive>> = {
  randomFillSync: () => fresh(32),
  hash: () => hash('sha256', fresh(64), 'buffer'),
  'hash sha3-256 of 64 bytes': () => after(fresh(64), (key) => hash('sha3-256', key, 'buffer')),
  'hash sha3-256 of 134 bytes': () => after(fresh(134), (key) => hash('sha3-256', key, 'buffer')),
  'createHmac, short key': () => after(fresh(32), (key) => createHmac('sha256', key).update('data').digest()),
  'createCipheriv aes-128-gcm': () => after(fresh(16), (key) => seal('aes-128-gcm', key)),
  'createCipheriv aes-256-gcm': () => after(fresh(32), (key) => seal('aes-256-gcm', key)),
  'createCipheriv chacha20-poly1305': () => after(fresh(32), (key) => seal('chacha20-poly1305', key)),
  'createDecipheriv aes-256-gcm': () => after(fresh(32), open),
  'diffieHellman x25519': () => {
    const ours = generateKeyPairSync('x25519');
    const theirs = generateKeyPairSync('x25519');
    return diffieHellman({ privateKey: ours.privateKey, publicKey: theirs.publicKey });
  },
  ...(hasNativeMlKem()
    ? {
        encapsulate: () => newerCrypto.encapsulate(newerCrypto.generateKeyPairSync('ml-kem-768').publicKey).sharedKey,
        decapsulate: () => {
          const { publicKey, privateKey } = newerCrypto.generateKeyPairSync('ml-kem-768');
          const { ciphertext, sharedKey } = newerCrypto.encapsulate(publicKey);
          sharedKey.fill(0);
          return newerCrypto.decapsulate(privateKey, ciphertext);
        },
      }
    : {}),
};

export function livePrimitives(scale: Scale): number {
  for (const [name, primitive] of Object.entries(primitives)) {
    for (let i = 0; i < 4 * rounds[scale]; i++) {
      const secret = primitive();
      const id = tellBirth(name, secret);
      secret.fill(0);
      endForeign(id);
    }
  }
  return Object.keys(primitives).length;
}

function fresh(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(new ArrayBuffer(length)));
}

function after(key: Uint8Array, use: (key: Uint8Array) => unknown): Uint8Array {
  use(key);
  return key;
}

type Aead = 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';

function seal(name: Aead, key: Uint8Array): void {
  const cipher = createCipheriv(name as 'aes-128-gcm', key, NONCE, { authTagLength: 16 });
  cipher.update(DATA);
  cipher.final();
  cipher.getAuthTag();
}

function open(key: Uint8Array): void {
  const cipher = createCipheriv('aes-256-gcm', key, NONCE);
  const sealed = cipher.update(DATA);
  cipher.final();
  const decipher = createDecipheriv('aes-256-gcm', key, NONCE);
  decipher.setAuthTag(cipher.getAuthTag());
  decipher.update(sealed);
  decipher.final();
}

const NONCE = new Uint8Array(12);
const DATA = new Uint8Array(100);
