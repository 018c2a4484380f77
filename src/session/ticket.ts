/**
 * Tickets: a session's state, sealed under a key of its own.
 *
 *     ticket = format(1) ‖ key name(16) ‖ salt(32) ‖ AES-256-GCM(key, nonce, EncodedSessionState) ‖ tag(16)
 *     format = 1 for a session of TLS 1.3, 2 for one of TLS 1.2; each has its own secret of the ring key
 *     key    = HKDF-Expand(secret, "mayfly ticket" ‖ salt, 32) = HMAC-SHA-256(secret, "mayfly ticket" ‖ salt ‖ 0x01)
 *     nonce  = the first 12 bytes of the salt
 *     AAD    = format ‖ key name ‖ salt ‖ what it is bound to, for a session kept in a store: its session ID
 *
 * A key per ticket: random nonces under one long-lived key would bound how many tickets it may seal. As each key seals
 * once, its nonce need not be secret; that it differs from ticket to ticket keeps one guess from being tried on many.
 * The secret is 32 uniformly random bytes, so there is nothing for HKDF-Extract to do. All of it has 256 bits: no
 * ticket is weaker than the connection it resumes. The state is padded, so that the ticket's length tells next to
 * nothing of the server name.
 *
 * RFC 5869 §2.3, §3.3; RFC 9846 §4.7.1; RFC 5077 §4.
 */

import { concat, utf8, wipe } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { ProtocolVersion } from '../connection-options.ts';
import type { AeadKey, CryptoProvider } from '../crypto/provider.ts';
import { decodeSessionState, encodeSessionState, MAX_STATE_LENGTH, type SessionState } from './session-state.ts';
import type { TicketKey, TicketKeySource, TicketKeyUses } from './ticket-key.ts';

export interface SealTicketOptions {
  readonly provider: CryptoProvider;
  /** From `TicketKeySource.sealingKey`. */
  readonly key: TicketKey;
  readonly state: SessionState;
  /** Opens only together with these bytes. Default: none. */
  readonly boundTo?: Uint8Array;
  /** Fills the salt. Default: the provider's. */
  readonly random?: (bytes: Uint8Array) => void;
}

export interface OpenTicketOptions {
  readonly provider: CryptoProvider;
  readonly keys: TicketKeySource;
  /** As the peer sent it: any bytes at all. */
  readonly ticket: Uint8Array;
  /** What it was bound to when it was sealed. */
  readonly boundTo?: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export type OpenedTicket =
  | { readonly state: SessionState; readonly key: TicketKey; readonly refusal?: undefined }
  | { readonly state?: undefined; readonly refusal: 'unknown_key' | 'bad_ticket' | 'expired_ticket' };

/**
 * Seals `state` into a ticket; about 200 bytes, and the client's certificates. The state's secret stays the caller's.
 * @throws TLSError `TLS_ERR_SESSION_STATE` the state has no encoding; `TLS_ERR_SECRET_ERASED` the key has ended
 */
export function sealTicket({ provider, key, state, boundTo, random }: SealTicketOptions): Uint8Array {
  const plaintext = encodeSessionState(state, PADDING_MULTIPLE);
  try {
    const ticket = new Uint8Array(HEADER_LENGTH + plaintext.length + TAG_LENGTH);
    const header = ticket.subarray(0, HEADER_LENGTH);
    const salt = ticket.subarray(SALT_AT, HEADER_LENGTH);
    ticket[0] = FORMATS[state.version];
    ticket.set(key.name, 1);
    if (random === undefined) {
      provider.random(salt);
    } else {
      random(salt);
    }
    withTicketKey(provider, secretFor(key, state.version), salt, (aead, nonce) => {
      aead.seal(nonce, associatedData(header, boundTo), plaintext.expose(), ticket, HEADER_LENGTH);
    });
    const uses = usesOf(key, state.version);
    if (uses !== undefined) {
      uses.sealed++;
    }
    return ticket;
  } finally {
    plaintext.erase();
  }
}

/**
 * Opens a ticket, or says why not. The state's secret is the caller's to erase. Does not throw on any ticket.
 *
 * A refusal leads to a full handshake, never to an error (RFC 9846 §4.3.11). Nothing of a ticket but its key's name is
 * looked at before the whole of it is authenticated, and the version of its session, which says which secret opens it.
 */
export function openTicket({ provider, keys, ticket, boundTo, now }: OpenTicketOptions): OpenedTicket {
  const version = ticket[0] === FORMATS['TLSv1.2'] ? 'TLSv1.2' : 'TLSv1.3';
  if (ticket.length < MIN_TICKET_LENGTH || ticket.length > MAX_TICKET_LENGTH || ticket[0] !== FORMATS[version]) {
    return BAD_TICKET;
  }
  const key = keys.openingKey(ticket.subarray(1, SALT_AT), now);
  if (key === undefined || secretFor(key, version).erased) {
    return UNKNOWN_KEY;
  }
  if (now >= key.openUntil || (version === 'TLSv1.2' && now >= key.openUntil12)) {
    return EXPIRED_TICKET;
  }
  const header = ticket.subarray(0, HEADER_LENGTH);
  const secret = secretFor(key, version);
  const plaintext = withTicketKey(provider, secret, ticket.subarray(SALT_AT, HEADER_LENGTH), (aead, nonce) =>
    aead.open(nonce, associatedData(header, boundTo), ticket.subarray(HEADER_LENGTH)),
  );
  if (plaintext === undefined) {
    return BAD_TICKET;
  }
  const state = decodeAndErase(plaintext, secret.id);
  if (state === undefined || state.version !== version) {
    state?.secret.erase('refused');
    return BAD_TICKET;
  }
  const age = now - state.issuedAt;
  if (age >= state.ticketLifetime * 1000 || age < -MAX_CLOCK_SKEW) {
    state.secret.erase('expired');
    return EXPIRED_TICKET;
  }
  const uses = usesOf(key, version);
  if (uses !== undefined) {
    uses.opened++;
  }
  return { state, key };
}

function secretFor(key: TicketKey, version: ProtocolVersion): Secret {
  return version === 'TLSv1.2' ? key.secret12 : key.secret;
}

function usesOf(key: TicketKey, version: ProtocolVersion): TicketKeyUses | undefined {
  return version === 'TLSv1.2' ? (key.uses12 ?? key.uses) : key.uses;
}

function associatedData(header: Uint8Array, boundTo: Uint8Array | undefined): Uint8Array {
  return boundTo === undefined ? header : concat(header, boundTo);
}

function withTicketKey<T>(
  provider: CryptoProvider,
  secret: Secret,
  salt: Uint8Array,
  callback: (aead: AeadKey, nonce: Uint8Array) => T,
): T {
  expandInfo.set(salt, EXPAND_LABEL.length);
  const ticketSecret = provider.hmacOfRandomKey('sha256', secret.expose(), expandInfo);
  const aead = provider.aead('aes-256-gcm', ticketSecret, secret);
  wipe(ticketSecret);
  try {
    return callback(aead, salt.subarray(0, NONCE_LENGTH));
  } finally {
    aead.erase();
  }
}

/** Undefined for a state of another build of Mayfly, sealed under the same ring key. */
function decodeAndErase(plaintext: Uint8Array, from: number): SessionState | undefined {
  try {
    return decodeSessionState(plaintext, from);
  } catch {
    return undefined;
  } finally {
    wipe(plaintext);
  }
}

/**
 * Milliseconds that the clock of another member of the fleet may run ahead of ours. A ticket from further in the future
 * was made before our clock was set back: its age cannot be known.
 */
export const MAX_CLOCK_SKEW = 60_000;

const FORMATS: Readonly<Record<ProtocolVersion, number>> = { 'TLSv1.3': 1, 'TLSv1.2': 2 };
const SALT_AT = 1 + 16;
const SALT_LENGTH = 32;
const HEADER_LENGTH = SALT_AT + SALT_LENGTH;
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
const PADDING_MULTIPLE = 32;
const MIN_TICKET_LENGTH = HEADER_LENGTH + TAG_LENGTH + PADDING_MULTIPLE;
/** The longest that `sealTicket` makes, about 12.7 KiB: what is longer would only make us hash and decrypt for nothing. */
const MAX_TICKET_LENGTH = HEADER_LENGTH + MAX_STATE_LENGTH + PADDING_MULTIPLE + TAG_LENGTH;
const EXPAND_LABEL = utf8('mayfly ticket');
/** Label, salt and counter: public, and kept between calls, which are all synchronous. */
const expandInfo = concat(EXPAND_LABEL, new Uint8Array(SALT_LENGTH), new Uint8Array([1]));

const BAD_TICKET: OpenedTicket = { refusal: 'bad_ticket' };
const UNKNOWN_KEY: OpenedTicket = { refusal: 'unknown_key' };
const EXPIRED_TICKET: OpenedTicket = { refusal: 'expired_ticket' };
