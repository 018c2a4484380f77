/**
 * The memory of the server's session cache: session IDs and the states encoded for them, in the order of their last use.
 *
 * Sessions lie in slots within slabs of memory outside the moving heap, so that each can be erased where it is, costs no
 * object of its own, and gives the collector nothing to follow:
 *
 *     slot = wall end(8) ‖ monotonic end(8) ‖ ledger ID(8) ‖ newer(4) ‖ older(4) ‖ next in bucket(4)
 *            ‖ state length(1) ‖ ID length(1) ‖ ID(32) ‖ state(170)                                       = 240 bytes
 *
 * A `Secret` for each would take more memory than the session. The table tells the ledger of their births and ends as one
 * would, under IDs of its own (below zero). A state that is longer than a slot has room for (long names, a client's
 * certificates) does stay in a `Secret`.
 *
 * Slots are found by a hash table with chains. The hash takes no key: the IDs in here were drawn at random by the server.
 */

import type { Secret } from '../bytes/secret.ts';
import { publishBirth, secretBorn, secretEnded } from '../ledger/channels.ts';
import type { Moment } from './clock.ts';

/** Where a session lies, until it is removed. */
export type Slot = number;

export class SessionTable {
  #slabs: Slab[] = [];
  #buckets: Int32Array = new Int32Array(FEWEST_BUCKETS).fill(NONE);
  /** Slots that were used before, linked by `NEWER`. */
  #free: Slot = NONE;
  /** Slots from here on were never used. */
  #unused: Slot = 0;
  #newest: Slot = NONE;
  #oldest: Slot = NONE;
  #size = 0;
  readonly #long = new Map<Slot, Secret>();
  #longBytes = 0;

  get size(): number {
    return this.#size;
  }

  /** Bytes that the sessions take up, among them what finding them takes. */
  get bytes(): number {
    return this.#size * (SLOT_LENGTH + BUCKET_LENGTH) + this.#longBytes;
  }

  /** The session used longest ago, or `NONE`. */
  get oldest(): Slot {
    return this.#oldest;
  }

  /** `NONE` for an ID that is not there. */
  find(id: Uint8Array): Slot {
    let slot = this.#buckets[this.#bucketOf(id)];
    while (slot !== NONE && !this.#hasId(slot, id)) {
      slot = this.#field(slot, CHAIN);
    }
    return slot;
  }

  /** Takes `encoded` over. The ID, of 1 to 32 bytes, must not be there yet. */
  insert(id: Uint8Array, encoded: Secret, { wall, monotonic }: Moment): void {
    if (this.#size >= this.#buckets.length) {
      this.#rehash(this.#buckets.length * 2);
    }
    const slot = this.#takeSlot();
    const { bytes, numbers } = this.#slabs[slabOf(slot)];
    const at = offsetIn(slot);
    numbers[at / 8 + WALL] = wall;
    numbers[at / 8 + MONOTONIC] = monotonic;
    numbers[at / 8 + LEDGER_ID] = -encoded.id;
    bytes[at + ID_LENGTH_AT] = id.length;
    bytes.set(id, at + ID_AT);
    this.#place(slot, at, encoded);
    this.#chain(slot, id);
    this.#append(slot);
    this.#size++;
  }

  /** The encoded state: a view, valid until the session is removed. */
  state(slot: Slot): Uint8Array {
    const long = this.#long.get(slot);
    if (long !== undefined) {
      return long.expose();
    }
    const { bytes } = this.#slabs[slabOf(slot)];
    const at = offsetIn(slot);
    return bytes.subarray(at + STATE_AT, at + STATE_AT + this.#stateLength(slot));
  }

  /** What the ledger knows the encoded state by. */
  ledgerId(slot: Slot): number {
    const long = this.#long.get(slot);
    const { numbers } = this.#slabs[slabOf(slot)];
    return long?.id ?? numbers[offsetIn(slot) / 8 + LEDGER_ID];
  }

  endOf(slot: Slot): Moment {
    const { numbers } = this.#slabs[slabOf(slot)];
    const at = offsetIn(slot) / 8;
    return { wall: numbers[at + WALL], monotonic: numbers[at + MONOTONIC] };
  }

  /** Makes it the one used last. */
  touch(slot: Slot): void {
    if (slot !== this.#newest) {
      this.#unlink(slot);
      this.#append(slot);
    }
  }

  /** Erases the session. Its slot may be given to another one at once. */
  remove(slot: Slot, why: string): void {
    this.#unlink(slot);
    this.#unchain(slot);
    this.#erase(slot, why);
    this.#size--;
    if (this.#size === 0) {
      this.#reset();
      return;
    }
    this.#setField(slot, NEWER, this.#free);
    this.#free = slot;
  }

  /**
   * Erases the sessions that have ended on either clock. Goes through the memory in its own order: this looks at every
   * session, and following the links would cost several times as much.
   * @returns when the next one ends
   */
  removeEnded({ wall, monotonic }: Moment, why: string): Moment {
    const next = { wall: Number.POSITIVE_INFINITY, monotonic: Number.POSITIVE_INFINITY };
    for (let slot = 0; slot < this.#unused; slot++) {
      const { bytes, numbers } = this.#slabs[slabOf(slot)];
      const at = offsetIn(slot);
      if (bytes[at + ID_LENGTH_AT] === 0) {
        continue;
      }
      const wallEnd = numbers[at / 8 + WALL];
      const monotonicEnd = numbers[at / 8 + MONOTONIC];
      if (wall >= wallEnd || monotonic >= monotonicEnd) {
        this.remove(slot, why);
      } else {
        next.wall = Math.min(next.wall, wallEnd);
        next.monotonic = Math.min(next.monotonic, monotonicEnd);
      }
    }
    return next;
  }

  /** Erases all sessions. */
  clear(why: string): void {
    while (this.#oldest !== NONE) {
      this.remove(this.#oldest, why);
    }
  }

  #place(slot: Slot, at: number, encoded: Secret): void {
    if (encoded.length > LONGEST_IN_SLOT) {
      this.#long.set(slot, encoded);
      this.#longBytes += encoded.length + LONG_OVERHEAD;
      return;
    }
    const { bytes } = this.#slabs[slabOf(slot)];
    const { length } = encoded;
    bytes[at + STATE_LENGTH_AT] = length;
    bytes.set(encoded.expose(), at + STATE_AT);
    encoded.erase('cached');
    if (secretBorn.hasSubscribers) {
      publishBirth(-encoded.id, KIND, length, encoded.id, 0);
    }
  }

  #erase(slot: Slot, why: string): void {
    const { bytes, numbers } = this.#slabs[slabOf(slot)];
    const at = offsetIn(slot);
    const id = numbers[at / 8 + LEDGER_ID];
    bytes.fill(0, at, at + SLOT_LENGTH);
    const long = this.#long.get(slot);
    if (long !== undefined) {
      this.#longBytes -= long.length + LONG_OVERHEAD;
      this.#long.delete(slot);
      long.erase(why);
    } else if (secretEnded.hasSubscribers) {
      secretEnded.publish({ id, kind: KIND, why });
    }
  }

  /** What many sessions needed is given back once all are gone; one slab stays for the next. */
  #reset(): void {
    this.#slabs.length = 1;
    this.#buckets = new Int32Array(FEWEST_BUCKETS).fill(NONE);
    this.#free = NONE;
    this.#unused = 0;
  }

  #takeSlot(): Slot {
    const slot = this.#free;
    if (slot !== NONE) {
      this.#free = this.#field(slot, NEWER);
      return slot;
    }
    if (slabOf(this.#unused) === this.#slabs.length) {
      this.#slabs.push(makeSlab());
    }
    return this.#unused++;
  }

  #append(slot: Slot): void {
    this.#setField(slot, OLDER, this.#newest);
    this.#setField(slot, NEWER, NONE);
    if (this.#newest === NONE) {
      this.#oldest = slot;
    } else {
      this.#setField(this.#newest, NEWER, slot);
    }
    this.#newest = slot;
  }

  #unlink(slot: Slot): void {
    const newer = this.#field(slot, NEWER);
    const older = this.#field(slot, OLDER);
    if (newer === NONE) {
      this.#newest = older;
    } else {
      this.#setField(newer, OLDER, older);
    }
    if (older === NONE) {
      this.#oldest = newer;
    } else {
      this.#setField(older, NEWER, newer);
    }
  }

  #chain(slot: Slot, id: Uint8Array): void {
    const bucket = this.#bucketOf(id);
    this.#setField(slot, CHAIN, this.#buckets[bucket]);
    this.#buckets[bucket] = slot;
  }

  #unchain(slot: Slot): void {
    const bucket = this.#bucketOf(this.#idOf(slot));
    const next = this.#field(slot, CHAIN);
    let at = this.#buckets[bucket];
    if (at === slot) {
      this.#buckets[bucket] = next;
      return;
    }
    while (this.#field(at, CHAIN) !== slot) {
      at = this.#field(at, CHAIN);
    }
    this.#setField(at, CHAIN, next);
  }

  #rehash(count: number): void {
    this.#buckets = new Int32Array(count).fill(NONE);
    for (let slot = this.#oldest; slot !== NONE; slot = this.#field(slot, NEWER)) {
      this.#chain(slot, this.#idOf(slot));
    }
  }

  /** FNV-1a, folded: also IDs that share a prefix, as some load balancers want it, spread well. */
  #bucketOf(id: Uint8Array): number {
    let hash = 0x811c9dc5;
    for (let i = 0; i < id.length; i++) {
      hash = Math.imul(hash ^ id[i], 0x01000193);
    }
    return (hash ^ (hash >>> 15)) & (this.#buckets.length - 1);
  }

  #hasId(slot: Slot, id: Uint8Array): boolean {
    const { bytes } = this.#slabs[slabOf(slot)];
    const at = offsetIn(slot);
    if (bytes[at + ID_LENGTH_AT] !== id.length) {
      return false;
    }
    for (let i = 0; i < id.length; i++) {
      if (bytes[at + ID_AT + i] !== id[i]) {
        return false;
      }
    }
    return true;
  }

  #idOf(slot: Slot): Uint8Array {
    const { bytes } = this.#slabs[slabOf(slot)];
    const at = offsetIn(slot);
    return bytes.subarray(at + ID_AT, at + ID_AT + bytes[at + ID_LENGTH_AT]);
  }

  #stateLength(slot: Slot): number {
    return this.#slabs[slabOf(slot)].bytes[offsetIn(slot) + STATE_LENGTH_AT];
  }

  #field(slot: Slot, field: number): number {
    return this.#slabs[slabOf(slot)].links[offsetIn(slot) / 4 + field];
  }

  #setField(slot: Slot, field: number, value: number): void {
    this.#slabs[slabOf(slot)].links[offsetIn(slot) / 4 + field] = value;
  }
}

/** Three views of one allocation. */
interface Slab {
  readonly bytes: Uint8Array;
  readonly numbers: Float64Array;
  readonly links: Int32Array;
}

function makeSlab(): Slab {
  const buffer = new ArrayBuffer(SLOTS_PER_SLAB * SLOT_LENGTH);
  return { bytes: new Uint8Array(buffer), numbers: new Float64Array(buffer), links: new Int32Array(buffer) };
}

function slabOf(slot: Slot): number {
  return Math.floor(slot / SLOTS_PER_SLAB);
}

/** Bytes; a multiple of 8. */
function offsetIn(slot: Slot): number {
  return (slot % SLOTS_PER_SLAB) * SLOT_LENGTH;
}

/** No slot. */
export const NONE: Slot = -1;
/** Bytes (RFC 5246 §7.4.1.2). */
export const MAX_SESSION_ID_LENGTH = 32;

const KIND = 'cachedSession';
const SLOTS_PER_SLAB = 256;
const SLOT_LENGTH = 240;
/** Of the eight bytes at the head of a slot. */
const WALL = 0;
const MONOTONIC = 1;
const LEDGER_ID = 2;
/** Of the four bytes, counted from the head of a slot. */
const NEWER = 6;
const OLDER = 7;
const CHAIN = 8;
const STATE_LENGTH_AT = 36;
const ID_LENGTH_AT = 37;
const ID_AT = 38;
const STATE_AT = ID_AT + MAX_SESSION_ID_LENGTH;
/** Room for names of 58 bytes together in TLS 1.2; at most 255, as its length takes one byte. */
const LONGEST_IN_SLOT = SLOT_LENGTH - STATE_AT;
/** Bytes: between 4 and 8 per session in a table that doubles. */
const BUCKET_LENGTH = 8;
const FEWEST_BUCKETS = 64;
/** Bytes, about: the objects around an allocation and its place in the map. */
const LONG_OVERHEAD = 512;
