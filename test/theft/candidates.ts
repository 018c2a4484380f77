/**
 * Strings that may be keys, out of whatever was stolen.
 *
 *     windows   every 32 bytes at every offset of everything: for tests that cost one look-up
 *     fields    pieces of 16, 32, 48 and 96 bytes as the records and files have them: for tests that cost a decryption each.
 *               Not those of encapsulations and encapsulation keys of ML-KEM, which are public
 */

import { plainBytes } from '../../src/bytes/bytes.ts';

/** A set of byte strings that tells which of them are new. */
export class ByteSet {
  readonly #known = new Set<string>();

  /** Whether it was not there yet. */
  add(bytes: Uint8Array): boolean {
    return this.addKey(keyOf(bytes));
  }

  /** @param text of those bytes: see `keyOf` */
  addKey(text: string): boolean {
    if (this.#known.has(text)) {
      return false;
    }
    this.#known.add(text);
    return true;
  }

  get size(): number {
    return this.#known.size;
  }
}

/** For Maps and Sets. */
export function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

export function* windows(bytes: Uint8Array, length = 32): Iterable<Uint8Array> {
  for (let at = 0; at + length <= bytes.length; at++) {
    yield bytes.subarray(at, at + length);
  }
}

/** All byte strings within a decoded record, whole and in pieces. */
export function* fieldsOf(value: unknown): Iterable<Uint8Array> {
  if (value instanceof Uint8Array && value.length >= 1_000) {
    yield plainBytes(value.subarray(-32));
  } else if (value instanceof Uint8Array) {
    yield plainBytes(value);
    for (const length of FIELD_LENGTHS) {
      for (let at = 0; at + length <= value.length; at += length) {
        yield plainBytes(value.subarray(at, at + length));
      }
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) {
      yield* fieldsOf(part);
    }
  }
}

/** What a text file spells out in base64, base64url or hex: identity seeds, PEM bodies. */
export function* spelledOut(file: Uint8Array): Iterable<Uint8Array> {
  const text = Buffer.from(file).toString('latin1');
  for (const [word] of text
    .replace(/([A-Za-z0-9+/=])\r?\n(?=[A-Za-z0-9+/=])/g, '$1')
    .matchAll(/[A-Za-z0-9+/_-]{20,}/g)) {
    yield Uint8Array.from(Buffer.from(word, 'base64'));
    yield Uint8Array.from(Buffer.from(word, 'hex'));
  }
}

const FIELD_LENGTHS = [16, 32, 48, 96];
