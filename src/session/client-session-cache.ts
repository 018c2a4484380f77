/**
 * The sessions a client holds ready, by what each is bound to. Bounded, and erased on time even when idle.
 *
 * A TLS 1.3 ticket is used once (RFC 9846 §C.4: reuse lets an observer link connections), so taking such a session removes
 * it. A TLS 1.2 session stays and `take` gives a copy: its connections run side by side (RFC 5246 §7.3), a server that
 * resumes by session ID gives no new one, and single use would hide nothing, as IDs and tickets are sent in clear both when
 * they are given and when they are offered. There is one per key: a new or renewed one takes its place.
 */

import { sameBytes } from '../bytes/bytes.ts';
import { TLSError } from '../errors.ts';
import { type ClientSession, type ClientSession12, cloneClientSession } from './client-session.ts';
import { Alarm, type Clock, type Moment, momentOf } from './clock.ts';
import { TLS12_SESSION_LIFETIME } from './ticket-issuance.ts';

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
  /**
   * TLS 1.2 sessions are kept as long as TLS 1.3's, not for one hour after the full handshake, though each holds a master
   * secret that opens the recorded connections of its session. Default false.
   */
  readonly dangerouslyLongTls12Sessions?: boolean;
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
  readonly #tls12Lifetime: number;
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
    this.#tls12Lifetime = options.dangerouslyLongTls12Sessions === true ? MAX_TICKET_LIFETIME : TLS12_SESSION_LIFETIME;
  }

  /** Sessions held, among them perhaps some whose end has come since the last call or alarm. */
  get size(): number {
    return this.#size;
  }

  /**
   * Takes the session over: from now on the cache erases its secret, unless `take` hands it on. A TLS 1.2 session takes the
   * place of the one that its key had.
   */
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
    if (session.version === 'TLSv1.2') {
      this.#dropFrom(entries, is12, 'replaced');
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
   * The newest usable session of `key`, which is the caller's to use once and erase: of TLS 1.3 the session itself, which is
   * removed, of TLS 1.2 a copy.
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
      const entry = entries[entries.length - 1];
      const over = isOver(entry, moment);
      if (!over && is12(entry)) {
        return cloneClientSession(entry.session);
      }
      entries.pop();
      this.#size--;
      if (over) {
        entry.session.secret.erase('expired');
      } else {
        taken = entry.session;
      }
    }
    this.#forgetIfEmpty(key, entries);
    return taken;
  }

  /**
   * Erases the TLS 1.2 session that `session` is a copy of: a connection of it ended with a fatal alert, so it must not be
   * resumed again (RFC 5246 §7.2), or the server did not resume it. The copy stays the caller's.
   */
  drop(key: string, session: ClientSession12): void {
    const entries = this.#byKey.get(key);
    if (entries === undefined) {
      return;
    }
    this.#dropFrom(entries, ({ session: held }) => isSame(held, session), 'dropped');
    this.#forgetIfEmpty(key, entries);
  }

  /** Erases all sessions of `key`: whom they lead to was found out to be another, or not to be trusted any more. */
  forget(key: string): void {
    const entries = this.#byKey.get(key);
    if (entries !== undefined) {
      this.#dropFrom(entries, () => true, 'revoked');
      this.#forgetIfEmpty(key, entries);
    }
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
    const most = Math.min(session.ticketLifetime, this.#ticketLifetime) * 1000;
    const holdsMasterSecret = session.version === 'TLSv1.2';
    const life = holdsMasterSecret ? Math.min(most, this.#tls12Lifetime * 1000) : most;
    const byReceipt = session.receivedAt + life;
    // A renewed TLS 1.2 ticket goes with the master secret of the full handshake: it must not make that live longer.
    const end = holdsMasterSecret
      ? Math.min(byReceipt, session.authenticatedAt + this.#tls12Lifetime * 1000)
      : byReceipt;
    return { wall: end, monotonic: monotonic + Math.min(life, end - wall) };
  }

  #dropOldest(key: string, entries: Entry[]): void {
    const [oldest] = entries.splice(0, 1);
    oldest.session.secret.erase('evicted');
    this.#size--;
    this.#forgetIfEmpty(key, entries);
  }

  /** Erases those of `entries` that `which` is true of; the list may then be empty. */
  #dropFrom(entries: Entry[], which: (entry: Entry) => boolean, why: string): void {
    for (let i = entries.length - 1; i >= 0; i--) {
      if (which(entries[i])) {
        const [{ session }] = entries.splice(i, 1);
        session.secret.erase(why);
        this.#size--;
      }
    }
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

function is12(entry: Entry): boolean {
  return entry.session.version === 'TLSv1.2';
}

function isSame(held: ClientSession, session: ClientSession12): boolean {
  return (
    held.version === 'TLSv1.2' && sameBytes(held.sessionId, session.sessionId) && sameBytes(held.ticket, session.ticket)
  );
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
