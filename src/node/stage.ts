/**
 * Small writes of one turn of the event loop, copied together so that they leave in full records and in one write. A stage has
 * one record's size, and four once that is full; its memory comes from a small pool.
 */

import { wipe } from '../bytes/bytes.ts';

export type TextEncoding = 'latin1' | 'utf8';

export class Stage {
  #buffer: Buffer = small.pop() ?? Buffer.alloc(SMALL);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** False when there is no room for it. */
  add(chunk: Uint8Array): boolean {
    const length = this.#length;
    const end = length + chunk.length;
    if (!this.#reserve(end)) {
      return false;
    }
    this.#buffer.set(chunk, length);
    this.#length = end;
    return true;
  }

  /** The same for text. */
  addText(text: string, encoding: TextEncoding): boolean {
    const length = this.#length;
    const added = encoding === 'latin1' ? text.length : Buffer.byteLength(text);
    if (!this.#reserve(length + added)) {
      return false;
    }
    this.#buffer.write(text, length, added, encoding);
    this.#length = length + added;
    return true;
  }

  /** Makes room for `end` bytes in all. */
  #reserve(end: number): boolean {
    if (end <= this.#buffer.length) {
      return true;
    }
    if (end > LARGE) {
      return false;
    }
    const larger = large.pop() ?? Buffer.alloc(LARGE);
    const length = this.#length;
    larger.set(this.bytes());
    this.clear();
    this.#buffer = larger;
    this.#length = length;
    return true;
  }

  /** What was gathered; valid until `clear`. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Gives the buffer back: the stage must not be used any more. */
  clear(): void {
    const buffer = this.#buffer;
    // Plaintext must not lie around until somebody else's write covers it.
    wipe(buffer, 0, this.#length);
    const isLarge = buffer.length === LARGE;
    const pool = isLarge ? large : small;
    if (pool.length < (isLarge ? MAX_LARGE : MAX_SMALL)) {
      pool.push(buffer);
    }
  }
}

const small: Buffer[] = [];
const large: Buffer[] = [];
const MAX_SMALL = 32;
const MAX_LARGE = 8;
/** One full record, and four. */
const SMALL = 16_384;
const LARGE = 65_536;
