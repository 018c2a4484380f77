/**
 * Small writes of one turn of the event loop, copied together so that they leave in full records and in one write. A stage has
 * one record's size, and four once that is full; its memory comes from a small pool.
 */

export class Stage {
  #buffer: Uint8Array = small.pop() ?? new Uint8Array(SMALL);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** False when there is no room for it. */
  add(chunk: Uint8Array): boolean {
    const length = this.#length;
    const end = length + chunk.length;
    if (end > this.#buffer.length) {
      if (end > LARGE) {
        return false;
      }
      const larger = large.pop() ?? new Uint8Array(LARGE);
      larger.set(this.bytes());
      this.clear();
      this.#buffer = larger;
    }
    this.#buffer.set(chunk, length);
    this.#length = end;
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
    buffer.fill(0, 0, this.#length);
    const isLarge = buffer.length === LARGE;
    const pool = isLarge ? large : small;
    if (pool.length < (isLarge ? MAX_LARGE : MAX_SMALL)) {
      pool.push(buffer);
    }
  }
}

const small: Uint8Array[] = [];
const large: Uint8Array[] = [];
const MAX_SMALL = 32;
const MAX_LARGE = 8;
/** One full record, and four. */
const SMALL = 16_384;
const LARGE = 65_536;
