/** One visit to the store as a member sees it afterwards: its time, and the records in it that are whole and signed. */

import { sameBytes, toHex } from '../bytes/bytes.ts';
import type { Moment } from '../session/clock.ts';
import type { MemberContext } from './member-context.ts';
import { type EpochRecord, openEpochRecord } from './records/epoch.ts';
import { type MemberRecord, openMemberRecord } from './records/member.ts';
import { type OrderRecord, openOrderRecord } from './records/order.ts';
import type { RecordRefusal } from './records/refusal.ts';
import { openWelcomeRecord, type WelcomeRecord } from './records/welcome.ts';
import { type Anchor, ringTime } from './ring-time.ts';
import {
  MAX_EPOCH_RECORDS,
  MAX_MEMBER_RECORDS,
  MAX_ORDER_RECORDS,
  MAX_WELCOME_RECORDS,
  type StoredRecord,
  type StoreView,
} from './store.ts';

export interface Visit {
  readonly now: Moment;
  /** Ring time now, milliseconds. */
  readonly time: number;
  readonly anchor: Anchor;
  /** Milliseconds by which the local wall clock runs ahead of the store's. */
  readonly skew: number;
  /** The two differ by more than is allowed: one of them is wrong, and nobody knows which. */
  readonly skewed: boolean;
  /**
   * Ring time now at the most, as far as local clocks bear the store's out: by the wall clock, and by what has passed since
   * the two last agreed. A store that names a day to come does not move it.
   */
  readonly borneOut: number;
  readonly members: readonly MemberRecord[];
  readonly epochs: readonly EpochRecord[];
  readonly welcomes: readonly WelcomeRecord[];
  readonly orders: readonly OrderRecord[];
  /** Epoch slots in which something lies, whatever it is. */
  readonly takenSlots: ReadonlySet<string>;
}

export type Refuse = (why: RecordRefusal, slot: string) => void;

/** Reads views, and remembers the valid records of the last one: most of the next one is the same bytes. */
export class VisitReader {
  readonly #context: MemberContext;
  readonly #refuse: Refuse;
  readonly #members: RecordCache<MemberRecord>;
  readonly #epochs: RecordCache<EpochRecord>;
  readonly #welcomes: RecordCache<WelcomeRecord>;
  readonly #orders: RecordCache<OrderRecord>;
  /** When the store's clock and the local one last agreed. */
  #agreed: Anchor | undefined;

  constructor(context: MemberContext, refuse: Refuse) {
    const { trust, configuration } = context;
    const { kem } = configuration;
    this.#context = context;
    this.#refuse = refuse;
    this.#members = new RecordCache(MAX_MEMBER_RECORDS, (bytes) => openMemberRecord(trust, kem, bytes));
    this.#epochs = new RecordCache(MAX_EPOCH_RECORDS, (bytes) => openEpochRecord(trust, kem, bytes));
    this.#welcomes = new RecordCache(MAX_WELCOME_RECORDS, (bytes) => openWelcomeRecord(trust, kem, bytes));
    this.#orders = new RecordCache(MAX_ORDER_RECORDS, (bytes) => openOrderRecord(trust, bytes));
  }

  /** @param began when the view was asked for */
  read(now: Moment, began: Moment, view: StoreView): Visit {
    // The store told its time somewhere between asking and now: half of the way is wrong by half of it at the most.
    const time = Math.floor(view.time + Math.max(0, now.monotonic - began.monotonic) / 2);
    const skew = now.wall - time;
    const { maxSkew } = this.#context.configuration;
    const skewed = Math.abs(skew) > maxSkew;
    const anchor = { moment: now, ring: time };
    this.#agreed = skewed ? this.#agreed : anchor;
    const local = this.#agreed === undefined ? now.wall : Math.max(now.wall, ringTime(this.#agreed, now));
    return {
      now,
      time,
      anchor,
      skew,
      skewed,
      borneOut: Math.min(time, local + maxSkew),
      members: this.#members.read(view.members, this.#refuse),
      epochs: this.#epochs.read(view.epochs, this.#refuse),
      welcomes: this.#welcomes.read(view.welcomes, this.#refuse),
      orders: this.#orders.read(view.orders, this.#refuse),
      takenSlots: new Set(view.epochs.map(({ slot }) => slot)),
    };
  }
}

class RecordCache<T> {
  readonly #max: number;
  readonly #open: (bytes: Uint8Array) => T | RecordRefusal;
  #known: ReadonlyMap<string, { readonly bytes: Uint8Array; readonly value: T }> = new Map();

  constructor(max: number, open: (bytes: Uint8Array) => T | RecordRefusal) {
    this.#max = max;
    this.#open = open;
  }

  read(records: readonly StoredRecord[], refuse: Refuse): readonly T[] {
    const known = new Map<string, { readonly bytes: Uint8Array; readonly value: T }>();
    for (const [index, { slot, bytes }] of records.entries()) {
      if (index >= this.#max) {
        refuse('oversized', slot);
        break;
      }
      // Several records may lie in one slot.
      const name = `${slot} ${toHex(bytes.subarray(-8))}`;
      const before = this.#known.get(name);
      if (before !== undefined && sameBytes(before.bytes, bytes)) {
        known.set(name, before);
        continue;
      }
      // A copy: what the store handed out stays its own, and what a record is made of stays what it was when checked.
      const copy = Uint8Array.from(bytes);
      const value = this.#open(copy);
      if (typeof value === 'string') {
        refuse(value as RecordRefusal, slot);
        continue;
      }
      known.set(name, { bytes: copy, value });
    }
    this.#known = known;
    return [...known.values()].map(({ value }) => value);
  }
}
