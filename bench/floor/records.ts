/**
 * Records of the floor: the cipher's calls and the copies that `node:crypto` forces on everybody, no limits and no checks.
 *
 *     TLS 1.3   header(5) ‖ AEAD(content ‖ type)         nonce = IV XOR number,           additional data = header
 *     TLS 1.2   header(5) ‖ number(8) ‖ AEAD(content)    nonce = salt(4) ‖ number(8),     additional data = number ‖ header
 *
 * RFC 9846 §5.2, RFC 5288 §3.
 */

import type { AeadKey } from '../../src/crypto/provider.ts';
import { type Direction, HEADER, TAG } from './kinds.ts';

const header = Uint8Array.of(23, 3, 3, 0, 0);
const aad12 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 23, 3, 3, 0, 0);

export class Direction13 implements Direction {
  readonly overhead: number = HEADER + 1 + TAG;
  readonly tail: number = 1;
  readonly #aead: AeadKey;
  readonly #nonce: Uint8Array;
  readonly #ivLow: number;
  #number = 0;

  /** `iv` is taken over. */
  constructor(aead: AeadKey, iv: Uint8Array) {
    this.#aead = aead;
    this.#nonce = iv;
    this.#ivLow = (iv[8] << 24) | (iv[9] << 16) | (iv[10] << 8) | iv[11];
  }

  seal(_type: number, inner: Uint8Array, out: Uint8Array, at: number): number {
    setLength(inner.length + TAG);
    out.set(header, at);
    this.#aead.seal(this.#next(), header, inner, out, at + HEADER);
    return at + HEADER + inner.length + TAG;
  }

  open(bytes: Uint8Array, at: number, end: number): Uint8Array {
    setLength(end - at - HEADER);
    return opened(this.#aead.open(this.#next(), header, bytes.subarray(at + HEADER, end)));
  }

  #next(): Uint8Array {
    const low = this.#ivLow ^ this.#number++;
    const nonce = this.#nonce;
    nonce[8] = low >>> 24;
    nonce[9] = low >>> 16;
    nonce[10] = low >>> 8;
    nonce[11] = low;
    return nonce;
  }
}

/** AES-GCM. */
export class Direction12 implements Direction {
  readonly overhead: number = HEADER + EXPLICIT + TAG;
  readonly tail: number = 0;
  readonly #aead: AeadKey;
  readonly #nonce: Uint8Array = new Uint8Array(12);
  #number = 0;

  constructor(aead: AeadKey, salt: Uint8Array) {
    this.#aead = aead;
    this.#nonce.set(salt);
  }

  seal(type: number, content: Uint8Array, out: Uint8Array, at: number): number {
    this.#prepare(type, content.length);
    setLength(EXPLICIT + content.length + TAG);
    out.set(header, at);
    out[at] = type;
    out.set(this.#nonce.subarray(4), at + HEADER);
    this.#aead.seal(this.#nonce, aad12, content, out, at + HEADER + EXPLICIT);
    return at + this.overhead + content.length;
  }

  open(bytes: Uint8Array, at: number, end: number): Uint8Array {
    this.#prepare(bytes[at], end - at - this.overhead);
    return opened(this.#aead.open(this.#nonce, aad12, bytes.subarray(at + HEADER + EXPLICIT, end)));
  }

  #prepare(type: number, length: number): void {
    const nonce = this.#nonce;
    const number = this.#number++;
    nonce[10] = number >>> 8;
    nonce[11] = number;
    aad12[6] = number >>> 8;
    aad12[7] = number;
    aad12[8] = type;
    aad12[11] = length >>> 8;
    aad12[12] = length;
  }
}

function setLength(length: number): void {
  header[3] = length >>> 8;
  header[4] = length;
}

/** The other end is this code: what does not open is a mistake of ours. */
function opened(bytes: Uint8Array | undefined): Uint8Array {
  if (bytes === undefined) {
    throw new Error('the floor cannot open its own record');
  }
  return bytes;
}

const EXPLICIT = 8;
