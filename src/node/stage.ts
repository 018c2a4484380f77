/**
 * Small writes of one turn of the event loop, copied together so that they leave in one record. The buffer has one
 * record's size and comes from a small pool.
 */

export class Stage {
  readonly #buffer: Uint8Array = pool.pop() ?? new Uint8Array(STAGE_SIZE);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** False when there is no room for it. */
  add(chunk: Uint8Array): boolean {
    const length = this.#length;
    if (length + chunk.length > STAGE_SIZE) {
      return false;
    }
    this.#buffer.set(chunk, length);
    this.#length = length + chunk.length;
    return true;
  }

  /** What was gathered; valid until `clear`. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Gives the buffer back: the stage must not be used any more. */
  clear(): void {
    // Plaintext must not lie around until somebody else's write covers it.
    this.#buffer.fill(0, 0, this.#length);
    if (pool.length < MAX_POOLED) {
      pool.push(this.#buffer);
    }
  }
}

const pool: Uint8Array[] = [];
const MAX_POOLED = 32;
/** One full record. */
const STAGE_SIZE = 16_384;
