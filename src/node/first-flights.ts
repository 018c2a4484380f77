/**
 * Whose ClientHello is answered when. To answer one takes the better part of a millisecond, and in a flood the event loop
 * hands out many in one turn: whoever is connected would wait for all of them. So one is answered at once, and those behind
 * it wait for turns of their own, with a look at all other sockets in between.
 *
 *     turn:  read, read, …, read   ─▶   the first hello at once   ─▶   hellos that waited, for a millisecond   ─▶   turn
 *
 * A hello in several parts takes a turn for each: only the last one brings the work, and which that is shows too late.
 */

import { AsyncResource } from 'node:async_hooks';
import type { Connection } from '../connection.ts';

/** What answers a ClientHello that had to wait; it is called once, in the context in which it was given. */
export type Answer = () => void;

export class FirstFlights {
  readonly #turnMs: number;
  readonly #now: () => number;
  readonly #later: (callback: () => void) => void;
  #waiting: Answer[] = [];
  /** One was answered in this turn, or some wait. */
  #busy = false;

  /** `turnMs`: milliseconds of one turn that those who wait may take together; one of them is answered in any case. */
  constructor({
    turnMs = TURN_MS,
    now = () => performance.now(),
    later = setImmediate as (run: () => void) => void,
  } = {}) {
    this.#turnMs = turnMs;
    this.#now = now;
    this.#later = later;
  }

  /** True when the caller may go ahead. If not, it calls `wait`. */
  mayGo(): boolean {
    if (this.#busy) {
      return false;
    }
    this.#busy = true;
    this.#later(this.#turn);
    return true;
  }

  wait(answer: Answer): void {
    this.#waiting.push(AsyncResource.bind(answer, 'MayflyFirstFlight'));
  }

  readonly #turn = (): void => {
    const begin = this.#now();
    const waiting = this.#waiting;
    let done = 0;
    try {
      while (done < waiting.length && (done === 0 || this.#now() - begin < this.#turnMs)) {
        waiting[done++]();
      }
    } finally {
      // Also when one of them threw, whose error goes its way.
      this.#waiting = waiting.slice(done);
      this.#busy = this.#waiting.length > 0;
      if (this.#busy) {
        this.#later(this.#turn);
      }
    }
  };
}

const TURN_MS = 1;

/** Of its first hello or, behind a HelloRetryRequest, of its second one not all has come. */
export function isHelloDue({ role, state }: Connection): boolean {
  return role === 'server' && (state === 'ExpectClientHello' || state === 'ExpectClientHelloAfterRetry');
}

/** Of this thread. */
export const firstFlights: FirstFlights = new FirstFlights();

/** Longer than any ClientHello with early data behind it that is worth keeping a copy of: what is longer is answered at once. */
export const LONGEST_WAITING = 17_408;
