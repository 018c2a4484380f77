/**
 * Whether the member is up to date: one that was stopped for a while (a suspended machine, a process that stood still) has in
 * its hands what the ring may have left behind, and derives from it what anyone could who had its memory meanwhile. Until it
 * has a fresh key again, or has found the store away, it seals nothing.
 */

import type { Moment } from '../session/clock.ts';
import type { RingConfiguration } from './configuration.ts';
import { elapsed } from './ring-time.ts';
import { STORE_TIMEOUT } from './store.ts';

export class Watchfulness {
  readonly #gap: number;
  readonly #patience: number;
  #calledAt: Moment;
  /** Since when it has been awake again, and not caught up. */
  #wokeAt: Moment | undefined;

  constructor({ heartbeat, settle }: RingConfiguration, now: Moment) {
    // It is called with each heartbeat, or when a visit has taken too long.
    this.#gap = heartbeat + 2 * STORE_TIMEOUT;
    this.#patience = settle;
    this.#calledAt = now;
  }

  /** It runs. To be called first of all in each call that comes from outside. */
  note(now: Moment): void {
    if (elapsed(this.#calledAt, now) > this.#gap) {
      this.#wokeAt = now;
    }
    this.#calledAt = now;
  }

  /** Right also for who comes before the member's own timers after a sleep. */
  hasSlept(now: Moment): boolean {
    return this.#wokeAt !== undefined || elapsed(this.#calledAt, now) > this.#gap;
  }

  /** It knows how things stand. */
  caughtUp(): void {
    this.#wokeAt = undefined;
  }

  /** A visit failed. One that does so right after a sleep says little: the connection has ended meanwhile. */
  visitFailed(now: Moment): void {
    if (this.#wokeAt !== undefined && elapsed(this.#wokeAt, now) >= this.#patience) {
      this.caughtUp();
    }
  }
}
