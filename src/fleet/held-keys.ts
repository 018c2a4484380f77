/** All keys that one member holds: which seals, which open, which are over. */

import type { Moment } from '../session/clock.ts';
import { MAX_HELD_KEYS } from './configuration.ts';
import type { HeldKey } from './held-key.ts';

export class HeldKeys {
  readonly #byId = new Map<string, HeldKey>();

  get size(): number {
    return this.#byId.size;
  }

  get all(): Iterable<HeldKey> {
    return this.#byId.values();
  }

  get(id: string): HeldKey | undefined {
    return this.#byId.get(id);
  }

  /** One that is there already under this id is replaced: the new one comes with a secret that the old may have lost. */
  add(key: HeldKey): void {
    this.#byId.get(key.id)?.erase('replaced');
    this.#byId.set(key.id, key);
  }

  /** Fresh keys that can be handed on: of this epoch and the next. */
  shareable(now: Moment): readonly HeldKey[] {
    return [...this.#byId.values()].filter((key) => {
      const state = key.state(now);
      return key.fresh && key.hasSecret && (state === 'waiting' || state === 'sealing');
    });
  }

  /** A fresh key that can be handed on, of this epoch. */
  has(epoch: number, now: Moment): boolean {
    return this.shareable(now).some((key) => key.epoch === epoch);
  }

  /**
   * The key that seals: a fresh one before a ratcheted, of those the one that `everyoneHas`, then the last rotation, and
   * of equals the one with the smallest id. All members that hold the same keys choose the same.
   */
  sealing(now: Moment, everyoneHas: (key: HeldKey) => boolean): HeldKey | undefined {
    let best: HeldKey | undefined;
    for (const key of this.#byId.values()) {
      if (key.state(now) === 'sealing' && (best === undefined || isBetter(key, best, everyoneHas))) {
        best = key;
      }
    }
    return best === undefined || best.fresh ? best : (this.#readyFor(best.epoch, now, everyoneHas) ?? best);
  }

  /** A fresh key that was made in time for an epoch, which by its own anchor begins a moment later than by another's. */
  #readyFor(epoch: number, now: Moment, everyoneHas: (key: HeldKey) => boolean): HeldKey | undefined {
    let best: HeldKey | undefined;
    for (const key of this.#byId.values()) {
      const isReady = key.fresh && key.epoch === epoch && key.inTime && key.state(now) === 'waiting';
      if (isReady && (best === undefined || isBetter(key, best, everyoneHas))) {
        best = key;
      }
    }
    return best;
  }

  /**
   * Of the keys of this epoch that were made late, and wait until everyone must have seen them, one that everyone is known to
   * have: where nothing else seals there is nothing to wait for.
   */
  early(now: Moment, allSayTheyHave: (key: HeldKey) => boolean): HeldKey | undefined {
    let best: HeldKey | undefined;
    for (const key of this.#byId.values()) {
      const isReady = key.fresh && key.state(now) === 'waiting' && key.hasBegun(now) && allSayTheyHave(key);
      if (isReady && (best === undefined || isBetter(key, best, () => true))) {
        best = key;
      }
    }
    return best;
  }

  /** Whether a key of this epoch waits, as it was made late. */
  waits(now: Moment): boolean {
    return [...this.#byId.values()].some((key) => key.fresh && key.state(now) === 'waiting' && key.hasBegun(now));
  }

  /**
   * Makes the successors that are due and erases what is over.
   * @returns the keys that ended
   */
  advance(now: Moment): readonly HeldKey[] {
    // Before anything is erased: after a long sleep the successor of a secret whose time is over may be the one to use.
    const due = [...this.#byId.values()];
    for (let key = due.pop(); key !== undefined; key = due.pop()) {
      const successor = key.successor(now);
      if (successor === undefined) {
        continue;
      }
      if (this.#byId.has(successor.id)) {
        // Its parent was received once more.
        successor.erase('duplicate');
        continue;
      }
      this.#byId.set(successor.id, successor);
      due.push(successor);
    }
    const ended = [...this.#byId.values()].filter((key) => key.expire(now));
    for (const { id } of ended) {
      this.#byId.delete(id);
    }
    return ended;
  }

  /** Makes room for one more: those go that would end first. */
  crowdOut(now: Moment): readonly HeldKey[] {
    const excess = this.#byId.size - MAX_HELD_KEYS + 1;
    if (excess <= 0) {
      return [];
    }
    const ended = [...this.#byId.values()].sort((a, b) => rank(a, now) - rank(b, now)).slice(0, excess);
    for (const key of ended) {
      key.erase('crowded_out');
      this.#byId.delete(key.id);
    }
    return ended;
  }

  endAll(why: string): readonly HeldKey[] {
    const ended = [...this.#byId.values()];
    this.#byId.clear();
    for (const key of ended) {
      key.erase(why);
    }
    return ended;
  }

  /** Milliseconds until some key changes. */
  nextChange(now: Moment): number {
    let next = Number.POSITIVE_INFINITY;
    for (const key of this.#byId.values()) {
      next = Math.min(next, key.nextChange(now));
    }
    return next;
  }
}

function isBetter(a: HeldKey, b: HeldKey, everyoneHas: (key: HeldKey) => boolean): boolean {
  if (a.depth !== b.depth) {
    return a.depth < b.depth;
  }
  if (a.fresh && everyoneHas(a) !== everyoneHas(b)) {
    return everyoneHas(a);
  }
  // At a boundary two epochs may both be sealing by their own anchors, which differ by the clocks' drift.
  if (a.epoch !== b.epoch) {
    return a.epoch > b.epoch;
  }
  return a.rotation === b.rotation ? a.id < b.id : a.rotation > b.rotation;
}

/** Ratcheted keys go before fresh ones, then those that end first. */
function rank(key: HeldKey, now: Moment): number {
  return (key.fresh ? 2 ** 52 : 0) + key.times.destroyAt - (key.state(now) === 'sealing' ? 0 : 1);
}
