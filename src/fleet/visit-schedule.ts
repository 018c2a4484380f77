/** When a member goes to look at the store: with each heartbeat, sooner when there is a reason, one visit at a time. */

import type { Moment } from '../session/clock.ts';
import { elapsed } from './ring-time.ts';
import { STORE_TIMEOUT } from './store.ts';

export class VisitSchedule {
  readonly #heartbeat: number;
  #from: Moment;
  #after = 0;
  #since: Moment | undefined;

  /** The first visit is due at once. */
  constructor(heartbeat: number, now: Moment) {
    this.#heartbeat = heartbeat;
    this.#from = now;
  }

  /** The next one at the latest in `ms` milliseconds. */
  within(now: Moment, ms: number): void {
    if (this.#after - elapsed(this.#from, now) > ms) {
      this.#from = now;
      this.#after = ms;
    }
  }

  /** One has ended, well or not. */
  end(now: Moment): void {
    this.#since = undefined;
    this.#from = now;
    this.#after = this.#heartbeat;
  }

  /** Whether one is under way that the host should long have given up. */
  isLost(now: Moment): boolean {
    return this.#since !== undefined && elapsed(this.#since, now) > 2 * STORE_TIMEOUT;
  }

  /** Whether to begin one now: from then on it is under way. */
  begin(now: Moment): boolean {
    if (this.#since !== undefined || elapsed(this.#from, now) < this.#after) {
      return false;
    }
    this.#since = now;
    return true;
  }

  /** Milliseconds until there is something to do. */
  wait(now: Moment): number {
    return this.#since === undefined
      ? this.#after - elapsed(this.#from, now)
      : 2 * STORE_TIMEOUT + 1 - elapsed(this.#since, now);
  }
}
