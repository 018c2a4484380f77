/**
 * The server's rules once a ticket is open or a session ID is found: may this session be resumed by this connection?
 *
 * RFC 9846 §4.3.11, §8.3. TLS 1.2: RFC 5246 §7.4.1.2, §7.4.1.3; RFC 7627 §5.3; RFC 6066 §3.
 */

import type { ResumptionRefusal } from '../actions.ts';
import { sameBytes } from '../bytes/bytes.ts';
import { type CipherSuiteName, cipherSuites } from '../crypto/suites.ts';
import type { CipherSuite12Name } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import type { SessionState, SessionState13 } from './session-state.ts';
import { MAX_CLOCK_SKEW } from './ticket.ts';

interface CommonCheck {
  /** Of whichever version: one of another version than the connection's is refused. */
  readonly state: SessionState;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Seconds since the full handshake at the head of the chain. */
  readonly handshakeValidity: number;
  /** Of this connection: see `policyHash`. */
  readonly policyHash: Uint8Array;
}

export interface CheckSessionOptions extends CommonCheck {
  /** The suite chosen for this connection. */
  readonly cipherSuite: CipherSuiteName;
}

export interface CheckSession12Options extends CommonCheck {
  /** The suites that the client offers and the server allows. */
  readonly cipherSuites: readonly CipherSuite12Name[];
  /** The ClientHello has extended_master_secret. */
  readonly extendedMasterSecret: boolean;
  /** Sessions without extended master secret are made, and resumed, with peers that lack it. Default false. */
  readonly allowLegacyMasterSecret?: boolean;
}

export type SessionRefusal = Extract<
  ResumptionRefusal,
  'version_changed' | 'expired_ticket' | 'expired_handshake' | 'policy_changed' | 'suite_changed'
>;

export type Session12Refusal = SessionRefusal | 'legacy_master_secret';

/**
 * Why this session must not be resumed by a TLS 1.3 connection, or undefined. Does not erase the state's secret.
 *
 * The age that the client claims is looked at only for early data (see anti-replay.ts). Otherwise it protects nothing, as the
 * server knows from the ticket when it was made, and clients whose clock was set, or that were asleep, would lose their
 * session.
 */
export function checkSession(options: CheckSessionOptions): SessionRefusal | undefined {
  const { state } = options;
  if (state.version !== 'TLSv1.3') {
    return 'version_changed';
  }
  const refusal = checkLifetimes(options) ?? checkPolicy(options);
  if (refusal !== undefined) {
    return refusal;
  }
  return cipherSuites[state.cipherSuite].hash === cipherSuites[options.cipherSuite].hash ? undefined : 'suite_changed';
}

/**
 * Why this session must not be resumed by a TLS 1.2 connection, or undefined; the answer to a refusal is a full handshake.
 * Does not erase the state's secret.
 *
 * A resumed session keeps its cipher suite (RFC 5246 §7.4.1.2), which therefore must still be offered and allowed. Its
 * server name, application protocol and client CA set are in the policy hash: in another virtual host it does not exist
 * (RFC 6066 §3), so none of what follows from having found it may happen there.
 * @throws TLSError `TLS_ERR_EXTENDED_MASTER_SECRET` a session made with extended master secret is offered without: whoever
 * took the extension away is after the triple handshake (RFC 7627 §5.3)
 */
export function checkSession12(options: CheckSession12Options): Session12Refusal | undefined {
  const { state, extendedMasterSecret, allowLegacyMasterSecret = false } = options;
  if (state.version !== 'TLSv1.2') {
    return 'version_changed';
  }
  const refusal = checkLifetimes(options) ?? checkPolicy(options);
  if (refusal !== undefined) {
    return refusal;
  }
  if (state.extendedMasterSecret && !extendedMasterSecret) {
    throw new TLSError(
      'TLS_ERR_EXTENDED_MASTER_SECRET',
      'the client offers a session that was made with extended_master_secret in a ClientHello without it',
    );
  }
  // Offered without on both sides it may go on where the operator says so; RFC 7627 §5.3 advises against it.
  if (!state.extendedMasterSecret && (extendedMasterSecret || !allowLegacyMasterSecret)) {
    return 'legacy_master_secret';
  }
  return options.cipherSuites.includes(state.cipherSuite) ? undefined : 'suite_changed';
}

function checkLifetimes({ state, now, handshakeValidity }: CommonCheck) {
  const sinceHandshake = now - state.authenticatedAt;
  if (sinceHandshake >= handshakeValidity * 1000 || sinceHandshake < -MAX_CLOCK_SKEW) {
    return 'expired_handshake';
  }
  return now - state.issuedAt >= state.ticketLifetime * 1000 ? 'expired_ticket' : undefined;
}

function checkPolicy({ state, policyHash }: CommonCheck) {
  return sameBytes(state.policyHash, policyHash) ? undefined : 'policy_changed';
}

/** The ticket's age as the client claims it, in milliseconds (RFC 9846 §4.3.11.1). */
export function claimedAge(state: SessionState13, obfuscatedTicketAge: number): number {
  return (obfuscatedTicketAge - state.ticketAgeAdd) >>> 0;
}
