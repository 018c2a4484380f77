/**
 * Small writes of one turn of the event loop, gathered so that they leave in one record. A single write is kept as it
 * is; from the second on they are copied into a buffer of one record's size, taken from a small pool.
 */

export class Stage {
  #single: Uint8Array | undefined;
  #buffer: Uint8Array | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** False when there is no room: flush, then add again. An empty stage takes a write of any length. */
  add(chunk: Uint8Array): boolean {
    const length = this.#length;
    if (length === 0) {
      this.#single = chunk;
      this.#length = chunk.length;
      return true;
    }
    if (length + chunk.length > STAGE_SIZE) {
      return false;
    }
    if (this.#buffer === undefined) {
      this.#buffer = pool.pop() ?? new Uint8Array(STAGE_SIZE);
      this.#buffer.set(this.#single as Uint8Array, 0);
      this.#single = undefined;
    }
    this.#buffer.set(chunk, length);
    this.#length = length + chunk.length;
    return true;
  }

  /** What was gathered; valid until `clear`. */
  bytes(): Uint8Array {
    return this.#single ?? (this.#buffer as Uint8Array).subarray(0, this.#length);
  }

  clear(): void {
    const buffer = this.#buffer;
    if (buffer !== undefined) {
      // Plaintext must not lie around until somebody else's write covers it.
      buffer.fill(0, 0, this.#length);
      if (pool.length < MAX_POOLED) {
        pool.push(buffer);
      }
    }
    this.#single = undefined;
    this.#buffer = undefined;
    this.#length = 0;
  }
}

const pool: Uint8Array[] = [];
const MAX_POOLED = 32;
/** One full record. */
const STAGE_SIZE = 16_384;
