/**
 * The server's rules once a ticket is open: may this session be resumed by this connection? RFC 9846 §4.3.11, §8.3.
 */

import type { ResumptionRefusal } from '../actions.ts';
import { sameBytes } from '../bytes/bytes.ts';
import { type CipherSuiteName, cipherSuites } from '../crypto/suites.ts';
import type { SessionState } from './session-state.ts';
import { MAX_CLOCK_SKEW } from './ticket.ts';

export interface CheckSessionOptions {
  readonly state: SessionState;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Seconds since the full handshake at the head of the chain. */
  readonly handshakeValidity: number;
  /** As the client sent it in its pskIdentity. */
  readonly obfuscatedTicketAge: number;
  /** Of this connection: see `policyHash`. */
  readonly policyHash: Uint8Array;
  /** The suite chosen for this connection. */
  readonly cipherSuite: CipherSuiteName;
  /** The client sent early data and the server would take it. Default false. */
  readonly earlyData?: boolean;
}

export type SessionRefusal = Extract<
  ResumptionRefusal,
  'expired_ticket' | 'expired_handshake' | 'policy_changed' | 'suite_changed' | 'age_mismatch'
>;

/**
 * Why this session must not be resumed, or undefined. Does not erase the state's secret.
 *
 * The age that the client claims is looked at only for early data, where it bounds replays: there RFC 9846 §4.3.10 wants
 * it near the server's view, and early data refused (not the session) otherwise. So `age_mismatch` comes last: all else
 * was well, and the caller may go on without early data. Without early data the claim protects nothing, as the server
 * knows from the ticket when it was made, and clients whose clock was set, or that were asleep, would lose their session.
 */
export function checkSession(options: CheckSessionOptions): SessionRefusal | undefined {
  const { state, now, handshakeValidity, earlyData = false } = options;
  const sinceHandshake = now - state.authenticatedAt;
  if (sinceHandshake >= handshakeValidity * 1000 || sinceHandshake < -MAX_CLOCK_SKEW) {
    return 'expired_handshake';
  }
  if (now - state.issuedAt >= state.ticketLifetime * 1000) {
    return 'expired_ticket';
  }
  if (!sameBytes(state.policyHash, options.policyHash)) {
    return 'policy_changed';
  }
  if (cipherSuites[state.cipherSuite].hash !== cipherSuites[options.cipherSuite].hash) {
    return 'suite_changed';
  }
  if (earlyData && Math.abs(claimedAge(state, options.obfuscatedTicketAge) - (now - state.issuedAt)) > AGE_TOLERANCE) {
    return 'age_mismatch';
  }
  return undefined;
}

/** The ticket's age as the client claims it, in milliseconds (RFC 9846 §4.3.11.1). */
export function claimedAge(state: SessionState, obfuscatedTicketAge: number): number {
  return (obfuscatedTicketAge - state.ticketAgeAdd) >>> 0;
}

/** Milliseconds: round trips and clock drift, as RFC 9846 §8.3 suggests for clients on the Internet. */
const AGE_TOLERANCE = 10_000;
