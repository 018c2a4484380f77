/**
 * The server's side of TLS 1.2 resumption, by ticket (RFC 5077) and by session ID (RFC 5246 §F.1.4), and what it remembers
 * of a new session. The rules a session must meet are in session/session-check.ts.
 */

import type { ResumptionRefusal } from '../actions.ts';
import { EMPTY } from '../bytes/bytes.ts';
import type { ServerContext, SessionLifetimes, TicketPolicy } from '../connection-options.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { CipherSuite12 } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import type { ClientHello } from '../messages/client-hello.ts';
import { encodeNewSessionTicket12 } from '../messages/tls12/new-session-ticket.ts';
import { checkSession12 } from '../session/session-check.ts';
import type { SessionState, SessionState12 } from '../session/session-state.ts';
import { openTicket, sealTicket } from '../session/ticket.ts';
import { remainingLifetime, renewsTicket12 } from '../session/ticket-issuance.ts';
import type { TicketKey } from '../session/ticket-key.ts';

export interface Resumption12 {
  /** Its secret passes to the caller. */
  readonly state: SessionState12;
  readonly resumedBy: 'ticket' | 'id';
  /** Whether a ticket is announced: see `renewsTicket12`. */
  readonly renews: boolean;
}

export interface OfferedOptions12 {
  readonly provider: CryptoProvider;
  readonly context: ServerContext;
  readonly hello: ClientHello;
  readonly now: number;
  readonly policyHash: Uint8Array;
  /** Offered by the client and allowed by the server. */
  readonly suites: readonly CipherSuite12[];
  readonly allowLegacyMasterSecret: boolean;
}

/**
 * The session that the client offers if it may be resumed here; a ticket goes before an ID (RFC 5077 §3.4).
 * @throws TLSError `TLS_ERR_EXTENDED_MASTER_SECRET` the extension was dropped since the session was made
 */
export function openOffered12(
  options: OfferedOptions12,
): Resumption12 | { readonly refusal: ResumptionRefusal | undefined } {
  const { provider, context, hello, now } = options;
  const ticket = hello.extensions.sessionTicket ?? EMPTY;
  if (ticket.length > 0) {
    if (context.tickets === undefined) {
      return { refusal: 'disabled' };
    }
    const opened = openTicket({ provider, keys: context.tickets.keys, ticket, now });
    if (opened.state === undefined) {
      return { refusal: opened.refusal };
    }
    return check12(options, opened.state, opened.key);
  }
  // A random ID of TLS 1.3's compatibility mode finds nothing: it is no refusal, as no session was offered.
  const state = hello.legacySessionId.length > 0 ? context.sessionCache?.get(hello.legacySessionId, now) : undefined;
  return state === undefined ? { refusal: undefined } : check12(options, state, undefined);
}

function check12(
  options: OfferedOptions12,
  state: SessionState,
  /** Of a ticket. */
  openedBy: TicketKey | undefined,
): Resumption12 | { readonly refusal: ResumptionRefusal } {
  const { context, hello, now, policyHash, suites, allowLegacyMasterSecret } = options;
  const { tickets } = context;
  const resumedBy = openedBy === undefined ? 'id' : 'ticket';
  let refusal: ResumptionRefusal | undefined;
  try {
    refusal = checkSession12({
      state,
      now,
      handshakeValidity: lifetimesOf(context, resumedBy).handshakeValidity,
      policyHash,
      cipherSuites: suites.map(({ name }) => name),
      extendedMasterSecret: hello.extensions.extendedMasterSecret === true,
      allowLegacyMasterSecret,
    });
  } catch (error) {
    state.secret.erase('refused');
    throw error;
  }
  if (refusal === undefined && context.clientAuthentication?.resumable?.(state.peerCertificates ?? []) === false) {
    refusal = 'client_untrusted';
  }
  if (refusal !== undefined || state.version !== 'TLSv1.2') {
    state.secret.erase('refused');
    return { refusal: refusal ?? 'version_changed' };
  }
  const renews = openedBy !== undefined && tickets !== undefined && renewsTicket12(tickets, openedBy, now);
  return { state, resumedBy, renews };
}

/**
 * A NewSessionTicket message for this session. Empty when there is no sealing key or no life left: having announced a
 * ticket, the server must send one (RFC 5077 §3.3).
 */
export function issueTicket12(options: {
  readonly provider: CryptoProvider;
  readonly policy: TicketPolicy;
  /** Its secret is lent. */
  readonly state: SessionState12;
  readonly now: number;
}): Uint8Array {
  const { provider, policy, state, now } = options;
  const key = policy.keys.sealingKey(now);
  const lifetime = key === undefined ? 0 : remainingLifetime(policy, state.authenticatedAt, now, key, 'TLSv1.2');
  if (key === undefined || lifetime <= 0) {
    return encodeNewSessionTicket12({ lifetimeHint: 0, ticket: EMPTY });
  }
  try {
    const ticket = sealTicket({ provider, key, state: { ...state, ticketLifetime: lifetime } });
    return encodeNewSessionTicket12({ lifetimeHint: lifetime, ticket });
  } catch (error) {
    rethrowUnlessTooLong(error);
    return encodeNewSessionTicket12({ lifetimeHint: 0, ticket: EMPTY });
  }
}

/** Keeps a session under its ID, if it has one and there is a cache. */
export function rememberById12(
  context: ServerContext,
  sessionId: Uint8Array,
  state: SessionState12,
  now: number,
): void {
  const { sessionCache } = context;
  if (sessionCache === undefined || sessionId.length === 0) {
    return;
  }
  const ticketLifetime = remainingLifetime(
    lifetimesOf(context, 'id'),
    state.authenticatedAt,
    now,
    undefined,
    'TLSv1.2',
  );
  if (ticketLifetime <= 0) {
    return;
  }
  try {
    sessionCache.set(sessionId, { ...state, ticketLifetime });
  } catch (error) {
    rethrowUnlessTooLong(error);
  }
}

function lifetimesOf({ cachedSessions, tickets }: ServerContext, kind: 'ticket' | 'id'): SessionLifetimes {
  return (kind === 'id' ? (cachedSessions ?? tickets) : tickets) ?? DEFAULT_LIFETIMES;
}

/** A name or a chain too long to be kept: the connection can do without a session. All else goes on. */
function rethrowUnlessTooLong(error: unknown): void {
  if (!(error instanceof TLSError && error.code === 'TLS_ERR_SESSION_STATE')) {
    throw error;
  }
}

/** One sealing period of tickets, and a day, as for those. */
const DEFAULT_LIFETIMES: SessionLifetimes = { ticketLifetime: 3600, handshakeValidity: 86_400 };
