/**
 * Renews the keys of connections by their age (`keyRenewal`), also of those on which nothing moves: one timer for all sockets
 * of the process, which keeps none of them alive. It looks four times in the shortest period that a socket asked for, so a
 * key is at most a quarter older than it should be.
 */

import type { KeyRenewal } from '../connection-options.ts';
import { type Place, Roster } from './roster.ts';

/** What has keys: a TLSSocket. */
export interface KeyHolder {
  /** Renews what is due. Must not throw. */
  maintainKeys(): void;
}

const holders = new Roster<KeyHolder>();
let timer: NodeJS.Timeout | undefined;
let interval = Number.POSITIVE_INFINITY;

/** The connection is complete. `version` decides: TLS 1.2 renews by age only where it may renegotiate. Undefined: not this one. */
export function keepKeysYoung(
  holder: KeyHolder,
  renewal: KeyRenewal | undefined,
  version: string,
): Place<KeyHolder> | undefined {
  const age = renewal?.afterMilliseconds;
  if (
    age === undefined ||
    !(age < Number.POSITIVE_INFINITY) ||
    (version === 'TLSv1.2' && renewal?.renegotiate12 !== true)
  ) {
    return undefined;
  }
  look(Math.min(age / LOOKS, LONGEST));
  return holders.enter(holder);
}

/** The connection is over. */
export function forgetKeys(place: Place<KeyHolder> | undefined): void {
  if (holders.leave(place) && holders.size === 0) {
    clearInterval(timer);
    timer = undefined;
    interval = Number.POSITIVE_INFINITY;
  }
}

/** Sockets whose keys are being watched, for tests. */
export function watchedSockets(): number {
  return holders.size;
}

function look(every: number): void {
  if (every >= interval) {
    return;
  }
  clearInterval(timer);
  interval = every;
  timer = setInterval(() => maintain(holders[Symbol.iterator]()), every);
  timer.unref();
}

/** Some at a time, so that a hundred thousand connections hold nobody up. */
function maintain(rest: Iterator<KeyHolder>): void {
  for (let count = 0; count < AT_ONCE; count++) {
    const { done, value } = rest.next();
    if (done) {
      return;
    }
    value.maintainKeys();
  }
  setImmediate(maintain, rest).unref();
}

const LOOKS = 4;
/** Milliseconds: an hour's period is looked at four times, a day's more often than that, and no timer overflows. */
const LONGEST = 900_000;
const AT_ONCE = 1_000;
