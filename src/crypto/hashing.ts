/**
 * Hashes and HMAC over `node:crypto`.
 *
 *     HMAC(K, m) = H((K xor opad) || H((K xor ipad) || m)),  K padded with zeros to the hash's block
 *
 * RFC 2104 §2; FIPS 180-4; FIPS 202 for SHA3-256.
 */

import { createHash, createHmac, type Hash, hash as hashOnce } from 'node:crypto';
import { EMPTY, wipe } from '../bytes/bytes.ts';
import { shortLived } from '../bytes/short-lived.ts';
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
  const pads = padsOf[name];
  if (key.length > pads.blockLength || data.length > LONGEST_DATA) {
    return hmac(name, key, data);
  }
  hashInner(name, pads, key, data);
  const mac = hashOnce(name, pads.outer, 'buffer');
  clear(pads, key.length, data.length);
  return mac;
}

/** The same for a value that is no secret: it too comes as a string first, and lies in short-lived memory. */
export function publicHmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
  const pads = padsOf[name];
  if (key.length > pads.blockLength || data.length > LONGEST_DATA) {
    return hmac(name, key, data);
  }
  hashInner(name, pads, key, data);
  const mac = fromBinary(hashOnce(name, pads.outer, 'binary'));
  clear(pads, key.length, data.length);
  return mac;
}

/** Puts the key upon both pads, and the inner hash where the outer one begins after its pad. */
function hashInner(name: HashName, pads: Pads, key: Uint8Array, data: Uint8Array): void {
  const { inner, outer, blockLength } = pads;
  for (let i = 0; i < key.length; i++) {
    const byte = key[i];
    inner[i] = byte ^ IPAD;
    outer[i] = byte ^ OPAD;
  }
  inner.set(data, blockLength);
  putBinary(hashOnce(name, view(pads, blockLength + data.length), 'binary'), outer, blockLength);
}

/** The pads are key material. */
function clear({ inner, outer, blockLength }: Pads, keyLength: number, dataLength: number): void {
  for (let i = 0; i < keyLength; i++) {
    inner[i] = IPAD;
    outer[i] = OPAD;
  }
  wipe(inner, blockLength, blockLength + dataLength);
  wipe(outer, blockLength);
}

function fromBinary(value: string): Uint8Array {
  const bytes = shortLived(value.length);
  putBinary(value, bytes, 0);
  return bytes;
}

function putBinary(value: string, target: Uint8Array, at: number): void {
  for (let i = 0; i < value.length; i++) {
    target[at + i] = value.charCodeAt(i);
  }
}

/**
 * What came so far is kept while it is short, and hashed as a whole each time that the value is read. A handshake reads it
 * four or five times, and short ones are a kilobyte: less work than to make, copy and end as many hash objects. The value
 * comes as a string first, as that needs no allocation outside of the heap; nothing secret is hashed here.
 */
export class NodeRunningHash implements RunningHash {
  readonly #name: HashName;
  #kept: Uint8Array = EMPTY;
  #length = 0;
  /** Once it has become too long to be kept. */
  #running: Hash | undefined;

  constructor(name: HashName) {
    this.#name = name;
  }

  copy(): NodeRunningHash {
    const copy = new NodeRunningHash(this.#name);
    copy.#running = this.#running?.copy();
    // Memory of its own: a copy may be for later.
    copy.#kept = this.#kept.slice(0, this.#length);
    copy.#length = this.#length;
    return copy;
  }

  update(data: Uint8Array): void {
    if (this.#running === undefined && this.#length + data.length > LONGEST_KEPT) {
      this.#running = createHash(this.#name).update(this.#kept.subarray(0, this.#length));
      this.end();
    }
    if (this.#running === undefined) {
      this.#keep(data);
    } else {
      this.#running.update(data);
    }
  }

  end(): void {
    if (this.#kept.length === MOST_KEPT && spare.length < MOST_SPARE) {
      spare.push(this.#kept);
    }
    this.#kept = EMPTY;
    this.#length = 0;
  }

  digest(): Uint8Array {
    if (this.#running !== undefined) {
      return this.#running.copy().digest();
    }
    return fromBinary(hashOnce(this.#name, this.#kept.subarray(0, this.#length), 'binary'));
  }

  #keep(data: Uint8Array): void {
    const end = this.#length + data.length;
    if (end > this.#kept.length) {
      const longer = end > MOST_KEPT ? shortLived(LONGEST_KEPT) : (spare.pop() ?? new Uint8Array(MOST_KEPT));
      longer.set(this.#kept.subarray(0, this.#length));
      this.end();
      this.#kept = longer;
      this.#length = end - data.length;
    }
    this.#kept.set(data, this.#length);
    this.#length = end;
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

/** Bytes. With a short chain of certificates most handshakes have less. */
const MOST_KEPT = 1_280;
/** Bytes: from here on, to hash all of them again costs more than the objects do. */
const LONGEST_KEPT = 2_560;

/** What ended hashes were kept in: messages that went over the wire, and nothing secret. */
const spare: Uint8Array[] = [];
/** As many handshakes as are likely to be under way at a time. */
const MOST_SPARE = 32;

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
