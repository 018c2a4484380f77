/** A store for simulations, in the hands of whoever wants to lose, double, roll back, forge or withhold what is in it. */

import type { RingAction } from '../../src/fleet/actions.ts';
import type { StoredRecord, StoreView } from '../../src/fleet/store.ts';

type Put = Extract<RingAction, { kind: 'put_member' | 'put_epoch' | 'put_welcome' | 'put_order' }>;
export type RecordKind = 'member' | 'epoch' | 'welcome' | 'order';

interface Entry {
  readonly kind: RecordKind;
  readonly slot: string;
  readonly bytes: Uint8Array;
  readonly until: number;
}

export class FaultyStore {
  /** Milliseconds by which its clock is off. */
  clockOffset = 0;
  /** What it adds to that for one member alone, by its slot. */
  readonly lies = new Map<string, number>();
  /** When set, its clock stands there. */
  frozenAt: number | undefined;
  /** `SET NX` is won by everyone, as after a failover. */
  brokenNx = false;
  /** Withholds epoch records from whoever looks. */
  hidesEpochs = false;
  /** Everything that was ever written. */
  readonly history: Entry[] = [];
  #entries: Entry[] = [];
  #snapshots: (readonly Entry[])[] = [];

  time(now: number): number {
    return this.frozenAt ?? now + this.clockOffset;
  }

  write(action: RingAction, now: number): void {
    if (action.kind === 'remove_member') {
      this.#entries = this.#entries.filter(({ kind, slot }) => kind !== 'member' || slot !== action.slot);
      return;
    }
    if (!('record' in action)) {
      return;
    }
    const kind = kindOf(action);
    this.#expire(now);
    const taken = this.#entries.some((entry) => entry.kind === kind && entry.slot === action.slot);
    if (action.kind === 'put_epoch' && action.ifAbsent && taken && !this.brokenNx) {
      return;
    }
    this.put(kind, action.slot, action.record, now + action.ttl, action.kind === 'put_epoch' && this.brokenNx);
  }

  /** @param beside leaves what is in the slot */
  put(kind: RecordKind, slot: string, bytes: Uint8Array, until: number, beside = false): void {
    const entry = { kind, slot, bytes: Uint8Array.from(bytes), until };
    this.history.push(entry);
    this.#entries = [...this.#entries.filter((other) => beside || other.kind !== kind || other.slot !== slot), entry];
  }

  /** A member's look at it; welcomes only of its own slot. */
  view(now: number, slot: string): StoreView {
    this.#expire(now);
    const of = (kind: RecordKind): StoredRecord[] => this.#entries.filter((entry) => entry.kind === kind);
    return {
      time: this.time(now) + (this.lies.get(slot) ?? 0),
      members: of('member'),
      epochs: this.hidesEpochs ? [] : of('epoch'),
      welcomes: of('welcome').filter((entry) => entry.slot === slot),
      orders: of('order'),
    };
  }

  snapshot(): void {
    this.#snapshots = [...this.#snapshots.slice(-7), [...this.#entries]];
  }

  /** What it was some snapshots ago, with all that has expired since. */
  rollBack(steps: number, now: number): void {
    const before = this.#snapshots.at(-1 - steps);
    if (before !== undefined) {
      this.#entries = before.map((entry) => ({ ...entry, until: Math.max(entry.until, now + 600_000) }));
    }
  }

  /** All but that of one. */
  wipeMembers(slot: string | undefined): void {
    this.#entries = this.#entries.filter((entry) => entry.kind !== 'member' || entry.slot === slot);
  }

  wipe(): void {
    this.#entries = [];
  }

  #expire(now: number): void {
    this.#entries = this.#entries.filter(({ until }) => until > now);
  }
}

function kindOf({ kind }: Put): RecordKind {
  return kind.slice('put_'.length) as RecordKind;
}
