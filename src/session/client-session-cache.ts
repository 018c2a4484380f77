/**
 * The sessions a client holds ready, by what each is bound to. A ticket is used once (RFC 9846 §C.4: reuse lets an
 * observer link connections), so taking a session removes it. Bounded, and erased on time even when idle.
 */

import { TLSError } from '../errors.ts';
import type { ClientSession } from './client-session.ts';
import { Alarm, type Clock, type Moment, momentOf } from './clock.ts';

/** What a session is bound to: it may be offered only where all of this is the same. */
export interface ClientSessionBinding {
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
  /** As offered, in order. */
  readonly alpnProtocols: readonly string[];
  /** Identity of the set of trusted CAs and the verification mode: a session made without verification stays there. */
  readonly trustPolicy: string;
}

export interface ClientSessionCacheOptions {
  readonly clock: Clock;
  /** Sessions in all, at least 1. Default 1000. */
  readonly maxSessions?: number;
  /** Sessions per key, at least 1. Default 8: as many connections as a client opens at once to one host. */
  readonly maxSessionsPerKey?: number;
  /** Seconds that a session is kept at most, whatever the server says. Default and cap 82800 (23 h). */
  readonly ticketLifetime?: number;
}

interface Entry {
  readonly session: ClientSession;
  /** The end of its life on both clocks: the first to come decides. */
  readonly until: Moment;
}

/** The key of a binding: different bindings have different keys. */
export function clientSessionKey(binding: ClientSessionBinding): string {
  const { host, port, serverName, alpnProtocols, trustPolicy } = binding;
  return JSON.stringify([host.toLowerCase(), port, serverName.toLowerCase(), alpnProtocols, trustPolicy]);
}

export class ClientSessionCache {
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  readonly #maxSessions: number;
  readonly #maxSessionsPerKey: number;
  readonly #ticketLifetime: number;
  /** Keys in the order of their last `put`, oldest first; sessions likewise. No list is empty. */
  readonly #byKey = new Map<string, Entry[]>();
  #size = 0;
  /** Not later than the first end of a life; exact after a sweep. */
  #due: Moment = NEVER;

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor(options: ClientSessionCacheOptions) {
    this.#clock = options.clock;
    this.#alarm = new Alarm(options.clock, () => this.#wake());
    this.#maxSessions = checkCount('maxSessions', options.maxSessions ?? 1000);
    this.#maxSessionsPerKey = checkCount('maxSessionsPerKey', options.maxSessionsPerKey ?? 8);
    this.#ticketLifetime = checkLifetime(options.ticketLifetime ?? MAX_TICKET_LIFETIME);
  }

  /** Sessions held, among them perhaps some whose end has come since the last call or alarm. */
  get size(): number {
    return this.#size;
  }

  /** Takes the session over: from now on the cache erases its secret, unless `take` hands it on. */
  put(key: string, session: ClientSession): void {
    if (session.secret.erased) {
      return;
    }
    const moment = momentOf(this.#clock);
    const entry = { session, until: this.#endOfLife(session, moment) };
    if (isOver(entry, moment)) {
      session.secret.erase('expired');
      return;
    }
    const entries = this.#byKey.get(key) ?? [];
    if (entries.some((held) => held.session.secret === session.secret)) {
      return;
    }
    entries.push(entry);
    this.#byKey.delete(key);
    this.#byKey.set(key, entries);
    this.#size++;
    if (entries.length > this.#maxSessionsPerKey) {
      this.#dropOldest(key, entries);
    }
    while (this.#size > this.#maxSessions) {
      const [oldestKey, oldest] = this.#byKey.entries().next().value as [string, Entry[]];
      this.#dropOldest(oldestKey, oldest);
    }
    this.#dueBy(entry.until, moment);
  }

  /**
   * The newest usable session of `key`, which is removed: it is the caller's to use once and erase.
   * @param now milliseconds since the epoch
   */
  take(key: string, now: number = this.#clock.now()): ClientSession | undefined {
    const entries = this.#byKey.get(key);
    if (entries === undefined) {
      return undefined;
    }
    const moment = { wall: now, monotonic: this.#clock.monotonic() };
    let taken: ClientSession | undefined;
    while (taken === undefined && entries.length > 0) {
      const entry = entries.pop() as Entry;
      this.#size--;
      if (isOver(entry, moment)) {
        entry.session.secret.erase('expired');
      } else {
        taken = entry.session;
      }
    }
    this.#forgetIfEmpty(key, entries);
    return taken;
  }

  /** Erases all sessions. The cache can be used on. */
  clear(): void {
    for (const entries of this.#byKey.values()) {
      for (const { session } of entries) {
        session.secret.erase('cleared');
      }
    }
    this.#byKey.clear();
    this.#size = 0;
    this.#rest();
  }

  [Symbol.dispose](): void {
    this.clear();
  }

  #endOfLife(session: ClientSession, { wall, monotonic }: Moment): Moment {
    const life = Math.min(session.ticketLifetime, this.#ticketLifetime) * 1000;
    const end = session.receivedAt + life;
    return { wall: end, monotonic: monotonic + Math.min(life, end - wall) };
  }

  #dropOldest(key: string, entries: Entry[]): void {
    const [oldest] = entries.splice(0, 1);
    oldest.session.secret.erase('evicted');
    this.#size--;
    this.#forgetIfEmpty(key, entries);
  }

  #forgetIfEmpty(key: string, entries: readonly Entry[]): void {
    if (entries.length > 0) {
      return;
    }
    this.#byKey.delete(key);
    if (this.#size === 0) {
      this.#rest();
    }
  }

  #rest(): void {
    this.#due = NEVER;
    this.#alarm.cancel();
  }

  #dueBy(until: Moment, moment: Moment): void {
    if (until.wall >= this.#due.wall && until.monotonic >= this.#due.monotonic) {
      return;
    }
    this.#due = earlier(this.#due, until);
    this.#setAlarm(moment);
  }

  #setAlarm({ wall, monotonic }: Moment): void {
    this.#alarm.set(Math.min(this.#due.wall - wall, this.#due.monotonic - monotonic));
  }

  #wake(): void {
    const moment = momentOf(this.#clock);
    if (moment.wall >= this.#due.wall || moment.monotonic >= this.#due.monotonic) {
      this.#sweep(moment);
    }
    if (this.#size > 0) {
      this.#setAlarm(moment);
    }
  }

  #sweep(moment: Moment): void {
    let due = NEVER;
    for (const [key, entries] of this.#byKey) {
      const kept = entries.filter((entry) => !isOver(entry, moment));
      for (const entry of entries) {
        if (isOver(entry, moment)) {
          entry.session.secret.erase('expired');
          this.#size--;
        } else {
          due = earlier(due, entry.until);
        }
      }
      if (kept.length === 0) {
        this.#byKey.delete(key);
      } else {
        this.#byKey.set(key, kept);
      }
    }
    this.#due = due;
  }
}

function isOver({ until }: Entry, moment: Moment): boolean {
  return moment.wall >= until.wall || moment.monotonic >= until.monotonic;
}

function earlier(a: Moment, b: Moment): Moment {
  return { wall: Math.min(a.wall, b.wall), monotonic: Math.min(a.monotonic, b.monotonic) };
}

function checkCount(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1) {
    throw new TLSError('TLS_ERR_CONFIG', `${name} must be a whole number of at least 1, got ${value}`);
  }
  return value;
}

function checkLifetime(seconds: number): number {
  if (!Number.isFinite(seconds) || seconds <= 0 || seconds > MAX_TICKET_LIFETIME) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `ticketLifetime of the client's cache must be above 0 and at most ${MAX_TICKET_LIFETIME} seconds, got ${seconds}`,
    );
  }
  return seconds;
}

/** Seconds: 23 hours. */
const MAX_TICKET_LIFETIME = 82_800;
const NEVER: Moment = { wall: Number.POSITIVE_INFINITY, monotonic: Number.POSITIVE_INFINITY };
