/** Which key seals at this moment, since when it has been none or a ratcheted one, and what alarms follow from that. */

import type { Moment } from '../session/clock.ts';
import type { RingAlarm, RingEvent } from './actions.ts';
import type { HeldKey } from './held-key.ts';
import type { HeldKeys } from './held-keys.ts';
import { shortName } from './identity.ts';
import type { MemberContext } from './member-context.ts';
import type { Peers } from './peers.ts';
import { elapsed } from './ring-time.ts';

type SealingAlarm = Extract<RingAlarm, 'no_fresh_epoch' | 'sealing_key_old' | 'no_sealing_key'>;

export interface SealingChoiceOptions {
  readonly context: MemberContext;
  readonly keys: HeldKeys;
  readonly peers: Peers;
  readonly tell: (event: RingEvent) => void;
  /** Whether the member knows enough of the ring to seal under this key now. */
  readonly maySeal: (key: HeldKey, now: Moment) => boolean;
}

export class SealingChoice {
  readonly #context: MemberContext;
  readonly #keys: HeldKeys;
  readonly #peers: Peers;
  readonly #tell: (event: RingEvent) => void;
  readonly #maySeal: SealingChoiceOptions['maySeal'];
  #key: HeldKey | undefined;
  /** Since when none has sealed. */
  #unsealedSince: Moment | undefined;
  /** Since when one has sealed that was ratcheted. */
  #ratchetedSince: Moment | undefined;

  constructor({ context, keys, peers, tell, maySeal }: SealingChoiceOptions) {
    this.#context = context;
    this.#keys = keys;
    this.#peers = peers;
    this.#tell = tell;
    this.#maySeal = maySeal;
  }

  /** The key to seal with now; undefined means that no ticket is made. */
  key(now: Moment): HeldKey | undefined {
    return this.#permitted(this.latest(now), now);
  }

  /** The same, also while nothing is sealed: to go on from. */
  latest(now: Moment): HeldKey | undefined {
    const key = this.#key;
    return key !== undefined && key.state(now) === 'sealing' ? key : this.#best(now);
  }

  /** Looks again, after time has passed or keys have come or gone. */
  update(now: Moment): void {
    const best = this.#permitted(this.#best(now), now);
    if (best === undefined) {
      this.#unsealedSince ??= now;
    }
    if (best === this.#key) {
      return;
    }
    const hadKey = this.#key !== undefined;
    this.#key = best;
    this.#ratchetedSince = best === undefined || best.fresh ? undefined : (this.#ratchetedSince ?? now);
    if (best !== undefined) {
      this.#unsealedSince = undefined;
      this.#tell({ kind: 'sealing', epoch: best.epoch, key: shortName(best.keyId), ratchetDepth: best.depth });
    } else if (hadKey) {
      this.#tell({ kind: 'not_sealing' });
    }
  }

  /** All keys are gone, by an order or for good: nothing to tell. */
  forget(): void {
    this.#key = undefined;
    this.#ratchetedSince = undefined;
  }

  /** Whether a key is at hand that waits only for word that everybody has it. */
  isWaiting(now: Moment): boolean {
    return this.#key === undefined && this.#keys.waits(now);
  }

  alarms(now: Moment): Readonly<Record<SealingAlarm, boolean>> {
    const { epochLength } = this.#context.configuration;
    return {
      // At the change of epochs the fresh key may come a moment after the ratcheted one: that is how it is meant.
      no_fresh_epoch: this.#ratchetedSince !== undefined && elapsed(this.#ratchetedSince, now) >= this.#patience,
      sealing_key_old: this.#key !== undefined && this.#key.freshAge(now) > 2 * epochLength,
      no_sealing_key:
        this.#key === undefined &&
        this.#unsealedSince !== undefined &&
        elapsed(this.#unsealedSince, now) > 4 * this.#patience,
    };
  }

  /** Milliseconds until an alarm may begin to hold. */
  nextChange(now: Moment): number {
    const left = this.#ratchetedSince === undefined ? 0 : this.#patience - elapsed(this.#ratchetedSince, now);
    return left > 0 ? left : Number.POSITIVE_INFINITY;
  }

  get #patience(): number {
    return this.#context.configuration.settle;
  }

  #permitted(key: HeldKey | undefined, now: Moment): HeldKey | undefined {
    return key !== undefined && this.#maySeal(key, now) ? key : undefined;
  }

  #best(now: Moment): HeldKey | undefined {
    return (
      this.#keys.sealing(now, (key) => this.#peers.everyoneHas(key)) ??
      this.#keys.early(now, (key) => this.#peers.allSayTheyHave(key))
    );
  }
}
