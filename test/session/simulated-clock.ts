/** Simulated time for tests: two clocks and timers that fire only when time is moved. */

import type { Clock, ClockTimer } from '../../src/session/clock.ts';

interface Pending {
  readonly at: number;
  readonly callback: () => void;
}

export class SimulatedClock implements Clock {
  #wall = 1_800_000_000_000;
  #monotonic = 5_000;
  #timers = new Set<Pending>();

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  get timers(): number {
    return this.#timers.size;
  }

  setTimer(callback: () => void, ms: number): ClockTimer {
    if (!(ms > 0 && ms < 2 ** 31)) {
      throw new RangeError(`a timer of ${ms} ms would fire at once in Node`);
    }
    const timer = { at: this.#monotonic + ms, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Lets time pass on both clocks and fires the timers that come due, in order. */
  advance(ms: number): void {
    const end = this.#monotonic + ms;
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) {
        break;
      }
      this.#timers.delete(next);
      this.#move(Math.max(0, next.at - this.#monotonic));
      next.callback();
    }
    this.#move(end - this.#monotonic);
  }

  /** Lets time pass without firing a timer, as a busy process does. */
  stall(ms: number): void {
    this.#move(ms);
  }

  /** Sets the wall clock forward or back. */
  jump(ms: number): void {
    this.#wall += ms;
  }

  #move(ms: number): void {
    this.#wall += ms;
    this.#monotonic += ms;
  }
}
