/**
 * Outgoing: the bytes of one call of the core, gathered so that a flight of messages leaves in one write.
 *
 * How long a flight of the handshake becomes is not known before. It is gathered where there is room enough, once for all
 * connections of the thread, and what is taken is a copy of its very length. A flight that waits for an answer keeps the place
 * until then; whoever comes meanwhile has one of its own.
 */

import { shortLived } from '../bytes/short-lived.ts';

/** A handshake flight usually fits: ServerHello to Finished with an ECDSA chain and two tickets. */
const FLIGHT_SIZE = 2048;

export class Outgoing {
  bytes: Uint8Array = NOTHING;
  #length = 0;
  #isHandshake = true;
  /** `bytes` is a place that others use after us. */
  #isLent = false;
  readonly #allocate: (length: number) => Uint8Array;

  constructor(allocate: (length: number) => Uint8Array = shortLived) {
    this.#allocate = allocate;
  }

  /** From now on writes are of known size: no room is kept for more. */
  endOfHandshake(): void {
    this.#isHandshake = false;
  }

  /** Makes room for `length` bytes and returns where they go; `bytes` may be another array afterwards. */
  reserve(length: number): number {
    const at = this.#length;
    const needed = at + length;
    if (needed > this.bytes.length) {
      const grown = this.#room(Math.max(needed, 2 * at));
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
    const { bytes } = this;
    const length = this.#length;
    this.bytes = NOTHING;
    this.#length = 0;
    if (this.#isLent) {
      const taken = shortLived(length);
      taken.set(bytes.subarray(0, length));
      this.#isLent = false;
      place = bytes;
      return taken;
    }
    return bytes.length === length ? bytes : bytes.subarray(0, length);
  }

  #room(length: number): Uint8Array {
    this.#isLent = this.#isHandshake && length <= FLIGHT_SIZE;
    if (!this.#isLent) {
      return this.#allocate(length);
    }
    const free = place ?? new Uint8Array(FLIGHT_SIZE);
    place = undefined;
    return free;
  }
}

/** Where a flight may be gathered, while none is. */
let place: Uint8Array | undefined;
const NOTHING = new Uint8Array(0);
