/** How many tickets a connection gets, how long each may live, and when one is renewed. RFC 9846 §4.7.1, RFC 9149; RFC 5077 §5.6. */

import { sameBytes } from '../bytes/bytes.ts';
import type { SessionLifetimes, TicketPolicy } from '../connection-options.ts';
import { TLSError } from '../errors.ts';
import { checkEarlyDataPolicy } from './anti-replay.ts';
import type { TicketKey } from './ticket-key.ts';

type RenewalPolicy = Pick<TicketPolicy, 'keys' | 'dangerouslyLongTls12Sessions'>;
type TicketKeyTimes = Pick<TicketKey, 'sealUntil' | 'openUntil' | 'openUntil12'>;

/** What a client asks for in `ticket_request` (RFC 9149 §2): 0..255 each. */
export interface TicketRequest {
  readonly newSession: number;
  readonly resumption: number;
}

/**
 * Tickets to send on this connection. A client that asks gets what it asks for, down to none, up to `maxTickets`
 * (RFC 9149 §2); one that does not gets the policy's number.
 */
export function ticketsToSend(policy: TicketPolicy, request: TicketRequest | undefined, resumed: boolean): number {
  if (request === undefined) {
    return resumed ? policy.ticketsPerResumption : policy.ticketsPerConnection;
  }
  return Math.min(resumed ? request.resumption : request.newSession, policy.maxTickets);
}

/**
 * The lifetime to give a ticket or a cached session, in whole seconds: no longer than the policy's, than what is left of
 * the full handshake's validity, and than `key` will open. 0 means: send no ticket, cache nothing.
 *
 * In TLS 1.2 it is also no longer than the ring gives them (by default one sealing period), counted from the full
 * handshake: the ticket holds the master secret that was made there, which opens every connection of the session, and a
 * renewed ticket holds it again. It is renewed under its own key alone. So a renewal makes no master secret live longer,
 * neither by the ticket's time nor by the key's, unless the policy says `dangerouslyLongTls12Sessions`.
 * @param key that seals the ticket; absent for a cached session
 */
export function remainingLifetime(
  policy: SessionLifetimes,
  authenticatedAt: number,
  now: number,
  key?: TicketKeyTimes,
  version: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3',
): number {
  const sinceHandshake = (now - authenticatedAt) / 1000;
  const is12 = version === 'TLSv1.2';
  const keyEnd = key === undefined ? Number.POSITIVE_INFINITY : is12 ? key.openUntil12 : key.openUntil;
  const untilKeyEnds = (keyEnd - now) / 1000;
  const secretLife = is12 ? masterSecretLife(policy, key) : Number.POSITIVE_INFINITY;
  const validity = Math.min(policy.handshakeValidity, secretLife);
  // A clock that was set back must not lengthen the handshake's validity: hence the cap by `validity` itself.
  const seconds = Math.min(policy.ticketLifetime, validity, validity - sinceHandshake, untilKeyEnds);
  return Math.max(0, Math.floor(seconds));
}

/**
 * Whether a TLS 1.2 session gets a further ticket when it is resumed by one that `openedBy` opened: only while that very key
 * seals. Under a later one its old master secret would live for as long as that key does. A client that is given none keeps
 * the ticket it has (RFC 5077 §3.3: sending one is the server's choice).
 */
export function renewsTicket12(policy: RenewalPolicy, openedBy: Pick<TicketKey, 'name'>, now: number): boolean {
  const sealing = policy.keys.sealingKey(now);
  if (sealing === undefined) {
    return false;
  }
  return policy.dangerouslyLongTls12Sessions === true || sameBytes(sealing.name, openedBy.name);
}

/** Seconds after the full handshake that a TLS 1.2 master secret may be kept. */
function masterSecretLife(policy: SessionLifetimes, key: TicketKeyTimes | undefined): number {
  if (policy.dangerouslyLongTls12Sessions === true) {
    return Number.POSITIVE_INFINITY;
  }
  // What the ring's schedule says, also of a key that seals for less than a whole period.
  return key === undefined ? TLS12_SESSION_LIFETIME : (key.openUntil12 - key.sealUntil) / 1000;
}

/**
 * Holds a ticket policy against the house's bounds.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function checkTicketPolicy(policy: Omit<TicketPolicy, 'keys'>): void {
  checkNumber('ticketsPerConnection', policy.ticketsPerConnection, 0, MAX_TICKETS, 'tickets');
  checkNumber('ticketsPerResumption', policy.ticketsPerResumption, 0, MAX_TICKETS, 'tickets');
  checkNumber('maxTickets', policy.maxTickets, 0, MAX_TICKETS, 'tickets');
  checkSessionLifetimes(policy);
  if (policy.earlyData !== undefined) {
    checkEarlyDataPolicy(policy.earlyData);
  }
}

/** @throws TLSError `TLS_ERR_CONFIG` */
export function checkSessionLifetimes(lifetimes: SessionLifetimes): void {
  checkNumber('ticketLifetime', lifetimes.ticketLifetime, 1, MAX_TICKET_LIFETIME, 'seconds');
  checkNumber('handshakeValidity', lifetimes.handshakeValidity, 1, MAX_HANDSHAKE_VALIDITY, 'seconds');
}

function checkNumber(name: string, value: number, min: number, max: number, unit: string): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `${name} must be a whole number of ${unit} from ${min} to ${max}, got ${value}`,
    );
  }
}

/** Seconds: one hour, the default sealing period, after which a TLS 1.2 session without a ticket key of its own is erased. */
export const TLS12_SESSION_LIFETIME = 3600;
/** Each ticket costs the server a sealing and the client memory. */
const MAX_TICKETS = 32;
/** Seconds: 23 hours, so that a key that seals for an hour is gone within a day. */
const MAX_TICKET_LIFETIME = 82_800;
/** Seconds: seven days. */
const MAX_HANDSHAKE_VALIDITY = 604_800;
