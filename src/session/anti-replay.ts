/**
 * The server's rules against early data that is sent again: whoever records a ClientHello with its early data can send both
 * as often as he likes, and to every server that knows the ticket key.
 *
 *     age as the client says   = (obfuscated_ticket_age - ticket_age_add) mod 2^32
 *     age as the server knows  = now - time of issue
 *     fresh: the two differ by no more than the window
 *
 * A fresh hello may still be a copy that was sent within the window: the register, in which each ticket is claimed once,
 * finds those that came to a server that asks the same register.
 *
 * RFC 9846 §4.3.10, §8.1, §8.2, §8.3.
 */

import type { EarlyDataRefusal } from '../actions.ts';
import type { EarlyDataPolicy } from '../connection-options.ts';
import type { CipherSuiteName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { claimedAge } from './session-check.ts';
import type { SessionState13 } from './session-state.ts';

export interface EarlyDataCheck {
  readonly policy: EarlyDataPolicy | undefined;
  /** Of the PSK that was chosen; undefined when that is no session. */
  readonly session: SessionState13 | undefined;
  /** Of the PSK in the client's list. */
  readonly selectedIdentity: number;
  readonly obfuscatedTicketAge: number;
  readonly pskMode: 'psk_dhe_ke' | 'psk_ke';
  /** The suite chosen for this connection. */
  readonly cipherSuite: CipherSuiteName;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * Why early data must not be taken, or undefined; asked before the register is, whose claims cannot be taken back. Server
 * name and application protocol need no look: a session resumes under its own only (see policy-hash.ts).
 */
export function checkEarlyData(check: EarlyDataCheck): Exclude<EarlyDataRefusal, 'used_ticket'> | undefined {
  const { policy, session, now } = check;
  if (policy === undefined) {
    return 'disabled';
  }
  if (session === undefined) {
    return 'not_resumed';
  }
  if (check.selectedIdentity !== 0) {
    return 'not_first_identity';
  }
  if (check.pskMode !== 'psk_dhe_ke') {
    return 'no_psk_dhe_ke';
  }
  if ((session.maxEarlyDataSize ?? 0) === 0) {
    return 'disabled';
  }
  if (session.cipherSuite !== check.cipherSuite) {
    return 'suite_changed';
  }
  if (session.issuedAt < policy.recordingSince) {
    return 'issued_before_register';
  }
  const knownAge = now - session.issuedAt;
  const difference = Math.abs(claimedAge(session, check.obfuscatedTicketAge) - knownAge);
  return difference > (policy.freshnessWindow ?? FRESHNESS_WINDOW) ? 'age_mismatch' : undefined;
}

/**
 * Holds the policy against the house's bounds.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function checkEarlyDataPolicy(policy: EarlyDataPolicy): void {
  const { maxEarlyDataSize, freshnessWindow = FRESHNESS_WINDOW, recordingSince } = policy;
  if (!isWithin(maxEarlyDataSize, 1, MAX_EARLY_DATA_SIZE)) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `earlyData.maxEarlyDataSize must be from 1 to ${MAX_EARLY_DATA_SIZE} bytes, got ${maxEarlyDataSize}`,
    );
  }
  if (!isWithin(freshnessWindow, 1, MAX_FRESHNESS_WINDOW)) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `earlyData.freshnessWindow must be from 1 to ${MAX_FRESHNESS_WINDOW} ms, got ${freshnessWindow}`,
    );
  }
  if (!(recordingSince >= 0)) {
    throw new TLSError('TLS_ERR_CONFIG', 'earlyData.recordingSince must be a time in milliseconds since the epoch');
  }
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

/** Milliseconds: round trips and clock drift, as RFC 9846 §8.3 suggests for clients on the Internet. */
export const FRESHNESS_WINDOW = 10_000;
/** A window of minutes would let a recording be tried on one server after the other. */
const MAX_FRESHNESS_WINDOW = 60_000;
/** Bytes. Each connection may make the server keep, or do, as much before its client has shown that it is there. */
export const MAX_EARLY_DATA_SIZE = 2 ** 20;
