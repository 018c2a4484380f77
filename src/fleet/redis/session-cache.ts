/**
 * TLS 1.2 sessions by ID on Redis or Valkey, for all members of a ring.
 *
 *     mayfly:{RING}:session:NAME = what `sealForStore` or `sealBytes` made, with a TTL
 *
 * Names are keyed (see session-names.ts) and values sealed, both under keys that the ring erases: a dump opens nothing, and
 * tells no session ID. What is read is bounded, as whoever can write the store may have put anything there.
 */

import { toHex } from '../../bytes/bytes.ts';
import type { ExternalSessionCache, StoredSession } from '../../session/external-session-cache.ts';
import type { SessionNames } from '../session-names.ts';
import type { RedisConnection } from './connection.ts';

export interface RedisSessionCacheOptions {
  readonly redis: Pick<RedisConnection, 'command'>;
  /** 32 bytes. */
  readonly ringId: Uint8Array;
  readonly names: SessionNames;
}

export class RedisSessionCache implements ExternalSessionCache {
  readonly #redis: Pick<RedisConnection, 'command'>;
  readonly #prefix: string;
  readonly #names: SessionNames;

  constructor({ redis, ringId, names }: RedisSessionCacheOptions) {
    this.#redis = redis;
    this.#prefix = `mayfly:{${toHex(ringId)}}:session`;
    this.#names = names;
  }

  /** Asks for all names at once: in one round trip. */
  async get(sessionId: Uint8Array): Promise<StoredSession | undefined> {
    const found = await Promise.all(this.#keysOf(sessionId).map((key) => this.#read(key)));
    return found.find((value) => value !== undefined);
  }

  async set(sessionId: Uint8Array, value: StoredSession, lifetime: number): Promise<void> {
    const place = this.#names.current(sessionId);
    const life = Math.floor(Math.min(lifetime * 1000, place?.life ?? 0));
    if (place === undefined || life < 1 || value.length > MAX_LENGTH) {
      return;
    }
    const key = `${this.#prefix}:${place.name}`;
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
    await this.#redis.command(key, ['SET', key, bytes, 'PX', String(life)]);
  }

  async delete(sessionId: Uint8Array): Promise<void> {
    const keys = this.#keysOf(sessionId);
    if (keys.length > 0) {
      await this.#redis.command(keys[0], ['DEL', ...keys]);
    }
  }

  #keysOf(sessionId: Uint8Array): readonly string[] {
    return this.#names.all(sessionId).map((name) => `${this.#prefix}:${name}`);
  }

  async #read(key: string): Promise<StoredSession | undefined> {
    const answer = await this.#redis.command(key, ['GETRANGE', key, '0', String(MAX_LENGTH)]);
    const isGood = answer instanceof Uint8Array && answer.length > 0 && answer.length <= MAX_LENGTH;
    return isGood ? new Uint8Array(answer) : undefined;
  }
}

/** Bytes: a session with a long chain of the client's has a few thousand. Stops junk in the store from filling the memory. */
const MAX_LENGTH = 2 ** 16;
