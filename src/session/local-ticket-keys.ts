/**
 * Ticket keys of this process: made here, known nowhere else, gone with the process.
 *
 * Each key's times are kept on both clocks, and the first to reach a deadline decides: a wall clock set back lengthens no
 * life, one set forward ends keys early. What has ended on one clock is erased and so cannot come back. The newest key
 * seals; all others only open.
 */

import { sameBytes, toHex } from '../bytes/bytes.ts';
import { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { newOwner, onAccountOf, type SecretOwner } from '../ledger/channels.ts';
import { Alarm, type Clock, type Moment, momentOf } from './clock.ts';
import type { TicketKey, TicketKeySource, TicketKeyStatus, TicketKeyUses } from './ticket-key.ts';
import {
  hasEnded12,
  keyState,
  keyTimes,
  MAX_KEYS,
  nextEvent,
  retiredTimes,
  type TicketKeySchedule,
  type TicketKeyTimes,
  ticketKeySchedule,
} from './ticket-key-ring.ts';

export interface LocalTicketKeysOptions {
  readonly provider: CryptoProvider;
  readonly clock: Clock;
  /** Milliseconds that a key seals: 1 s to 6 h. Default 1 h. */
  readonly rotateEvery?: number;
  /** Milliseconds that a ticket may be used: 1 s to 23 h. Default 2 h. */
  readonly ticketLifetime?: number;
  /** Keys open TLS 1.2 tickets for as long as TLS 1.3's, not for one sealing period after their last. Default false. */
  readonly dangerouslyLongTls12Sessions?: boolean;
  /** Told of each step in a key's life, after it was taken. Must not throw. */
  readonly onEvent?: (event: TicketKeyEvent) => void;
}

export interface TicketKeyEvent {
  /** 'ended12': opens TLS 1.2 tickets no more. */
  readonly kind: 'made' | 'sealing' | 'ended12' | 'ended';
  /** The first 4 bytes of the key's name, hex. */
  readonly name: string;
  readonly why: TicketKeyEventReason;
}

export type TicketKeyEventReason =
  /** The first key. */
  | 'start'
  /** The previous key's sealing period is over. */
  | 'schedule'
  /** `rotate()`. */
  | 'rotate'
  /** `flush()`. */
  | 'flush'
  /** `close()`. */
  | 'close'
  /** `openUntil` has come, or `openUntil12`. */
  | 'expired'
  /** Too many keys, by `rotate()` or by a wall clock that jumps to and fro: the oldest makes room. */
  | 'crowded_out';

interface Entry {
  readonly key: TicketKey & { readonly uses: TicketKeyUses; readonly uses12: TicketKeyUses };
  /** The key's times on the monotonic clock. */
  readonly monotonic: TicketKeyTimes;
}

export class LocalTicketKeys implements TicketKeySource {
  /** Whose the keys are in the ledger. */
  readonly owner: SecretOwner = newOwner('ring');
  readonly #provider: CryptoProvider;
  readonly #clock: Clock;
  readonly #schedule: TicketKeySchedule;
  readonly #onEvent: ((event: TicketKeyEvent) => void) | undefined;
  readonly #alarm: Alarm;
  /** Oldest first; the last one seals. Empty only once closed. */
  #entries: Entry[] = [];
  #closed = false;

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor(options: LocalTicketKeysOptions) {
    const { provider, clock, rotateEvery, ticketLifetime, dangerouslyLongTls12Sessions, onEvent } = options;
    const schedule = ticketKeySchedule({ sealingPeriod: rotateEvery, ticketLifetime });
    this.#schedule =
      dangerouslyLongTls12Sessions === true ? { ...schedule, ticketLifetime12: schedule.ticketLifetime } : schedule;
    this.#provider = provider;
    this.#clock = clock;
    this.#onEvent = onEvent;
    this.#alarm = new Alarm(clock, () => {
      try {
        this.#keepTime();
      } finally {
        // Also where a listener throws: keys that nobody asks for must still end.
        this.#setAlarm();
      }
    });
    this.#make(momentOf(clock), 'start');
  }

  sealingKey(now: number): TicketKey | undefined {
    this.#keepTime();
    const key = this.#entries.at(-1)?.key;
    return key !== undefined && now < key.sealUntil ? key : undefined;
  }

  openingKey(name: Uint8Array, now: number): TicketKey | undefined {
    this.#keepTime();
    for (const { key } of this.#entries) {
      if (sameBytes(key.name, name)) {
        return now < key.openUntil ? key : undefined;
      }
    }
    return undefined;
  }

  /** The living keys, oldest first. */
  status(_now?: number): readonly TicketKeyStatus[] {
    this.#keepTime();
    const last = this.#entries.at(-1);
    return this.#entries.map((entry) => {
      const { key } = entry;
      return {
        name: nameOf(key),
        createdAt: key.createdAt,
        sealFrom: key.sealFrom,
        sealUntil: key.sealUntil,
        openUntil: key.openUntil,
        openUntil12: key.openUntil12,
        state: entry === last ? 'sealing' : 'opening',
        ticketsSealed: key.uses.sealed + key.uses12.sealed,
        ticketsOpened: key.uses.opened + key.uses12.opened,
      };
    });
  }

  /**
   * A new key seals from now on; the previous one opens for as long as its last ticket may be used.
   * @throws TLSError `TLS_ERR_WRONG_STATE` after `close`
   */
  rotate(): void {
    this.#checkOpen('rotate');
    this.#keepTime();
    this.#retire();
    this.#make(momentOf(this.#clock), 'rotate');
  }

  /**
   * Erases all keys now: no ticket made before opens any more. A new key seals from now on.
   * @throws TLSError `TLS_ERR_WRONG_STATE` after `close`
   */
  flush(): void {
    this.#checkOpen('flush');
    const ended = this.#entries;
    erase(ended, 'flush');
    this.#make(momentOf(this.#clock), 'flush');
    this.#end(ended, 'flush');
  }

  /** Erases all keys for good: no ticket is made or opened any more. Idempotent. */
  close(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.#alarm.cancel();
    this.#end(this.#entries, 'close');
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Brings the keys up to the clocks: called by the alarm, and first of all by every other call. */
  #keepTime(): void {
    if (this.#closed) {
      return;
    }
    const moment = momentOf(this.#clock);
    const last = this.#entries[this.#entries.length - 1];
    const due = moment.wall >= last.key.sealUntil || moment.monotonic >= last.monotonic.sealUntil;
    // Every ticket asks, and nearly always there is nothing to do.
    if (due || anyEnds(this.#entries, moment)) {
      this.#catchUp(moment, due);
    }
  }

  #catchUp(moment: Moment, due: boolean): void {
    const ended12 = this.#entries.filter((entry) => endsNow12(entry, moment));
    const ended = this.#entries.filter((entry) => hasEnded(entry, moment));
    // Before anyone is told of anything.
    erase(ended, 'expired');
    for (const { key } of ended12) {
      key.secret12.erase('expired');
    }
    if (due) {
      this.#make(moment, 'schedule');
    }
    for (const { key } of ended12) {
      this.#tell('ended12', key, 'expired');
    }
    if (ended.length > 0) {
      this.#end(ended, 'expired');
    }
  }

  #make({ wall, monotonic }: Moment, why: TicketKeyEventReason): void {
    const name = new Uint8Array(16);
    this.#provider.random(name);
    const uses = { sealed: 0, opened: 0 };
    const uses12 = { sealed: 0, opened: 0 };
    // Not on the account of the connection in which it is noticed that a new one is due.
    const { secret, secret12 } = onAccountOf(this.owner, () => ({
      secret: this.#secret('ticketKey', uses),
      secret12: this.#secret('ticketKey12', uses12),
    }));
    const key = { name, secret, secret12, ...keyTimes(wall, this.#schedule), uses, uses12 };
    this.#entries = [...this.#entries, { key, monotonic: keyTimes(monotonic, this.#schedule) }];
    this.#setAlarm();
    this.#tell('made', key, why);
    this.#tell('sealing', key, why);
    if (this.#entries.length > MAX_KEYS) {
      this.#end(this.#entries.slice(0, this.#entries.length - MAX_KEYS), 'crowded_out');
    }
  }

  #secret(kind: string, uses: TicketKeyUses): Secret {
    return Secret.create(kind, 32, (bytes) => this.#provider.random(bytes), 0, uses);
  }

  #retire(): void {
    const { wall, monotonic } = momentOf(this.#clock);
    const last = this.#entries[this.#entries.length - 1];
    this.#entries = [
      ...this.#entries.slice(0, -1),
      {
        key: { ...last.key, ...retiredTimes(last.key, wall, this.#schedule) },
        monotonic: retiredTimes(last.monotonic, monotonic, this.#schedule),
      },
    ];
  }

  /** Erases all of `ended` before anyone is told of one. */
  #end(ended: readonly Entry[], why: TicketKeyEventReason): void {
    this.#entries = this.#entries.filter((entry) => !ended.includes(entry));
    erase(ended, why);
    for (const { key } of ended) {
      this.#tell('ended', key, why);
    }
  }

  #setAlarm(): void {
    if (this.#closed) {
      return;
    }
    const { wall, monotonic } = momentOf(this.#clock);
    const keys = this.#entries.map((entry) => entry.key);
    const times = this.#entries.map((entry) => entry.monotonic);
    const byWall = (nextEvent(keys, wall) ?? Number.POSITIVE_INFINITY) - wall;
    const byMonotonic = (nextEvent(times, monotonic) ?? Number.POSITIVE_INFINITY) - monotonic;
    this.#alarm.set(Math.min(byWall, byMonotonic));
  }

  #checkOpen(what: string): void {
    if (this.#closed) {
      throw new TLSError('TLS_ERR_WRONG_STATE', `${what}() was called on ticket keys that are closed`);
    }
  }

  #tell(kind: TicketKeyEvent['kind'], key: TicketKey, why: TicketKeyEventReason): void {
    this.#onEvent?.({ kind, name: nameOf(key), why });
  }
}

function erase(entries: readonly Entry[], why: TicketKeyEventReason): void {
  for (const { key } of entries) {
    key.secret.erase(why);
    key.secret12.erase(why);
  }
}

function hasEnded({ key, monotonic }: Entry, moment: Moment): boolean {
  return keyState(key, moment.wall) === 'ended' || keyState(monotonic, moment.monotonic) === 'ended';
}

function anyEnds(entries: readonly Entry[], moment: Moment): boolean {
  for (const entry of entries) {
    if (hasEnded(entry, moment) || endsNow12(entry, moment)) {
      return true;
    }
  }
  return false;
}

function endsNow12({ key, monotonic }: Entry, moment: Moment): boolean {
  return !key.secret12.erased && (hasEnded12(key, moment.wall) || hasEnded12(monotonic, moment.monotonic));
}

function nameOf(key: TicketKey): string {
  return toHex(key.name.subarray(0, 4));
}
