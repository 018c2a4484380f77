/**
 * Whether the member knows how the ring stands, and so what it may seal under.
 *
 * One that was stopped for a while (a suspended machine, a process that stood still) has in its hands what the ring may have
 * left behind, and may have missed an order: until it has a fresh key again, or has found the store away, it seals nothing.
 *
 * One that stood still for seconds goes on sealing under a fresh key. A ratcheted one is what anyone can derive who had the
 * member's memory an epoch ago: it waits until a visit has shown that there is no fresh one to be had, or two have failed.
 */

import type { Moment } from '../session/clock.ts';
import type { RingConfiguration } from './configuration.ts';
import type { HeldKey } from './held-key.ts';
import { elapsed } from './ring-time.ts';
import { STORE_TIMEOUT } from './store.ts';

/**
 * Where there is a fresh key of the running epoch. 'elsewhere': others have one that is lacking here. 'untold': the clocks
 * contradict each other, so which epoch runs is not known.
 */
export type Whereabouts = 'here' | 'elsewhere' | 'nowhere' | 'untold';

export class Watchfulness {
  readonly #gap: number;
  readonly #patience: number;
  #calledAt: Moment;
  /** Milliseconds after the last call at which it asked to be called again. */
  #askedFor = 0;
  #failedVisits = 0;
  /** Since when it has been awake again after a long sleep, and not caught up. */
  #wokeAt: Moment | undefined;
  /** Until when it stood still, if no visit has shown since how things stand, and how many have failed. */
  #still: { readonly until: Moment; failed: number } | undefined;

  constructor({ heartbeat, settle }: RingConfiguration, now: Moment) {
    // It is called with each heartbeat. What another knows may be older by as long as two visits take.
    this.#gap = heartbeat + 2 * STORE_TIMEOUT;
    this.#patience = settle;
    this.#calledAt = now;
  }

  /** Since the last one that did not fail. */
  get failedVisits(): number {
    return this.#failedVisits;
  }

  /**
   * It runs. To be called first of all in each call that comes from outside.
   * @returns whether it stood still until now
   */
  note(now: Moment): boolean {
    const stoodStill = this.#isLate(now);
    if (stoodStill) {
      this.#still = { until: now, failed: 0 };
    }
    if (elapsed(this.#calledAt, now) > this.#gap) {
      this.#wokeAt = now;
    }
    this.#calledAt = now;
    return stoodStill;
  }

  /** To be called last of all. */
  asksFor(after: number): void {
    this.#askedFor = after;
  }

  /** Right also for who comes before the member's own timers after a sleep. */
  maySeal(key: HeldKey, now: Moment): boolean {
    return !this.#hasSlept(now) && (key.fresh || (this.#still === undefined && !this.#isLate(now)));
  }

  /** @param began when it asked for what it sees now */
  visited(began: Moment, fresh: Whereabouts): void {
    this.#failedVisits = 0;
    if (fresh !== 'elsewhere' && this.#still !== undefined && elapsed(began, this.#still.until) === 0) {
      this.#still = undefined;
    }
    if (fresh === 'here' || fresh === 'untold') {
      this.#wokeAt = undefined;
    }
  }

  /** One that does so right after a sleep says little: the connection has ended meanwhile. */
  visitFailed(now: Moment): void {
    this.#failedVisits++;
    if (this.#still !== undefined && ++this.#still.failed > 1) {
      this.#still = undefined;
    }
    if (this.#wokeAt !== undefined && elapsed(this.#wokeAt, now) >= this.#patience) {
      this.#wokeAt = undefined;
    }
  }

  /** Whether it stood still, and has not found out what came of it. */
  isUnsure(now: Moment): boolean {
    return this.#still !== undefined || this.#hasSlept(now);
  }

  #hasSlept(now: Moment): boolean {
    return this.#wokeAt !== undefined || elapsed(this.#calledAt, now) > this.#gap;
  }

  #isLate(now: Moment): boolean {
    return elapsed(this.#calledAt, now) > this.#askedFor + STILL;
  }
}

/** Milliseconds by which a call may come late without that the process stood still. */
const STILL = 2_000;
