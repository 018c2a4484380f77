/** The other instances of the ring, as their signed records tell. */

import { sameBytes, toHex } from '../bytes/bytes.ts';
import { type Generation, isEvicted } from './generation.ts';
import type { HeldKey } from './held-key.ts';
import type { MemberContext } from './member-context.ts';
import type { EpochRecord } from './records/epoch.ts';
import { instanceSlot, type MemberRecord } from './records/member.ts';
import { SecondProcesses } from './second-processes.ts';
import { MAX_MEMBER_RECORDS, STORE_TIMEOUT } from './store.ts';
import type { Refuse, Visit } from './visit.ts';

interface Peer {
  readonly record: MemberRecord;
  /** Ring time of the first record that was seen of it. */
  readonly since: number;
  /** What that record says of itself. */
  readonly firstAnnounced: number;
}

export class Peers {
  readonly #context: MemberContext;
  readonly #refuse: Refuse;
  /** Least lately seen first, and no more than one visit shows: who has one identity can make up any number. */
  readonly #known = new Map<string, Peer>();
  #live: readonly MemberRecord[] = [];
  #heard: readonly MemberRecord[] = [];
  #generation = 0;
  /** Per epoch, for each live instance that has a key of it: which. */
  #holdings = new Map<number, Set<string>[]>();
  #sharedIdentities = 0;
  /** Identities, hex, of which two signers have spoken for one instance. */
  readonly #twofold = new Set<string>();
  readonly #second = new SecondProcesses();

  constructor(context: MemberContext, refuse: Refuse) {
    this.#context = context;
    this.#refuse = refuse;
  }

  /** Those that were alive at the last visit, without this one. */
  get live(): readonly MemberRecord[] {
    return this.#live;
  }

  /** Those of them that said something lately: the others may have ended. */
  get heard(): readonly MemberRecord[] {
    return this.#heard;
  }

  /**
   * Processes of one identity beyond those that are meant to be, all for so long that none is just taking over; and
   * identities with which somebody has signed in the name of a running instance.
   */
  get sharedIdentities(): number {
    return this.#sharedIdentities + this.#twofold.size;
  }

  /** @param announced the number of this instance's own last record */
  update({ members, time }: Visit, generation: Generation, announced: number): void {
    for (const record of members) {
      this.#take(record, time, generation, announced);
    }
    for (const memberId of generation.evicted) {
      this.#twofold.delete(toHex(memberId));
    }
    for (const [id, { record }] of this.#known) {
      if (record.announcedAt < time - FORGOTTEN_AFTER || isEvicted(generation, record.memberId)) {
        this.#known.delete(id);
      }
    }
    for (const id of this.#known.keys()) {
      if (this.#known.size <= MAX_MEMBER_RECORDS) {
        break;
      }
      this.#known.delete(id);
    }
    this.#live = [...this.#known.values()].map(({ record }) => record).filter((record) => this.#isLive(record, time));
    this.#heard = this.#live.filter((record) => record.announcedAt > time - this.#heardFor);
    this.#generation = generation.number;
    // Of the same generation: what someone has from before an order is nothing to wait for.
    this.#holdings = holdingsOf(this.#live.filter((record) => record.generation === generation.number));
    this.#sharedIdentities = this.#countShared(time);
  }

  /** Whether all live instances that have some key of its epoch have this one. */
  everyoneHas({ epoch, id }: HeldKey): boolean {
    return (this.#holdings.get(epoch) ?? []).every((held) => held.has(id));
  }

  /** Whether someone has a key of this epoch and could hand it on: who has fallen silent will not. */
  someoneHas(epoch: number): boolean {
    return this.#heard.some(
      ({ generation, held }) => generation === this.#generation && held.some((key) => key.epoch === epoch),
    );
  }

  /** Whether the process that is named as the maker is one of the signer's, and alive: of one that has ended anyone may say so. */
  isThere({ memberId, creator }: Pick<EpochRecord, 'memberId' | 'creator'>): boolean {
    return this.#live.some((record) => sameBytes(record.instanceId, creator) && sameBytes(record.memberId, memberId));
  }

  /** Whether a process of this member says of itself that it has all these keys. */
  hasAll(memberId: Uint8Array, keyIds: readonly Uint8Array[]): boolean {
    return this.#live.some(
      ({ memberId: own, generation, held }) =>
        sameBytes(own, memberId) &&
        generation === this.#generation &&
        keyIds.every((id) => held.some(({ keyId }) => sameBytes(keyId, id))),
    );
  }

  /** Somebody signed in the name of a running process. */
  noteTwofold(memberId: Uint8Array): void {
    this.#twofold.add(toHex(memberId));
  }

  /** Whether there are others, and all of them that are heard of say that they have this key. */
  allSayTheyHave({ id }: HeldKey): boolean {
    const says = ({ held }: MemberRecord) => held.some(({ keyId }) => toHex(keyId) === id);
    return this.#heard.length > 0 && this.#heard.every(says);
  }

  /**
   * Processes of one identity that came while as many of it ran as are meant to, each once.
   * @param firstAnnounced ring time of this instance's own first record
   */
  newSecondProcesses(time: number, firstAnnounced: number): readonly MemberRecord[] {
    const { identity, processes } = this.#context;
    const own = { memberId: identity.memberId, processes, from: firstAnnounced, to: time };
    const others = [...this.#known.values()].map(({ record, firstAnnounced: from }) => ({
      memberId: record.memberId,
      processes: record.processes,
      from,
      to: record.announcedAt,
      record,
    }));
    return this.#second.newOnes([own, ...others]);
  }

  #take(record: MemberRecord, time: number, generation: Generation, announced: number): void {
    const id = toHex(record.instanceId);
    const known = this.#known.get(id);
    if (id === toHex(this.#context.instanceId)) {
      if (record.sequence > announced) {
        this.#twofold.add(toHex(record.memberId));
      }
      return;
    }
    if (known !== undefined && isTwofold(record, known.record)) {
      this.#twofold.add(toHex(record.memberId));
    }
    if (known !== undefined) {
      // Who is seen is forgotten last.
      this.#known.delete(id);
      this.#known.set(id, known);
    }
    if (record === known?.record) {
      return;
    }
    const refusal = this.#refusalOf(record, known, time, generation);
    if (refusal !== undefined) {
      this.#refuse(refusal, instanceSlot(record.instanceId));
      return;
    }
    const firstAnnounced = known?.firstAnnounced ?? record.announcedAt;
    this.#known.set(id, { record, since: known?.since ?? time, firstAnnounced });
  }

  #refusalOf(record: MemberRecord, known: Peer | undefined, time: number, generation: Generation) {
    if (isEvicted(generation, record.memberId)) {
      return 'evicted_signer';
    }
    if (record.announcedAt > time + this.#context.configuration.maxSkew) {
      return 'untimely';
    }
    return known !== undefined && record.sequence <= known.record.sequence ? 'replayed' : undefined;
  }

  #isLive(record: MemberRecord, time: number): boolean {
    // One of a day to come may be known by a false time: it is not alive until then.
    return (
      record.announcedAt > time - this.#liveFor && record.announcedAt <= time + this.#context.configuration.maxSkew
    );
  }

  get #liveFor(): number {
    return 4 * this.#context.configuration.heartbeat;
  }

  /** Two heartbeats, in which one was meant to be heard; with short ones, as long as a visit to the store may take. */
  get #heardFor(): number {
    const { heartbeat } = this.#context.configuration;
    return Math.min(this.#liveFor, Math.max(2 * heartbeat, heartbeat + STORE_TIMEOUT));
  }

  /** Processes beyond those that their identity is said to have: by the least that one of them says. */
  #countShared(time: number): number {
    const { identity, processes } = this.#context;
    const groups = new Map([[toHex(identity.memberId), { count: 1, allowed: processes }]]);
    for (const record of this.#live) {
      const peer = this.#known.get(toHex(record.instanceId));
      if (peer === undefined || peer.since >= time - this.#liveFor) {
        continue;
      }
      const id = toHex(record.memberId);
      const { count, allowed } = groups.get(id) ?? { count: 0, allowed: record.processes };
      groups.set(id, { count: count + 1, allowed: Math.min(allowed, record.processes) });
    }
    return [...groups.values()].reduce((sum, { count, allowed }) => sum + Math.max(0, count - allowed), 0);
  }
}

/** One process never signs two records with one number. */
function isTwofold(a: MemberRecord, b: MemberRecord): boolean {
  return a.sequence === b.sequence && (a.announcedAt !== b.announcedAt || !sameBytes(a.prekey, b.prekey));
}

function holdingsOf(live: readonly MemberRecord[]): Map<number, Set<string>[]> {
  const holdings = new Map<number, Set<string>[]>();
  for (const { held } of live) {
    const byEpoch = new Map<number, Set<string>>();
    for (const { epoch, keyId } of held) {
      byEpoch.set(epoch, (byEpoch.get(epoch) ?? new Set()).add(toHex(keyId)));
    }
    for (const [epoch, ids] of byEpoch) {
      holdings.set(epoch, [...(holdings.get(epoch) ?? []), ids]);
    }
  }
  return holdings;
}

/**
 * Milliseconds: until then a replay of an older record is recognized, and one that stood still is the same as before when it
 * goes on, so that it shows who used its identity meanwhile.
 */
const FORGOTTEN_AFTER = 24 * 3_600_000;
