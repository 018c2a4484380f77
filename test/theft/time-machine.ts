/**
 * Time for a whole process, turned by hand: an epoch of six seconds passes in a few milliseconds, and nothing depends on
 * how fast the machine is. `Date.now`, `performance.now` and `os.uptime` are replaced, so servers, clients and ring members
 * all live in the same time. With `MAYFLY_THEFT=real` all clocks are left alone, and it is waited instead.
 */

import os from 'node:os';
import type { Clock, ClockTimer } from '../../src/session/clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

export class TimeMachine implements Clock {
  readonly turned: boolean = process.env.MAYFLY_THEFT !== 'real';
  readonly #timers = new Set<Timer>();
  readonly #begin = { wall: Date.now(), monotonic: performance.now() };
  readonly #real = { now: Date.now, monotonic: performance.now, uptime: os.uptime };
  #passed = 0;

  /** From now on time stands still, but for `pass`. */
  constructor() {
    if (this.turned) {
      Date.now = () => this.#begin.wall + Math.floor(this.#passed);
      performance.now = () => this.#begin.monotonic + this.#passed;
      os.uptime = () => performance.now() / 1000;
    }
  }

  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  setTimer(callback: () => void, ms: number): ClockTimer {
    if (!this.turned) {
      const timer = setTimeout(callback, ms);
      return { cancel: () => clearTimeout(timer) };
    }
    const timer = { at: this.#passed + ms, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Lets so many milliseconds pass; `settle` waits until all has happened that does so by itself. */
  async pass(ms: number, settle: () => Promise<void>): Promise<void> {
    if (!this.turned) {
      await new Promise((resolve) => setTimeout(resolve, ms));
      return;
    }
    const end = this.#passed + ms;
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) {
        break;
      }
      this.#timers.delete(next);
      this.#passed = Math.max(this.#passed, next.at);
      next.callback();
      await settle();
    }
    this.#passed = end;
    await settle();
  }

  stop(): void {
    Date.now = this.#real.now;
    performance.now = this.#real.monotonic;
    os.uptime = this.#real.uptime;
    this.#timers.clear();
  }
}
