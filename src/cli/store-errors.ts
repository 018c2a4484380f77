/** What a fleet's store answers amiss: counted, and told once in a while, as a store that is away fails again and again. */

import { messageOf } from './problem.ts';

export class StoreErrors {
  #count = 0;
  #told = '';
  #toldAt = Number.NEGATIVE_INFINITY;

  get count(): number {
    return this.#count;
  }

  /**
   * What should be told now, if anything.
   * @param now milliseconds of any clock
   */
  add(error: unknown, now: number): string | undefined {
    this.#count++;
    const message = messageOf(error);
    if (message === this.#told && now - this.#toldAt < QUIET) {
      return undefined;
    }
    // A store that comes and goes has several words for it: these must not fill the log in turns.
    if (now - this.#toldAt < PAUSE) {
      return undefined;
    }
    this.#told = message;
    this.#toldAt = now;
    return message;
  }
}

/** Milliseconds until the same is told again. */
const QUIET = 600_000;
/** Milliseconds between two different ones. */
const PAUSE = 10_000;
