/**
 * Tickets that resume once: the register in which a server claims each ticket before it accepts it.
 *
 *     ticketId = the first 16 bytes of HMAC-SHA-256(ring key, "mayfly single use" ‖ ticket)
 *
 * The ID is keyed, so that whoever reads the register, or a store that is shared, cannot tell which of the tickets that
 * it recorded were used. The label keeps it apart from the ticket's own key (see ticket.ts).
 *
 * RFC 9846 §8.1; for resumption without early data the server may do the same, see §4.7.1 and Appendix C.4.
 */

import { utf8 } from '../bytes/bytes.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { Alarm, type Clock, type Moment, momentOf } from './clock.ts';
import type { TicketKey } from './ticket-key.ts';

/** 'fresh': never claimed before, and now it is. 'used': claimed before. 'full': the register cannot tell, so: no. */
export type TicketClaim = 'fresh' | 'used' | 'full';

/**
 * Answers at once. Looking up and entering are one step: of two claims of one ticket at most one is 'fresh', whatever
 * runs in between. What cannot be remembered must be answered 'full', never 'fresh'.
 */
export interface SingleUseRegister {
  /**
   * @param ticketId 16 bytes; lent
   * @param expiresAt milliseconds since the epoch: from then on the ticket is refused for its age, and may be forgotten
   */
  claim(ticketId: Uint8Array, expiresAt: number): TicketClaim;
}

/**
 * A register that several processes share; it may answer later. Over Redis or Valkey one command does it:
 * `SET ticketId 1 NX PXAT expiresAt`. A store that drops entries before their time, or that loses them when it fails
 * over, makes a ticket good twice.
 */
export interface SharedSingleUseRegister {
  claim(ticketId: Uint8Array, expiresAt: number): TicketClaim | Promise<TicketClaim>;
}

/** What a ticket is claimed by: 16 bytes, for the ticket as the client sent it and the ring's key that opened it. */
export function ticketId(provider: CryptoProvider, key: TicketKey, ticket: Uint8Array): Uint8Array {
  const input = new Uint8Array(LABEL.length + ticket.length);
  input.set(LABEL);
  input.set(ticket, LABEL.length);
  return provider.hmac('sha256', key.secret.expose(), input).slice(0, TICKET_ID_LENGTH);
}

export interface LocalSingleUseRegisterOptions {
  readonly clock: Clock;
  /**
   * Tickets remembered at a time, 1 to 10 million. Default 200,000, about 12 MiB. Stops a client that resumes again and
   * again from filling the memory; when it is full nothing resumes until the oldest end.
   */
  readonly maxEntries?: number;
}

export interface SingleUseStats {
  /** Remembered now, among them perhaps some whose end has come since the last call or alarm. */
  readonly entries: number;
  /** Answers since the register was made. */
  readonly fresh: number;
  readonly used: number;
  readonly full: number;
}

/**
 * In this process's memory, for a ring of ticket keys that no other process knows: with a ring that is shared, each
 * process would take each ticket once.
 *
 * Entries are kept in buckets by the minute of their end, so that forgetting costs one step a minute. A bucket is
 * forgotten when both clocks say so: a wall clock that runs ahead and is set back would bring its tickets to life again. One
 * that is set back later does so too: of what ends by the minute that was forgotten nothing is known any more.
 */
export class LocalSingleUseRegister implements SingleUseRegister {
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  readonly #maxEntries: number;
  readonly #buckets = new Map<number, Bucket>();
  #entries = 0;
  #closed = false;
  /** The latest minute whose bucket was forgotten, and when, on the monotonic clock, a ticket was last put into one of these. */
  #forgotten = { minute: Number.NEGATIVE_INFINITY, lastClaim: 0 };
  readonly #counts: Record<TicketClaim, number> = { fresh: 0, used: 0, full: 0 };

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor({ clock, maxEntries = DEFAULT_ENTRIES }: LocalSingleUseRegisterOptions) {
    if (!Number.isInteger(maxEntries) || maxEntries < 1 || maxEntries > MAX_ENTRIES) {
      throw new TLSError(
        'TLS_ERR_CONFIG',
        `maxEntries of the single-use register must be a whole number from 1 to ${MAX_ENTRIES}, got ${maxEntries}`,
      );
    }
    this.#clock = clock;
    this.#maxEntries = maxEntries;
    this.#alarm = new Alarm(clock, () => this.#wake());
  }

  claim(ticketId: Uint8Array, expiresAt: number): TicketClaim {
    const answer = this.#claim(ticketId, expiresAt);
    this.#counts[answer]++;
    return answer;
  }

  stats(): SingleUseStats {
    return { entries: this.#entries, ...this.#counts };
  }

  /** Forgets all, and answers 'full' from now on. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#buckets.clear();
    this.#entries = 0;
    this.#alarm.cancel();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #claim(ticketId: Uint8Array, expiresAt: number): TicketClaim {
    const moment = momentOf(this.#clock);
    const minute = Math.ceil(expiresAt / BUCKET_LENGTH);
    const id = String.fromCharCode(...ticketId);
    let bucket = this.#buckets.get(minute);
    if (bucket?.ids.has(id)) {
      return 'used';
    }
    const untilEnd = minute * BUCKET_LENGTH - moment.wall;
    // What ends so late is no ticket of ours: it would take its place for as long as it likes.
    if (this.#closed || !(untilEnd <= MAX_LIFE) || this.#mayBeForgotten(minute, moment)) {
      return 'full';
    }
    if (this.#entries >= this.#maxEntries) {
      this.#forget(moment);
      if (this.#entries >= this.#maxEntries) {
        return 'full';
      }
      bucket = this.#buckets.get(minute);
    }
    if (bucket === undefined) {
      bucket = { ids: new Set(), monotonicEnd: 0, lastClaim: 0 };
      this.#buckets.set(minute, bucket);
    }
    bucket.ids.add(id);
    bucket.monotonicEnd = Math.max(bucket.monotonicEnd, moment.monotonic + untilEnd);
    bucket.lastClaim = moment.monotonic;
    this.#entries++;
    if (this.#entries === 1) {
      this.#alarm.set(BUCKET_LENGTH);
    }
    return 'fresh';
  }

  #wake(): void {
    this.#forget(momentOf(this.#clock));
    if (this.#entries > 0) {
      this.#alarm.set(BUCKET_LENGTH);
    }
  }

  #forget({ wall, monotonic }: Moment): void {
    for (const [minute, { ids, monotonicEnd, lastClaim }] of this.#buckets) {
      const isOver = wall >= minute * BUCKET_LENGTH && monotonic >= monotonicEnd;
      // However far back the wall clock was set: by now the key of these tickets is gone.
      if (isOver || monotonic - lastClaim >= MAX_LIFE) {
        this.#buckets.delete(minute);
        this.#entries -= ids.size;
        if (isOver) {
          const { minute: latest, lastClaim: last } = this.#forgotten;
          const isStale = monotonic - last >= MAX_LIFE;
          this.#forgotten = {
            minute: isStale ? minute : Math.max(latest, minute),
            lastClaim: Math.max(last, lastClaim),
          };
        }
      }
    }
  }

  /** Until the keys of all that was forgotten are gone too. */
  #mayBeForgotten(minute: number, { monotonic }: Moment): boolean {
    return minute <= this.#forgotten.minute && monotonic - this.#forgotten.lastClaim < MAX_LIFE;
  }
}

interface Bucket {
  /** One character per byte. */
  readonly ids: Set<string>;
  /** When the last of them ends, on the monotonic clock. */
  monotonicEnd: number;
  lastClaim: number;
}

const LABEL = utf8('mayfly single use');
export const TICKET_ID_LENGTH = 16;
/** Milliseconds; also of the alarm, so it must not exceed the alarm's longest wait. */
const BUCKET_LENGTH = 60_000;
/** Milliseconds: 24 hours and a bucket, the longest that a ticket key opens. */
const MAX_LIFE = 86_400_000 + BUCKET_LENGTH;
const DEFAULT_ENTRIES = 200_000;
const MAX_ENTRIES = 10_000_000;
