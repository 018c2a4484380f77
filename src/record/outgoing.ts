/** Outgoing: the bytes of one call of the core, gathered so that a flight of messages leaves in one write. */

import { shortLived } from '../bytes/short-lived.ts';

/** A handshake flight usually fits: ServerHello to Finished with an ECDSA chain and two tickets. */
const FLIGHT_SIZE = 2048;

export class Outgoing {
  bytes: Uint8Array = NOTHING;
  #length = 0;
  #minimum = FLIGHT_SIZE;
  readonly #allocate: (length: number) => Uint8Array;

  constructor(allocate: (length: number) => Uint8Array = shortLived) {
    this.#allocate = allocate;
  }

  /** From now on writes are of known size: no room is kept for more. */
  endOfHandshake(): void {
    this.#minimum = 0;
  }

  /** Makes room for `length` bytes and returns where they go; `bytes` may be another array afterwards. */
  reserve(length: number): number {
    const at = this.#length;
    const needed = at + length;
    if (needed > this.bytes.length) {
      const grown = this.#allocate(Math.max(needed, 2 * at, this.#minimum));
      grown.set(this.bytes.subarray(0, at));
      this.bytes = grown;
    }
    this.#length = needed;
    return at;
  }

  /** What was gathered since the last call, or undefined when nothing was. */
  take(): Uint8Array | undefined {
    if (this.#length === 0) {
      return undefined;
    }
    const taken = this.bytes.length === this.#length ? this.bytes : this.bytes.subarray(0, this.#length);
    this.bytes = NOTHING;
    this.#length = 0;
    return taken;
  }
}

const NOTHING = new Uint8Array(0);
