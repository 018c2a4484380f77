/**
 * x25519 (RFC 7748 §6.1; in TLS: RFC 9846 §4.3.8.2, §7.4.2).
 *
 *     publicKey = X25519(privateKey, 9)      sharedSecret = X25519(privateKey, peer), refused when all-zero
 *
 * Where Node has no raw export, the generator itself gives the public part as JWK, at no cost. To export it afterwards
 * would hang sooner or later: the export holds the key's lock while it allocates, and a collection that it sets off may
 * finalize the spent generator, which takes the same lock. While the generator runs, it is alive. Private keys are never
 * exported, nor imported as JWK: that would put them into a string.
 *
 * Node has no way to erase a KeyObject: dropping the last reference leaves it to the collector, upon which OpenSSL
 * cleanses the private key.
 */

import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { agreeRawX25519, generateRawX25519, hasRawPublicKeys } from './capabilities.ts';
import { badKeyShare, checkShareLength, type Exchange, type RandomSource, spentKeyShare } from './exchange.ts';
import { readPrivateKey } from './private-key.ts';

export const X25519_LENGTH = 32;

export class X25519Exchange implements Exchange {
  readonly publicKey: Uint8Array;
  #privateKey: KeyObject | undefined;

  constructor(privateKey: KeyObject, publicKey: Uint8Array) {
    this.#privateKey = privateKey;
    this.publicKey = publicKey;
  }

  /** With a `random` source the private key is its next 32 bytes; without, Node's generator makes it. */
  static generate(random?: RandomSource): X25519Exchange {
    if (random !== undefined) {
      const scalar = new Uint8Array(new ArrayBuffer(X25519_LENGTH));
      random(scalar);
      return X25519Exchange.fromScalar(scalar);
    }
    if (hasRawPublicKeys()) {
      const { privateKey, publicKey } = generateRawX25519();
      return new X25519Exchange(privateKey, publicKey);
    }
    const { privateKey, publicKey } = generateWithJwk('x25519', { publicKeyEncoding: { format: 'jwk' } });
    return new X25519Exchange(privateKey, new Uint8Array(Buffer.from(publicKey.x, 'base64url')));
  }

  /** Takes the 32 bytes over and erases them. */
  static fromScalar(scalar: Uint8Array): X25519Exchange {
    const der = new Uint8Array(new ArrayBuffer(PKCS8_PREFIX.length + X25519_LENGTH));
    der.set(PKCS8_PREFIX);
    der.set(scalar, PKCS8_PREFIX.length);
    scalar.fill(0);
    const privateKey = readPrivateKey({ key: der as Buffer, format: 'der', type: 'pkcs8' });
    der.fill(0);
    return new X25519Exchange(privateKey, publicKeyOf(privateKey));
  }

  agree(peer: Uint8Array): Uint8Array {
    const privateKey = this.#privateKey;
    if (privateKey === undefined) {
      throw spentKeyShare('x25519');
    }
    this.#privateKey = undefined;
    checkShareLength('x25519', peer, X25519_LENGTH);
    let secret: Uint8Array;
    try {
      secret = agreeWith(privateKey, peer);
    } catch (error) {
      throw badKeyShare('x25519', 'is a point of small order or unreadable', error);
    }
    // OpenSSL refuses an all-zero result itself; another build behind node:crypto might not.
    if (isZero(secret)) {
      throw badKeyShare('x25519', 'is a point of small order');
    }
    return secret;
  }

  erase(): void {
    this.#privateKey = undefined;
  }
}

function publicKeyOf(privateKey: KeyObject): Uint8Array {
  return agreeWith(privateKey, BASE_POINT);
}

function agreeWith(privateKey: KeyObject, peer: Uint8Array): Uint8Array {
  return hasRawPublicKeys()
    ? agreeRawX25519(privateKey, peer)
    : diffieHellman({ privateKey, publicKey: importAsJwk(peer) });
}

/** Some 15 times cheaper than as SubjectPublicKeyInfo. */
function importAsJwk(bytes: Uint8Array): KeyObject {
  const x = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
}

/** With one of the encodings left out, which the types do not know. */
const generateWithJwk = generateKeyPairSync as unknown as (
  type: 'x25519',
  options: { publicKeyEncoding: { format: 'jwk' } },
) => { readonly privateKey: KeyObject; readonly publicKey: { readonly x: string } };

function isZero(bytes: Uint8Array): boolean {
  let union = 0;
  for (let i = 0; i < bytes.length; i++) {
    union |= bytes[i];
  }
  return union === 0;
}

const BASE_POINT = Uint8Array.of(9, ...new Uint8Array(X25519_LENGTH - 1));

/** PrivateKeyInfo for x25519 up to the 32 key bytes (RFC 8410 §7). */
const PKCS8_PREFIX = Uint8Array.of(
  0x30,
  0x2e,
  0x02,
  0x01,
  0x00,
  0x30,
  0x05,
  0x06,
  0x03,
  0x2b,
  0x65,
  0x6e,
  0x04,
  0x22,
  0x04,
  0x20,
);
