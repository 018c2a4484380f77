/**
 * The ring's store on Redis or Valkey.
 *
 *     mayfly:{RING}:member:SLOT   mayfly:{RING}:epoch:SLOT   …:welcome:SLOT   …:order:SLOT     the records, each with its TTL
 *     mayfly:{RING}:members       mayfly:{RING}:epochs       …:orders                          sorted sets: slot by end
 *     mayfly:{RING}:news                                                                       the channel for hints
 *
 * The braces keep a ring within one slot of a cluster. What is read is bounded before it is read: so many slots, and of each
 * record no more bytes than its kind may have.
 */

import { sameBytes, toHex } from '../../bytes/bytes.ts';
import { TLSError } from '../../errors.ts';
import {
  MAX_EPOCH_RECORD_LENGTH,
  MAX_EPOCH_RECORDS,
  MAX_MEMBER_RECORD_LENGTH,
  MAX_MEMBER_RECORDS,
  MAX_ORDER_RECORD_LENGTH,
  MAX_ORDER_RECORDS,
  MAX_SLOT_LENGTH,
  MAX_WELCOME_RECORD_LENGTH,
  type RingStore,
  type StoredRecord,
} from '../store.ts';
import type { RedisConnection } from './connection.ts';

interface Kind {
  readonly name: string;
  /** Absent for records that are looked up by their slot alone. */
  readonly index?: string;
  readonly maxRecords: number;
  readonly maxLength: number;
}

const MEMBER: Kind = {
  name: 'member',
  index: 'members',
  maxRecords: MAX_MEMBER_RECORDS,
  maxLength: MAX_MEMBER_RECORD_LENGTH,
};
const EPOCH: Kind = {
  name: 'epoch',
  index: 'epochs',
  maxRecords: MAX_EPOCH_RECORDS,
  maxLength: MAX_EPOCH_RECORD_LENGTH,
};
const ORDER: Kind = {
  name: 'order',
  index: 'orders',
  maxRecords: MAX_ORDER_RECORDS,
  maxLength: MAX_ORDER_RECORD_LENGTH,
};
const WELCOME: Kind = { name: 'welcome', maxRecords: 1, maxLength: MAX_WELCOME_RECORD_LENGTH };

export class RedisStore implements RingStore {
  readonly #redis: RedisConnection;
  readonly #prefix: string;
  /** Epoch records as they were last read. They are written once and may be large: an envelope for each instance. */
  #epochs: ReadonlyMap<string, Uint8Array> = new Map();

  /** @param ringId 32 bytes */
  constructor(redis: RedisConnection, ringId: Uint8Array) {
    this.#redis = redis;
    this.#prefix = `mayfly:{${toHex(ringId)}}`;
  }

  async time(): Promise<number> {
    const answer = await this.#redis.command(this.#prefix, ['TIME']);
    const [seconds, microseconds] = Array.isArray(answer) ? answer.map(Number) : [];
    const time = seconds * 1000 + Math.floor(microseconds / 1000);
    if (!(Number.isSafeInteger(time) && time >= 0 && time <= MAX_TIME)) {
      throw new TLSError('TLS_ERR_STORE', "the store's answer to TIME is no time");
    }
    return time;
  }

  listMembers(): Promise<readonly StoredRecord[]> {
    return this.#list(MEMBER);
  }

  async listEpochs(): Promise<readonly StoredRecord[]> {
    const records = await this.#list(EPOCH);
    this.#epochs = new Map(records.map(({ slot, bytes }) => [slot, bytes]));
    return records;
  }

  async listWelcomes(slot: string): Promise<readonly StoredRecord[]> {
    const bytes = await this.#read(WELCOME, slot);
    return bytes === undefined ? [] : [{ slot, bytes }];
  }

  listOrders(): Promise<readonly StoredRecord[]> {
    return this.#list(ORDER);
  }

  putMember(slot: string, record: Uint8Array, ttl: number): Promise<void> {
    return this.#put(MEMBER, slot, record, ttl);
  }

  putEpoch(slot: string, record: Uint8Array, ttl: number, ifAbsent: boolean): Promise<void> {
    return this.#put(EPOCH, slot, record, ttl, ifAbsent);
  }

  putWelcome(slot: string, record: Uint8Array, ttl: number): Promise<void> {
    return this.#put(WELCOME, slot, record, ttl);
  }

  putOrder(slot: string, record: Uint8Array, ttl: number): Promise<void> {
    return this.#put(ORDER, slot, record, ttl);
  }

  async removeMember(slot: string): Promise<void> {
    const key = this.#key(MEMBER, slot);
    await Promise.all([
      this.#redis.command(key, ['DEL', key]),
      this.#redis.command(this.#index('members'), ['ZREM', this.#index('members'), slot]),
    ]);
  }

  async publish(): Promise<void> {
    await this.#redis.command(this.#channel, ['PUBLISH', this.#channel, '']);
  }

  subscribe(listener: () => void): () => void {
    return this.#redis.subscribe(this.#channel, listener);
  }

  get #channel(): string {
    return `${this.#prefix}:news`;
  }

  #index(name: string): string {
    return `${this.#prefix}:${name}`;
  }

  #key({ name }: Kind, slot: string): string {
    return `${this.#prefix}:${name}:${slot}`;
  }

  async #put({ index, ...kind }: Kind, slot: string, record: Uint8Array, ttl: number, ifAbsent = false): Promise<void> {
    const key = this.#key(kind, slot);
    const bytes = Buffer.from(record.buffer, record.byteOffset, record.length);
    const life = String(Math.ceil(ttl));
    // The record first: an entry whose record is not there may be taken out by whoever looks. All at once, as they are
    // carried out in this order: a store that takes a second for each answer takes no longer for three.
    const answers = [this.#redis.command(key, ['SET', key, bytes, 'PX', life, ...(ifAbsent ? ['NX'] : [])])];
    if (index !== undefined) {
      const name = this.#index(index);
      answers.push(this.#redis.command(name, ['ZADD', name, String(Date.now() + ttl), slot]));
      answers.push(this.#redis.command(name, ['PEXPIRE', name, String(INDEX_LIFE)]));
    }
    await Promise.all(answers);
  }

  /** Those that end last first; entries whose record is gone are taken out. */
  async #list(kind: Kind): Promise<readonly StoredRecord[]> {
    const index = this.#index(kind.index as string);
    const answer = await this.#redis.command(index, ['ZREVRANGE', index, '0', String(kind.maxRecords - 1)]);
    const slots = (Array.isArray(answer) ? answer : []).map(String).filter((slot) => SLOT.test(slot));
    const records: StoredRecord[] = [];
    const gone: string[] = [];
    await Promise.all(
      slots.map(async (slot) => {
        const bytes = await this.#readAnew(kind, slot);
        if (bytes === undefined) {
          gone.push(slot);
        } else {
          records.push({ slot, bytes });
        }
      }),
    );
    if (gone.length > 0) {
      // Nobody waits for it: what was read is good, also where it may not be written.
      this.#redis.command(index, ['ZREM', index, ...gone]).catch(() => {});
    }
    return records;
  }

  /** What is known already is not fetched again: a record ends with its signature, so another one ends otherwise. */
  async #readAnew(kind: Kind, slot: string): Promise<Uint8Array | undefined> {
    const known = kind === EPOCH ? this.#epochs.get(slot) : undefined;
    if (known !== undefined) {
      const key = this.#key(kind, slot);
      const end = await this.#redis.command(key, ['GETRANGE', key, String(-SIGNATURE_LENGTH), '-1']);
      if (end instanceof Buffer && sameBytes(end, known.subarray(-SIGNATURE_LENGTH))) {
        return known;
      }
    }
    return this.#read(kind, slot);
  }

  /** One byte more than allowed shows that a record is too long: it is passed on as it is, and refused by who reads it. */
  async #read(kind: Kind, slot: string): Promise<Uint8Array | undefined> {
    const key = this.#key(kind, slot);
    const answer = await this.#redis.command(key, ['GETRANGE', key, '0', String(kind.maxLength)]);
    return answer instanceof Buffer && answer.length > 0 ? new Uint8Array(answer) : undefined;
  }
}

const SLOT = new RegExp(`^[0-9a-f.]{1,${MAX_SLOT_LENGTH}}$`);
/** Milliseconds: what a date can be (ECMA-262). A store that lies must not keep its operator from looking. */
const MAX_TIME = 8.64e15;
/** Bytes of an Ed25519 signature (RFC 8032 §5.1.6). */
const SIGNATURE_LENGTH = 64;
/** Milliseconds: longer than any record lives, and orders do for a week. */
const INDEX_LIFE = 8 * 86_400_000;
