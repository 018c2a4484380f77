/**
 * Time in the ring: the store's clock at one moment, carried on by the local clocks.
 *
 *     ring time(now) = ring time at the anchor + the larger of what both local clocks say has passed since
 *
 * The larger: a machine that slept, and one whose wall clock was set back, must both see that a key's time is over. Each
 * key has an anchor of its own, taken when it came: no later answer of the store, true or false, moves its deadlines.
 */

import type { Moment } from '../session/clock.ts';

export interface Anchor {
  readonly moment: Moment;
  /** Milliseconds since the epoch, by the store's clock. */
  readonly ring: number;
}

/** Milliseconds, never less than 0. */
export function elapsed(since: Moment, now: Moment): number {
  return Math.max(0, now.wall - since.wall, now.monotonic - since.monotonic);
}

export function ringTime(anchor: Anchor, now: Moment): number {
  return anchor.ring + elapsed(anchor.moment, now);
}

/** The times of one key, by ring time. Half open: a key does not seal at `sealUntil`, and is gone at `destroyAt`. */
export interface EpochTimes {
  readonly createdAt: number;
  readonly sealFrom: number;
  readonly sealUntil: number;
  /** `sealUntil` and a ticket lifetime. */
  readonly destroyAt: number;
}
