/**
 * One key as one member holds it: its secret while it seals, its working keys while they open, and every deadline.
 *
 *     received ─ opens ─▶ sealFrom ─ seals, opens ─▶ sealUntil ─ opens ─▶ destroyAt
 *                         its successor is ready     secret erased         working keys erased
 *
 * Deadlines are the member's own: the store's clock is believed once, when the key comes, and only as far as the local
 * clocks bear it out. Nothing is kept for more than 24 hours after it can have been made.
 */

import { toHex } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { Moment } from '../session/clock.ts';
import { MAX_KEY_LIFE, type RingConfiguration } from './configuration.ts';
import {
  keyIdOf,
  ratchet,
  type WorkingKeyTarget,
  type WorkingKeyUse,
  workingKey,
  workingKeys,
} from './epoch-secret.ts';
import { type Anchor, type EpochTimes, elapsed, ringTime } from './ring-time.ts';

/** What all keys of one member have in common. */
export interface KeyContext {
  readonly provider: CryptoProvider;
  readonly configuration: RingConfiguration;
  /** The working keys to derive. */
  readonly uses: readonly WorkingKeyUse[];
}

export interface HeldKeyOptions {
  /** Taken over. */
  readonly secret: Secret;
  readonly epoch: number;
  readonly rotation: number;
  /** Number of the generation it belongs to. */
  readonly generation: number;
  readonly times: EpochTimes;
  readonly anchor: Anchor;
  /** Milliseconds from its making to the anchor, at the most, by the local clocks and those of who passed it on. */
  readonly age: number;
  /** The store's clock and the local one contradict each other: how old it is counts by the local one alone. */
  readonly distrustStore: boolean;
  /** 0 for a fresh key, else how many epochs after the last fresh one. */
  readonly depth?: number;
  /** The fresh key that a ratcheted one goes back to. */
  readonly root?: HeldKeyRoot;
  /** Milliseconds, for a ratcheted key: inherited. */
  readonly lead?: number;
}

export interface HeldKeyRoot {
  /** Hex of its key id. */
  readonly id: string;
  readonly createdAt: number;
}

export type HeldKeyState = 'waiting' | 'sealing' | 'opening' | 'ended';

export interface KeyUses {
  sealed: number;
  opened: number;
}

export class HeldKey {
  readonly keyId: Uint8Array;
  /** Hex of the key id. */
  readonly id: string;
  readonly epoch: number;
  readonly rotation: number;
  readonly generation: number;
  readonly depth: number;
  /** Itself, if it is fresh. */
  readonly root: HeldKeyRoot;
  readonly times: EpochTimes;
  readonly anchor: Anchor;
  readonly #context: KeyContext;
  readonly #secret: Secret;
  readonly #working: ReadonlyMap<string, Secret>;
  readonly #uses: ReadonlyMap<string, KeyUses>;
  readonly #age: number;
  /** By how much its deadlines come before those in its times: it may be older than the store's clock says. */
  readonly #lead: number;
  #hasSuccessor = false;

  constructor(context: KeyContext, options: HeldKeyOptions) {
    const { secret, times, anchor, age, distrustStore, depth = 0 } = options;
    this.#context = context;
    this.#secret = secret;
    this.keyId = keyIdOf(context.provider, secret);
    this.id = toHex(this.keyId);
    this.epoch = options.epoch;
    this.rotation = options.rotation;
    this.generation = options.generation;
    this.depth = depth;
    this.times = times;
    this.anchor = anchor;
    this.#age = age;
    this.root = options.root ?? { id: this.id, createdAt: times.createdAt };
    this.#lead = options.lead ?? (distrustStore ? Math.max(0, age - Math.max(0, anchor.ring - times.createdAt)) : 0);
    this.#uses = new Map(
      context.uses
        .filter(({ target }) => isForTickets(target))
        .map(({ policy, target }) => [nameOf(policy, target), { sealed: 0, opened: 0 }]),
    );
    this.#working = new Map(
      context.uses.map((use) => {
        const name = nameOf(use.policy, use.target);
        return [name, workingKey(context.provider, secret, use, this.#uses.get(name))];
      }),
    );
  }

  /** Of all its working keys together. */
  get uses(): Readonly<KeyUses> {
    const sum = { sealed: 0, opened: 0 };
    for (const { sealed, opened } of this.#uses.values()) {
      sum.sealed += sealed;
      sum.opened += opened;
    }
    return sum;
  }

  /** To be counted on; undefined for a target that seals no tickets of ours. */
  usesOf(policy: string, target: WorkingKeyTarget): KeyUses | undefined {
    return this.#uses.get(nameOf(policy, target));
  }

  get fresh(): boolean {
    return this.depth === 0;
  }

  /** Whether it can still be handed on, or gone on from. */
  get hasSecret(): boolean {
    return !this.#secret.erased;
  }

  /** For envelopes, welcomes, salting: lent, and only while `hasSecret`. */
  get secret(): Secret {
    return this.#secret;
  }

  /** Milliseconds since it was made, at the most. */
  age(now: Moment): number {
    return this.#age + elapsed(this.anchor.moment, now);
  }

  /** Milliseconds since the fresh key was made that it goes back to. */
  freshAge(now: Moment): number {
    return ringTime(this.anchor, now) - this.root.createdAt;
  }

  state(now: Moment): HeldKeyState {
    const time = ringTime(this.anchor, now) + this.#lead;
    const { sealFrom, sealUntil, destroyAt } = this.times;
    if (time >= destroyAt || this.age(now) >= MAX_KEY_LIFE || this.#erased) {
      return 'ended';
    }
    if (time >= sealUntil || this.#secret.erased) {
      return 'opening';
    }
    return time - this.#lead >= sealFrom ? 'sealing' : 'waiting';
  }

  /** Whether it seals from the beginning of its epoch on: everyone has it by then. */
  get inTime(): boolean {
    return this.times.sealFrom <= this.epoch * this.#context.configuration.epochLength;
  }

  /** Whether its epoch has begun: it may still wait, if it was made late. */
  hasBegun(now: Moment): boolean {
    return ringTime(this.anchor, now) >= this.epoch * this.#context.configuration.epochLength;
  }

  /** The working key, or undefined once its time is over. Lent: it is erased when its time comes. */
  working(policy: string, target: WorkingKeyTarget, now: Moment): Secret | undefined {
    const secret = this.#working.get(nameOf(policy, target));
    return secret === undefined || secret.erased || this.#isOver(target, now) ? undefined : secret;
  }

  /** The working key itself, erased or not. */
  workingSecret(policy: string, target: WorkingKeyTarget): Secret | undefined {
    return this.#working.get(nameOf(policy, target));
  }

  /** Its times on the wall clock at hand, for those who know no other. */
  wallTimes(now: Moment): Omit<EpochTimes, 'destroyAt'> {
    const shift = now.wall - ringTime(this.anchor, now);
    const { createdAt, sealFrom, sealUntil } = this.times;
    return { createdAt: createdAt + shift, sealFrom: sealFrom + shift, sealUntil: sealUntil + shift - this.#lead };
  }

  /** When the working keys for this target end, on the wall clock at hand; never after the key itself does. */
  opensUntil(target: WorkingKeyTarget, now: Moment): number {
    const left = this.#endOf(target) - ringTime(this.anchor, now);
    return now.wall + Math.min(left, MAX_KEY_LIFE - this.age(now));
  }

  /**
   * Erases what is over now.
   * @returns whether the whole key has ended
   */
  expire(now: Moment): boolean {
    const state = this.state(now);
    if (state === 'ended') {
      this.erase('expired');
      return true;
    }
    if (state === 'opening') {
      this.#secret.erase('expired');
    }
    for (const { policy, target } of this.#context.uses) {
      if (this.#isOver(target, now)) {
        this.#working.get(nameOf(policy, target))?.erase('expired');
      }
    }
    return false;
  }

  erase(why: string): void {
    this.#secret.erase(why);
    for (const secret of this.#working.values()) {
      secret.erase(why);
    }
  }

  /**
   * The key that follows without anyone's word: made once, when this one begins to seal, so that everyone who could seal
   * under it has others who can open. Undefined before that, afterwards, and when the last fresh key is too long ago.
   */
  successor(now: Moment): HeldKey | undefined {
    const { provider, configuration } = this.#context;
    const time = ringTime(this.anchor, now);
    if (this.#hasSuccessor || this.#secret.erased || time < this.times.sealFrom || this.state(now) === 'ended') {
      return undefined;
    }
    this.#hasSuccessor = true;
    const { epochLength, ticketLifetime, ratchetLimit } = configuration;
    const sealFrom = (this.epoch + 1) * epochLength;
    const sealUntil = sealFrom + epochLength;
    if (this.depth >= ratchetLimit || sealUntil - this.root.createdAt > MAX_KEY_LIFE) {
      return undefined;
    }
    return new HeldKey(this.#context, {
      secret: ratchet(provider, this.#secret, this.epoch + 1),
      epoch: this.epoch + 1,
      rotation: this.rotation,
      generation: this.generation,
      times: { createdAt: Math.floor(time), sealFrom, sealUntil, destroyAt: sealUntil + ticketLifetime },
      anchor: this.anchor,
      // Counted from now: the anchor is older than the key.
      age: -elapsed(this.anchor.moment, now),
      distrustStore: false,
      depth: this.depth + 1,
      root: this.root,
      lead: this.#lead,
    });
  }

  /** Milliseconds until something about it changes, by the clock that gets there first if both run evenly. */
  nextChange(now: Moment): number {
    const time = ringTime(this.anchor, now);
    let next = MAX_KEY_LIFE - this.age(now);
    const consider = (at: number) => {
      if (at > time && at - time < next) {
        next = at - time;
      }
    };
    consider(this.times.sealFrom);
    consider(this.times.sealUntil - this.#lead);
    consider(this.times.destroyAt - this.#lead);
    for (const { target } of this.#context.uses) {
      consider(this.#endOf(target));
    }
    return Math.max(0, next);
  }

  get #erased(): boolean {
    return this.#secret.erased && [...this.#working.values()].every((secret) => secret.erased);
  }

  /** Ring time at which working keys for this target end. */
  #endOf(target: WorkingKeyTarget): number {
    const { configuration } = this.#context;
    return this.times.sealUntil + configuration[workingKeys[target].life] - this.#lead;
  }

  #isOver(target: WorkingKeyTarget, now: Moment): boolean {
    return this.state(now) === 'ended' || ringTime(this.anchor, now) >= this.#endOf(target);
  }
}

function isForTickets(target: WorkingKeyTarget): boolean {
  return target === 'mayfly' || target === 'mayfly-12';
}

function nameOf(policy: string, target: WorkingKeyTarget): string {
  return `${target} ${policy}`;
}
