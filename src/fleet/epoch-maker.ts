/**
 * Makes epochs: notices that one is missing, makes its key, offers it to the store, and finds out at a later visit whether
 * it is the one that everybody got.
 *
 * Envelopes are made ready first, which takes a while in a large fleet: then the store is looked at once more, and whether
 * the epoch is still missing, who is there and which times it has is decided by what it shows then.
 *
 * A key that was made is pending until it is seen in the store. If another is there in its place, it is erased: nobody else
 * ever had it. If it is not there at all, it is offered again. Nothing rests on the store's word about who was first.
 */

import { sameBytes, toHex } from '../bytes/bytes.ts';
import type { Moment } from '../session/clock.ts';
import type { RingAction } from './actions.ts';
import { EnvelopeStock } from './envelope-stock.ts';
import { creationTime, epochAt, epochTimes, turnOf } from './epoch-rules.ts';
import { createEpochSecret } from './epoch-secret.ts';
import type { Generation } from './generation.ts';
import { HeldKey } from './held-key.ts';
import type { HeldKeys } from './held-keys.ts';
import { shortName } from './identity.ts';
import { type MemberContext, topic } from './member-context.ts';
import type { Peers } from './peers.ts';
import { type EpochHeader, type EpochRecord, epochSlot, type Recipient, sealEpochRecord } from './records/epoch.ts';
import { type EpochTimes, elapsed, ringTime } from './ring-time.ts';
import { MAX_INSTANCES } from './store.ts';
import type { Visit } from './visit.ts';

interface Pending {
  readonly key: HeldKey;
  readonly slot: string;
  readonly record: Uint8Array;
  readonly ifAbsent: boolean;
  /** Ring time after which its `sealFrom` comes too soon for the others. */
  readonly offerUntil: number;
}

/** What it looks at besides the visit. */
export interface MakerView {
  readonly visit: Visit;
  readonly generation: Generation;
  readonly keys: HeldKeys;
  readonly peers: Peers;
  /** To go on from; absent right after a flush. */
  readonly salt: HeldKey | undefined;
}

interface Due {
  readonly epoch: number;
  readonly rotation: number;
  readonly ifAbsent: boolean;
}

export class EpochMaker {
  readonly #context: MemberContext;
  readonly #envelopes: EnvelopeStock;
  #pending: Pending | undefined;
  /** Since when an epoch is missed. */
  readonly #missedSince = new Map<number, Moment>();
  #rotate = false;
  /** Ids of the keys that it made, hex, and their epochs: of those that may still lie in the store. */
  readonly #made = new Map<string, number>();

  constructor(context: MemberContext) {
    this.#context = context;
    this.#envelopes = new EnvelopeStock(context);
  }

  /** Makes a further key for the running epoch at the next visit. */
  requestRotation(): void {
    this.#rotate = true;
  }

  /** Whether somebody has made a key in the name of this process. */
  isSpokenFor({ epochs }: Visit): boolean {
    const { instanceId, identity } = this.#context;
    return epochs.some(
      ({ memberId, creator, keyId }) =>
        sameBytes(memberId, identity.memberId) && sameBytes(creator, instanceId) && !this.#made.has(toHex(keyId)),
    );
  }

  /** The pending key, if the store shows that it is the one: the caller holds it from now on. */
  settle({ visit, generation, peers }: MakerView): HeldKey | undefined {
    const pending = this.#pending;
    if (pending === undefined) {
      return undefined;
    }
    const rivals = visit.epochs.filter(
      (record) =>
        record.generation.number === generation.number &&
        epochSlot(record) === pending.slot &&
        this.#isOfTheLiving(record, peers),
    );
    const smallest = rivals.map(({ keyId }) => toHex(keyId)).sort()[0];
    if (smallest === pending.key.id) {
      this.#pending = undefined;
      return pending.key;
    }
    const lost = smallest !== undefined || pending.key.generation !== generation.number;
    if (lost || visit.time > pending.offerUntil) {
      this.drop('lost');
    }
    return undefined;
  }

  /** A key that nobody could be given any more is erased, also when the store cannot be visited. */
  expire(now: Moment): void {
    this.#envelopes.expire(now);
    const pending = this.#pending;
    if (pending !== undefined && ringTime(pending.key.anchor, now) > pending.offerUntil + OVERDUE * this.#heartbeat) {
      this.drop('expired');
    }
  }

  /** Milliseconds until `expire` has something to do. */
  nextEnd(now: Moment): number {
    const pending = this.#pending;
    const ofPending =
      pending === undefined
        ? Number.POSITIVE_INFINITY
        : pending.offerUntil + OVERDUE * this.#heartbeat + 1 - ringTime(pending.key.anchor, now);
    return Math.min(ofPending, this.#envelopes.nextEnd(now));
  }

  get #heartbeat(): number {
    return this.#context.configuration.heartbeat;
  }

  /** Erases the pending key, and what was made ready for it. */
  drop(why: string): void {
    this.#pending?.key.erase(why);
    this.#pending = undefined;
    this.#envelopes.erase();
  }

  /** Whether `work` has something to do. */
  get isAtWork(): boolean {
    return this.#envelopes.isAtWork;
  }

  /** Makes some envelopes ready, at least one, until it is `enough`. */
  work(now: Moment, enough: () => boolean): void {
    this.#envelopes.work(now, enough);
  }

  /** What to put into the store: at most one new epoch per visit, and again the pending one. */
  decide(view: MakerView): readonly RingAction[] {
    const { visit } = view;
    if (visit.skewed) {
      return [];
    }
    if (this.#pending !== undefined) {
      return this.#offer(this.#pending, visit);
    }
    const current = epochAt(this.#context.configuration, visit.time);
    for (const epoch of this.#missedSince.keys()) {
      if (epoch < current) {
        this.#missedSince.delete(epoch);
      }
    }
    for (const [id, epoch] of this.#made) {
      if (epoch < current - 1) {
        this.#made.delete(id);
      }
    }
    const due = this.#due(view, current);
    if (due === undefined) {
      this.#envelopes.erase();
      return [];
    }
    const times = epochTimes(this.#context.configuration, due.epoch, visit.time, view.peers.heard.length === 0);
    if (times.sealFrom >= times.sealUntil) {
      // Too late to be of use: the next epoch brings a key.
      this.#rotate = false;
      return [];
    }
    const recipients = this.#recipients(view);
    return this.#envelopes.hasAll(recipients) ? this.#make(view, due, times, recipients) : [];
  }

  #due(view: MakerView, current: number): Due | undefined {
    for (const epoch of [current, current + 1]) {
      const verdict = this.#isDue(view, epoch, current);
      if (verdict !== undefined) {
        return { epoch, rotation: 0, ...verdict };
      }
    }
    return this.#rotate ? this.#rotationOf(view, current) : undefined;
  }

  #isDue({ visit, keys, peers }: MakerView, epoch: number, current: number): { ifAbsent: boolean } | undefined {
    const { provider, configuration, instanceId } = this.#context;
    if (keys.has(epoch, visit.now)) {
      this.#missedSince.delete(epoch);
      return undefined;
    }
    if (epoch > current && visit.time < creationTime(provider, configuration, epoch, instanceId)) {
      return undefined;
    }
    const since = this.#missedSince.get(epoch) ?? visit.now;
    this.#missedSince.set(epoch, since);
    const missed = elapsed(since, visit.now);
    const made = visit.epochs.some(
      (record) => record.epoch === epoch && record.sealUntil > visit.time && this.#isOfTheLiving(record, peers),
    );
    const turn = this.#turn(peers, epoch) * TURN * configuration.heartbeat;
    const patience = PATIENCE * configuration.heartbeat;
    if (made || peers.someoneHas(epoch)) {
      // Whoever has it will send it. That failing, one more for the epoch does no harm.
      return missed >= patience + turn ? { ifAbsent: false } : undefined;
    }
    return epoch > current || missed >= turn ? { ifAbsent: true } : undefined;
  }

  /** 0 for who makes a missing epoch first. */
  #turn(peers: Peers, epoch: number): number {
    const { provider, instanceId } = this.#context;
    const others = peers.heard.map((peer) => peer.instanceId);
    return turnOf(provider, topic('make', epoch), instanceId, others);
  }

  /** Whether someone has the key, or could: of a fleet that ended nobody does, though its record lies there for its epoch. */
  #isOfTheLiving({ creator, envelopes }: EpochRecord, peers: Peers): boolean {
    const instances = [this.#context.instanceId, ...peers.heard.map(({ instanceId }) => instanceId)];
    const living = new Set(instances.map(toHex));
    return living.has(toHex(creator)) || envelopes.some(({ instanceId }) => living.has(toHex(instanceId)));
  }

  #rotationOf({ visit, keys }: MakerView, epoch: number): Due | undefined {
    const rotations = keys
      .shareable(visit.now)
      .filter((key) => key.epoch === epoch)
      .map(({ rotation }) => rotation);
    const rotation = Math.max(0, ...rotations) + 1;
    if (rotation > MAX_ROTATION) {
      this.#rotate = false;
      return undefined;
    }
    return { epoch, rotation, ifAbsent: true };
  }

  #recipients({ visit, peers }: MakerView): readonly Recipient[] {
    const { settle } = this.#context.configuration;
    return peers.live
      .filter(({ notAfter }) => notAfter > visit.time + settle)
      .slice(0, MAX_INSTANCES)
      .map(({ instanceId, prekey }) => ({ instanceId, prekey }));
  }

  #make(view: MakerView, due: Due, times: EpochTimes, candidates: readonly Recipient[]): readonly RingAction[] {
    const { visit, generation } = view;
    const { epoch, rotation, ifAbsent } = due;
    const { configuration, provider, trust, identity, instanceId } = this.#context;
    const recipients = this.#envelopes.take(candidates);
    this.#rotate &&= rotation === 0;
    const secret = createEpochSecret(provider, view.salt?.hasSecret === true ? view.salt.secret : undefined);
    const key = new HeldKey(this.#context, {
      secret,
      epoch,
      rotation,
      generation: generation.number,
      times,
      anchor: visit.anchor,
      age: 0,
      distrustStore: false,
    });
    this.#made.set(key.id, epoch);
    const header: EpochHeader = { generation, epoch, rotation, ...times, creator: instanceId, keyId: key.keyId };
    const record = sealEpochRecord({
      trust,
      kem: configuration.kem,
      identity,
      header,
      secret,
      recipients,
    });
    const offerUntil = Math.max(times.createdAt, times.sealFrom - configuration.settle) + configuration.heartbeat;
    const slot = epochSlot(header);
    // Junk in the slot must not keep the epoch from being made: had it been a record, there were nothing to make.
    this.#pending = { key, slot, record, ifAbsent: ifAbsent && !visit.takenSlots.has(slot), offerUntil };
    const made = { kind: 'epoch_made', epoch, key: shortName(key.keyId), members: recipients.length + 1 } as const;
    return [...this.#offer(this.#pending, visit), { kind: 'event', event: made }];
  }

  #offer({ key, slot, record, ifAbsent }: Pending, { time }: Visit): readonly RingAction[] {
    const ttl = Math.max(1, Math.floor(key.times.sealUntil - time));
    return [{ kind: 'put_epoch', slot, record, ttl, ifAbsent }, { kind: 'publish' }];
  }
}

/** Heartbeats. How long one waits for those who have a key before one makes another. */
const PATIENCE = 6;
/** Heartbeats between the turns of two members: the one whose turn it was has shown by then. */
export const TURN = 1.5;
/** Heartbeats: the visit that shows that it won may be late. */
const OVERDUE = 2;
/** Rotations of one epoch that operators can ask for. */
const MAX_ROTATION = 15;
