/**
 * The server's cache of sessions by session ID (RFC 5246 §7.3, §7.4.1.2, §F.1.4), in this process's memory: bounded in
 * entries and bytes, least recently used first out, erased on time even when idle.
 *
 * A cached TLS 1.2 session is a master secret, which opens every connection of the session that anyone recorded. So it
 * lives for an hour after the full handshake at most, however often it is resumed, unless the operator says otherwise.
 */

import { TLSError } from '../errors.ts';
import { Alarm, type Clock, type Moment, momentOf } from './clock.ts';
import { MAX_TICKET_LIFETIME, stateError } from './session-codec.ts';
import { decodeSessionState, encodeSessionState, type SessionState } from './session-state.ts';
import { MAX_SESSION_ID_LENGTH, NONE, SessionTable, type Slot } from './session-table.ts';
import { TLS12_SESSION_LIFETIME } from './ticket-issuance.ts';

export interface SessionCacheOptions {
  readonly clock: Clock;
  /** Sessions, 1 to 10 million. Default 20,000. Stops clients that make one new session after another from filling the memory. */
  readonly maxEntries?: number;
  /**
   * Bytes of all sessions together, at least 64 KiB. Default 16 MiB. Stops clients with long certificate chains, of which
   * each session takes 12 KiB, from filling the memory.
   */
  readonly maxBytes?: number;
  /** Seconds that a session is kept at most: 1 to 82800 (23 h). Default 7200. */
  readonly ticketLifetime?: number;
  /** TLS 1.2 sessions are kept for the whole `ticketLifetime`, not for one hour after the full handshake. Default false. */
  readonly dangerouslyLongTls12Sessions?: boolean;
}

export interface SessionCacheStats {
  /** Held now, among them perhaps some whose end has come since the last call or alarm. */
  readonly entries: number;
  /** Of our own, for all entries. */
  readonly bytes: number;
  /** Look-ups since the cache was made. */
  readonly hits: number;
  readonly misses: number;
  /** Entries that went before their time for want of room. */
  readonly evicted: number;
  readonly expired: number;
}

export class SessionCache {
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #ticketLifetime: number;
  readonly #tls12Lifetime: number;
  readonly #table = new SessionTable();
  /** Not later than the first end of a life; exact after a sweep. */
  #due: Moment = NEVER;
  #closed = false;
  #hits = 0;
  #misses = 0;
  #evicted = 0;
  #expired = 0;

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor(options: SessionCacheOptions) {
    this.#clock = options.clock;
    this.#alarm = new Alarm(options.clock, () => this.#wake());
    this.#maxEntries = check('maxEntries', options.maxEntries ?? 20_000, 1, MAX_ENTRIES);
    this.#maxBytes = check('maxBytes', options.maxBytes ?? 16 * MIB, LEAST_BYTES, Number.MAX_SAFE_INTEGER);
    this.#ticketLifetime = check('ticketLifetime', options.ticketLifetime ?? 7200, 1, MAX_CACHE_LIFETIME);
    this.#tls12Lifetime = options.dangerouslyLongTls12Sessions === true ? MAX_TICKET_LIFETIME : TLS12_SESSION_LIFETIME;
  }

  /**
   * Keeps a copy; the caller erases its own secret. Takes the place of an entry of the same ID. A session that is over
   * already is not kept, nor is any after `close`.
   * @param sessionId 1 to 32 bytes, drawn at random by this server
   * @throws TLSError `TLS_ERR_SESSION_STATE` the ID's length, or the state has no encoding; `TLS_ERR_SECRET_ERASED`
   */
  set(sessionId: Uint8Array, state: SessionState): void {
    if (!isSessionId(sessionId)) {
      throw stateError(`a session ID has 1 to ${MAX_SESSION_ID_LENGTH} bytes, got ${sessionId.length}`);
    }
    const moment = momentOf(this.#clock);
    const end = this.#endOfLife(state, moment);
    const encoded = encodeSessionState(state);
    this.#remove(this.#table.find(sessionId), 'replaced');
    if (this.#closed || isOver(end, moment)) {
      encoded.erase('expired');
      return;
    }
    this.#table.insert(sessionId, encoded, end);
    while (this.#table.size > this.#maxEntries || this.#table.bytes > this.#maxBytes) {
      this.#remove(this.#table.oldest, 'evicted');
      this.#evicted++;
    }
    this.#dueBy(end, moment);
  }

  /**
   * The session of this ID, with a secret of its own that the caller erases; it stays in the cache. Undefined for any
   * bytes that are no ID of a living session.
   * @param now milliseconds since the epoch
   */
  get(sessionId: Uint8Array, now: number = this.#clock.now()): SessionState | undefined {
    const slot = isSessionId(sessionId) ? this.#table.find(sessionId) : NONE;
    if (slot === NONE) {
      this.#misses++;
      return undefined;
    }
    if (isOver(this.#table.endOf(slot), { wall: now, monotonic: this.#clock.monotonic() })) {
      this.#remove(slot, 'expired');
      this.#expired++;
      this.#misses++;
      return undefined;
    }
    this.#table.touch(slot);
    this.#hits++;
    return decodeSessionState(this.#table.state(slot), this.#table.ledgerId(slot));
  }

  /** Erases a session, e.g. as a connection of it ended with a fatal alert (RFC 5246 §7.2). */
  delete(sessionId: Uint8Array): void {
    this.#remove(isSessionId(sessionId) ? this.#table.find(sessionId) : NONE, 'deleted');
  }

  /** Erases all sessions. The cache can be used on. */
  clear(why = 'cleared'): void {
    this.#table.clear(why);
    this.#rest();
  }

  /** Erases all sessions for good: from now on nothing is kept and nothing found. Idempotent. */
  close(): void {
    this.#closed = true;
    this.clear('closed');
  }

  [Symbol.dispose](): void {
    this.close();
  }

  stats(): SessionCacheStats {
    return {
      entries: this.#table.size,
      bytes: this.#table.bytes,
      hits: this.#hits,
      misses: this.#misses,
      evicted: this.#evicted,
      expired: this.#expired,
    };
  }

  #endOfLife(state: SessionState, { wall, monotonic }: Moment): Moment {
    const most = Math.min(state.ticketLifetime, this.#ticketLifetime) * 1000;
    const is12 = state.version === 'TLSv1.2';
    const life = is12 ? Math.min(most, this.#tls12Lifetime * 1000) : most;
    const byIssue = state.issuedAt + life;
    const end = is12 ? Math.min(byIssue, state.authenticatedAt + this.#tls12Lifetime * 1000) : byIssue;
    return { wall: end, monotonic: monotonic + Math.min(life, end - wall) };
  }

  #remove(slot: Slot, why: string): void {
    if (slot === NONE) {
      return;
    }
    this.#table.remove(slot, why);
    if (this.#table.size === 0) {
      this.#rest();
    }
  }

  #rest(): void {
    this.#due = NEVER;
    this.#alarm.cancel();
  }

  #dueBy(end: Moment, moment: Moment): void {
    if (this.#table.size === 0 || (end.wall >= this.#due.wall && end.monotonic >= this.#due.monotonic)) {
      return;
    }
    this.#due = earlier(this.#due, end);
    this.#setAlarm(moment);
  }

  #setAlarm({ wall, monotonic }: Moment): void {
    this.#alarm.set(Math.min(this.#due.wall - wall, this.#due.monotonic - monotonic));
  }

  #wake(): void {
    const moment = momentOf(this.#clock);
    if (isOver(this.#due, moment)) {
      this.#sweep({ wall: moment.wall + SWEEP_AHEAD, monotonic: moment.monotonic + SWEEP_AHEAD });
    }
    if (this.#table.size > 0) {
      this.#setAlarm(moment);
    }
  }

  #sweep(moment: Moment): void {
    const before = this.#table.size;
    this.#due = this.#table.removeEnded(moment, 'expired');
    this.#expired += before - this.#table.size;
  }
}

function isSessionId(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes.length <= MAX_SESSION_ID_LENGTH;
}

function isOver(end: Moment, moment: Moment): boolean {
  return moment.wall >= end.wall || moment.monotonic >= end.monotonic;
}

function earlier(a: Moment, b: Moment): Moment {
  return { wall: Math.min(a.wall, b.wall), monotonic: Math.min(a.monotonic, b.monotonic) };
}

function check(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `${name} of the session cache must be a whole number from ${min} to ${max}, got ${value}`,
    );
  }
  return value;
}

const MIB = 1_048_576;
const LEAST_BYTES = 65_536;
const MAX_ENTRIES = 10_000_000;
/** Seconds: 23 hours. */
const MAX_CACHE_LIFETIME = 82_800;
/**
 * Milliseconds. What ends within the next second goes with what has ended: a sweep looks at every session, and a busy
 * server's sessions end one by one.
 */
const SWEEP_AHEAD = 1000;
const NEVER: Moment = { wall: Number.POSITIVE_INFINITY, monotonic: Number.POSITIVE_INFINITY };
