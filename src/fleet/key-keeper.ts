/** All that a member has of keys: received or made by itself, held on time, one of them chosen to seal, and erased. */

import type { Moment } from '../session/clock.ts';
import type { KeyEnd, RingAction, RingEvent } from './actions.ts';
import { EpochMaker, type MakerView } from './epoch-maker.ts';
import { epochAt } from './epoch-rules.ts';
import type { Generation } from './generation.ts';
import type { HeldKey } from './held-key.ts';
import { HeldKeys } from './held-keys.ts';
import { shortName } from './identity.ts';
import type { MemberContext } from './member-context.ts';
import type { Peers } from './peers.ts';
import { Prekeys } from './prekeys.ts';
import { ReceivedKeys } from './received-keys.ts';
import { SealingChoice } from './sealing-choice.ts';
import type { Refuse, Visit } from './visit.ts';

export interface KeyKeeperOptions {
  readonly context: MemberContext;
  readonly peers: Peers;
  readonly refuse: Refuse;
  readonly tell: (event: RingEvent) => void;
  /** Whether the member knows enough of the ring to seal under this key now. */
  readonly maySeal: (key: HeldKey, now: Moment) => boolean;
}

export class KeyKeeper {
  readonly prekeys: Prekeys;
  readonly held = new HeldKeys();
  readonly sealing: SealingChoice;
  readonly #context: MemberContext;
  readonly #peers: Peers;
  readonly #tell: (event: RingEvent) => void;
  readonly #received: ReceivedKeys;
  readonly #maker: EpochMaker;

  constructor({ context, peers, refuse, tell, maySeal }: KeyKeeperOptions) {
    this.#context = context;
    this.#peers = peers;
    this.#tell = tell;
    this.prekeys = new Prekeys(context.provider, context.configuration);
    this.sealing = new SealingChoice({ context, keys: this.held, peers, tell, maySeal });
    this.#received = new ReceivedKeys({ context, keys: this.held, prekeys: this.prekeys, peers, refuse });
    this.#maker = new EpochMaker(context);
  }

  /** Keys from elsewhere, and the member's own that the store shows. */
  take(visit: Visit, generation: Generation): void {
    if (this.#maker.isSpokenFor(visit)) {
      this.#peers.noteTwofold(this.#context.identity.memberId);
    }
    this.#receive('epoch', this.#received.fromEpochs(visit, generation.number), visit.now);
    this.#receive('welcome', this.#received.fromWelcomes(visit, generation.number), visit.now);
    this.#received.forget(epochAt(this.#context.configuration, visit.time));
    const settled = this.#maker.settle(this.#makerView(visit, generation));
    if (settled !== undefined) {
      this.#hold(settled, visit.now);
    }
    this.advance(visit.now);
  }

  /** Whether a fresh key of the running epoch is at hand. */
  hasCurrent({ now, time }: Visit): boolean {
    return this.held.has(epochAt(this.#context.configuration, time), now);
  }

  /** A new one, when it is this member's turn. */
  make(visit: Visit, generation: Generation): readonly RingAction[] {
    return this.#maker.decide(this.#makerView(visit, generation));
  }

  /** Whether envelopes are being made ready for a new one. */
  get isAtWork(): boolean {
    return this.#maker.isAtWork;
  }

  /** @param enough asked after each envelope, of which there is at least one, whether it is time to let others have theirs */
  work(now: Moment, enough: () => boolean): void {
    this.#maker.work(now, enough);
  }

  requestRotation(): void {
    this.#maker.requestRotation();
  }

  /** Successors that are due are made, and what is over is erased. */
  advance(now: Moment): void {
    this.#tellEnded(this.held.advance(now), 'expired');
    this.prekeys.expire(now);
    this.#maker.expire(now);
  }

  /** Milliseconds until `advance` has something to do, or an alarm may begin to hold. */
  nextChange(now: Moment): number {
    const parts = [this.held, this.sealing].map((part) => part.nextChange(now));
    return Math.min(...parts, this.prekeys.nextEnd(now), this.#maker.nextEnd(now));
  }

  /** Erases all of them; what others seal to the prekeys still opens. */
  endAll(why: KeyEnd): void {
    this.#tellEnded(this.held.endAll(why), why);
    this.#maker.drop(why);
    this.sealing.forget();
  }

  #makerView(visit: Visit, generation: Generation): MakerView {
    return { visit, generation, keys: this.held, peers: this.#peers, salt: this.sealing.latest(visit.now) };
  }

  #receive(by: 'epoch' | 'welcome', keys: readonly HeldKey[], now: Moment): void {
    for (const key of keys) {
      this.#hold(key, now);
      this.#tell({ kind: 'key_received', epoch: key.epoch, key: shortName(key.keyId), by });
    }
  }

  #hold(key: HeldKey, now: Moment): void {
    this.#tellEnded(this.held.crowdOut(now), 'crowded_out');
    this.held.add(key);
  }

  #tellEnded(keys: readonly HeldKey[], why: KeyEnd): void {
    for (const { epoch, keyId } of keys) {
      this.#tell({ kind: 'key_ended', epoch, key: shortName(keyId), why });
    }
  }
}
