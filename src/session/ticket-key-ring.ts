/**
 * The ticket key ring: pure functions of (keys, now). Which key seals, which open, which are over, when the next of
 * this happens, and what key to make next.
 *
 *     birth ─ distributionDelay ─▶ sealFrom ─ sealingPeriod ─▶ sealUntil ─ ticketLifetime ─▶ openUntil
 *                                                              sealUntil ─ ticketLifetime12 ─▶ openUntil12
 *
 * A key opens from its birth on: every member of a fleet can open before any member seals. All windows are half open:
 * a key does not seal at `sealUntil`, and is over at `openUntil`. Times are milliseconds on one timeline, whichever.
 */

import { TLSError } from '../errors.ts';
import type { TicketKey } from './ticket-key.ts';

export type TicketKeyTimes = Pick<TicketKey, 'createdAt' | 'sealFrom' | 'sealUntil' | 'openUntil' | 'openUntil12'>;

/** Milliseconds. */
export interface TicketKeySchedule {
  /** How long a key seals. */
  readonly sealingPeriod: number;
  /** How long a ticket may be used, and so how long a key opens after its last ticket. */
  readonly ticketLifetime: number;
  /** The same of TLS 1.2, whose tickets hold master secrets: at most `ticketLifetime`, and by default `sealingPeriod`. */
  readonly ticketLifetime12: number;
  /** From a key's birth to its first ticket; 0 in one process. */
  readonly distributionDelay: number;
}

export type TicketKeyState = 'waiting' | 'sealing' | 'opening' | 'ended';

/**
 * A schedule within the house's bounds, from defaults (1 h, 2 h, in TLS 1.2 1 h, 0) and what is given.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function ticketKeySchedule(given: Partial<TicketKeySchedule> = {}): TicketKeySchedule {
  const { sealingPeriod = HOUR, ticketLifetime = 2 * HOUR, distributionDelay = 0 } = given;
  checkDuration('the sealing period of ticket keys', sealingPeriod, MIN_PERIOD, MAX_SEALING_PERIOD);
  checkDuration('the ticket lifetime', ticketLifetime, MIN_PERIOD, MAX_TICKET_LIFETIME);
  const { ticketLifetime12 = Math.min(ticketLifetime, sealingPeriod) } = given;
  checkDuration('the ticket lifetime in TLS 1.2', ticketLifetime12, MIN_PERIOD, ticketLifetime);
  checkDuration('the distribution delay of ticket keys', distributionDelay, 0, MAX_SEALING_PERIOD);
  const life = distributionDelay + sealingPeriod + ticketLifetime;
  if (life > MAX_KEY_LIFE) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `sealing period, ticket lifetime and distribution delay come to ${life / 1000} s: ` +
        `a ticket key may live at most ${MAX_KEY_LIFE / 1000} s (24 hours)`,
    );
  }
  const alive = Math.ceil(life / sealingPeriod) + 1;
  if (alive > MAX_KEYS) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `a ticket lifetime of ${ticketLifetime / 1000} s with a new key every ${sealingPeriod / 1000} s keeps ${alive} keys ` +
        `alive: at most ${MAX_KEYS} are allowed, so rotate less often or shorten the lifetime`,
    );
  }
  return { sealingPeriod, ticketLifetime, ticketLifetime12, distributionDelay };
}

/** The times of a key that is born now. */
export function keyTimes(now: number, schedule: TicketKeySchedule): TicketKeyTimes {
  const sealFrom = now + schedule.distributionDelay;
  const sealUntil = sealFrom + schedule.sealingPeriod;
  return {
    createdAt: now,
    sealFrom,
    sealUntil,
    openUntil: sealUntil + schedule.ticketLifetime,
    openUntil12: sealUntil + schedule.ticketLifetime12,
  };
}

/**
 * The times of the key to make now so that one will seal without a gap; undefined while none is due. Keys that begin to
 * seal later than a key made now would are left out: they were made before the clock was set back.
 */
export function nextKeyTimes(
  keys: readonly TicketKeyTimes[],
  now: number,
  schedule: TicketKeySchedule,
): TicketKeyTimes | undefined {
  const sealFrom = now + schedule.distributionDelay;
  const covered = keys.some((key) => key.sealFrom <= sealFrom && sealFrom < key.sealUntil);
  return covered ? undefined : keyTimes(now, schedule);
}

/** The times of a key that stops sealing now: it opens for as long as its last ticket may be used. */
export function retiredTimes(key: TicketKeyTimes, now: number, schedule: TicketKeySchedule): TicketKeyTimes {
  const sealUntil = Math.min(key.sealUntil, now);
  return {
    createdAt: key.createdAt,
    sealFrom: Math.min(key.sealFrom, sealUntil),
    sealUntil,
    openUntil: Math.min(key.openUntil, sealUntil + schedule.ticketLifetime),
    openUntil12: Math.min(key.openUntil12, sealUntil + schedule.ticketLifetime12),
  };
}

/** What a key may do, looked at alone. */
export function keyState(key: TicketKeyTimes, now: number): TicketKeyState {
  if (now >= key.openUntil) {
    return 'ended';
  }
  if (now >= key.sealUntil) {
    return 'opening';
  }
  return now >= key.sealFrom ? 'sealing' : 'waiting';
}

/** The one key that seals: of those in their sealing window the one that entered it last. */
export function sealingKeyOf<K extends TicketKeyTimes>(keys: readonly K[], now: number): K | undefined {
  let best: K | undefined;
  for (const key of keys) {
    if (keyState(key, now) === 'sealing' && (best === undefined || key.sealFrom >= best.sealFrom)) {
      best = key;
    }
  }
  return best;
}

/** The keys that open tickets, which the sealing one and those that wait are among. */
export function openingKeysOf<K extends TicketKeyTimes>(keys: readonly K[], now: number): readonly K[] {
  return keys.filter((key) => keyState(key, now) !== 'ended');
}

/** The keys to erase now. */
export function endedKeysOf<K extends TicketKeyTimes>(keys: readonly K[], now: number): readonly K[] {
  return keys.filter((key) => keyState(key, now) === 'ended');
}

/** Whether the key opens no more of TLS 1.2: its `secret12` is to be erased now, the rest of it perhaps later. */
export function hasEnded12(key: Pick<TicketKeyTimes, 'openUntil12'>, now: number): boolean {
  return now >= key.openUntil12;
}

/** When the state of some key changes next; undefined when no key has a change ahead. */
export function nextEvent(keys: readonly TicketKeyTimes[], now: number): number | undefined {
  let next = Number.POSITIVE_INFINITY;
  for (const key of keys) {
    for (const time of [key.sealFrom, key.sealUntil, key.openUntil12, key.openUntil]) {
      if (time > now && time < next) {
        next = time;
      }
    }
  }
  return next === Number.POSITIVE_INFINITY ? undefined : next;
}

function checkDuration(what: string, ms: number, min: number, max: number): void {
  if (!Number.isFinite(ms) || ms < min || ms > max) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `${what} must be from ${min / 1000} to ${max / 1000} seconds, got ${ms / 1000}`,
    );
  }
}

const HOUR = 3_600_000;
const MIN_PERIOD = 1000;
const MAX_SEALING_PERIOD = 6 * HOUR;
const MAX_TICKET_LIFETIME = 23 * HOUR;
const MAX_KEY_LIFE = 24 * HOUR;
/** Each ticket's key name is looked up among all keys: stops rotation from making that slow. */
export const MAX_KEYS = 256;
