/**
 * Weight for the young heap. Memory that is handed out hangs outside of V8's heap, and some 40 MiB of it start a collection of
 * the whole heap, however little of that is garbage, unless a collection of the young comes first; and that comes by what the
 * young heap itself holds, which is next to nothing per record. So each piece brings a share of its own weight into the
 * young heap, as garbage: it dies at once and costs a hundredth of a transfer, the full collections a third, and more in a
 * program with a large heap.
 *
 *     share = 1/4 of the piece, or 1/2, or all of it: by how far the memory outside swings between collections
 *
 * Newer Nodes let the young heap grow to twice its size when enough survives there, which takes twice the weight; so do
 * options such as `--max-semi-space-size`.
 */

import { getHeapStatistics } from 'node:v8';

export class Ballast {
  readonly #outside: () => number;
  /** The last one: kept, or the compiler would see that nobody reads it and leave it out. */
  weight: unknown;
  #shift = LIGHTEST;
  #untilLook = LOOK_EVERY;
  #looks = 0;
  #least = Number.POSITIVE_INFINITY;
  #most = 0;

  /** `outside`: bytes that hang outside of the heap. */
  constructor(outside: () => number = () => getHeapStatistics().external_memory) {
    this.#outside = outside;
  }

  /** A piece of so many bytes is handed out. */
  add(length: number): void {
    if (length < SMALLEST) {
      return;
    }
    this.weight = new Array(length >>> this.#shift);
    this.#untilLook -= length;
    if (this.#untilLook <= 0) {
      this.#untilLook = LOOK_EVERY;
      this.#look();
    }
  }

  #look(): void {
    const outside = this.#outside();
    this.#least = Math.min(this.#least, outside);
    this.#most = Math.max(this.#most, outside);
    this.#looks += 1;
    if (this.#looks < LOOKS) {
      return;
    }
    // What a program holds all the time is in both.
    const swing = this.#most - this.#least;
    if (swing > WIDE) {
      this.#shift = Math.max(HEAVIEST, this.#shift - 1);
    } else if (swing < NARROW) {
      this.#shift = Math.min(LIGHTEST, this.#shift + 1);
    }
    this.#looks = 0;
    this.#least = Number.POSITIVE_INFINITY;
    this.#most = 0;
  }
}

const SMALLEST = 8_192;
/** Bytes to elements of eight bytes: a quarter of the piece, and all of it. */
const LIGHTEST = 5;
const HEAVIEST = 3;
/** Bytes. */
const LOOK_EVERY = 4 * 2 ** 20;
const LOOKS = 16;
/** Bytes: the young heap as it is at first, filled by the lightest, gives 22 MiB; twice as large it gives 44. */
const WIDE = 36 * 2 ** 20;
const NARROW = 18 * 2 ** 20;
