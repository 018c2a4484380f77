/**
 * Hashes and HMAC over `node:crypto`.
 *
 *     HMAC(K, m) = H((K xor opad) || H((K xor ipad) || m)),  K padded with zeros to the hash's block
 *
 * RFC 2104 §2; FIPS 180-4; FIPS 202 for SHA3-256.
 */

import { createHash, createHmac, type Hash, hash as hashOnce } from 'node:crypto';
import type { RunningHash } from './provider.ts';
import type { HashName } from './suites.ts';

export function hash(name: HashName | 'sha3-256', data: Uint8Array): Uint8Array {
  return hashOnce(name, data, 'buffer');
}

/**
 * HMAC by two one-shot hashes for what the key schedule asks for: a key as long as the hash, and short data. It takes
 * 10 to 15 % less time than its plain twin `plainHmac`; `test/crypto/hashing.test.ts` keeps the two equal.
 */
export function hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
  const pads = padsOf[name];
  const { inner, outer, blockLength, hashLength } = pads;
  if (key.length !== hashLength || data.length > LONGEST_DATA) {
    return plainHmac(name, key, data);
  }
  for (let i = 0; i < hashLength; i++) {
    const byte = key[i];
    inner[i] = byte ^ IPAD;
    outer[i] = byte ^ OPAD;
  }
  inner.set(data, blockLength);
  const end = blockLength + data.length;
  const digest = hashOnce(name, inner.subarray(0, end), 'buffer');
  outer.set(digest, blockLength);
  const mac = hashOnce(name, outer, 'buffer');
  // The pads are key material, and data is a secret as well in HKDF-Extract. What lies between stays: it is constant.
  inner.fill(0, 0, hashLength);
  inner.fill(0, blockLength, end);
  outer.fill(0, 0, hashLength);
  outer.fill(0, blockLength);
  digest.fill(0);
  return mac;
}

export function plainHmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
  return createHmac(name, key).update(data).digest();
}

export class NodeRunningHash implements RunningHash {
  readonly #hash: Hash;

  constructor(from: HashName | Hash) {
    this.#hash = typeof from === 'string' ? createHash(from) : from;
  }

  copy(): NodeRunningHash {
    return new NodeRunningHash(this.#hash.copy());
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  digest(): Uint8Array {
    return this.#hash.copy().digest();
  }
}

interface Pads {
  readonly hashLength: number;
  readonly blockLength: number;
  /** Key xor ipad, then room for data. */
  readonly inner: Uint8Array;
  /** Key xor opad, then room for the inner digest. */
  readonly outer: Uint8Array;
}

const IPAD = 0x36;
const OPAD = 0x5c;
/** HkdfLabel takes at most 2 + 1 + 255 + 1 + 255 bytes (RFC 9846 §7.1), those in use less than 128. */
const LONGEST_DATA = 256;

/** Kept between calls: nothing runs while one is in use, since all calls are synchronous. */
const padsOf: Record<HashName, Pads> = { sha256: makePads(32, 64), sha384: makePads(48, 128) };

function makePads(hashLength: number, blockLength: number): Pads {
  return {
    hashLength,
    blockLength,
    inner: new Uint8Array(new ArrayBuffer(blockLength + LONGEST_DATA)).fill(IPAD, 0, blockLength),
    outer: new Uint8Array(new ArrayBuffer(blockLength + hashLength)).fill(OPAD, 0, blockLength),
  };
}
