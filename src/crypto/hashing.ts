/**
 * Hashes and HMAC over `node:crypto`.
 *
 *     HMAC(K, m) = H((K xor opad) || H((K xor ipad) || m)),  K padded with zeros to the hash's block
 *
 * RFC 2104 §2; FIPS 180-4; FIPS 202 for SHA3-256.
 */

import { createHash, createHmac, type Hash, hash as hashOnce } from 'node:crypto';
import { wipe } from '../bytes/bytes.ts';
import type { RunningHash } from './provider.ts';
import type { HashName } from './suites.ts';

export function hash(name: HashName | 'sha3-256', data: Uint8Array): Uint8Array {
  return hashOnce(name, data, 'buffer');
}

export function hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
  return createHmac(name, key).update(data).digest();
}

/**
 * HMAC under a key that is secret and random, by two one-shot hashes: a quarter faster than `hmac`, with which
 * `test/crypto/hashing.test.ts` keeps it equal. The hash in between comes as a string, which needs no allocation outside of
 * the heap and cannot be erased. It tells nothing: to go on from it to the result takes the key again, and there is no way
 * back from a hash to a random key. With a known key (the salt of HKDF-Extract) it would tell the result, and with a key
 * that can be guessed it would tell a good guess from a bad one: there, `hmac`.
 */
export function hmacOfRandomKey(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
  const { inner, outer, blockLength } = padsOf[name];
  const keyLength = key.length;
  if (keyLength > blockLength || data.length > LONGEST_DATA) {
    return hmac(name, key, data);
  }
  for (let i = 0; i < keyLength; i++) {
    const byte = key[i];
    inner[i] = byte ^ IPAD;
    outer[i] = byte ^ OPAD;
  }
  inner.set(data, blockLength);
  const end = blockLength + data.length;
  const digest = hashOnce(name, view(padsOf[name], end), 'binary');
  for (let i = 0; i < digest.length; i++) {
    outer[blockLength + i] = digest.charCodeAt(i);
  }
  const mac = hashOnce(name, outer, 'buffer');
  // The pads are key material.
  for (let i = 0; i < keyLength; i++) {
    inner[i] = IPAD;
    outer[i] = OPAD;
  }
  wipe(inner, blockLength, end);
  wipe(outer, blockLength);
  return mac;
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

/** Inputs have a handful of lengths. */
function view({ inner, views }: Pads, end: number): Uint8Array {
  const known = views[end];
  if (known !== undefined) {
    return known;
  }
  const made = inner.subarray(0, end);
  views[end] = made;
  return made;
}

interface Pads {
  readonly blockLength: number;
  /** ipad, with the key upon it while in use, then room for data. */
  readonly inner: Uint8Array;
  /** Of `inner`, by where they end. */
  readonly views: (Uint8Array | undefined)[];
  /** opad, with the key upon it while in use, then room for the inner digest. */
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
    blockLength,
    inner: new Uint8Array(new ArrayBuffer(blockLength + LONGEST_DATA)).fill(IPAD, 0, blockLength),
    views: new Array(blockLength + LONGEST_DATA + 1).fill(undefined),
    outer: new Uint8Array(new ArrayBuffer(blockLength + hashLength)).fill(OPAD, 0, blockLength),
  };
}
