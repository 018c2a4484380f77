/**
 * The server's side of resumption: opening the offered tickets, checking the binder, and sealing new tickets.
 *
 * RFC 9846 §4.3.11, §4.7.1. The rules a session must meet are in session/session-check.ts.
 */

import type { ResumptionRefusal } from '../actions.ts';
import type { Secret } from '../bytes/secret.ts';
import type { ProtocolVersion, ServerContext, TicketPolicy } from '../connection-options.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { pskBinder } from '../keys/finished.ts';
import { EarlySecret, resumptionPsk } from '../keys/ladder.ts';
import { bindersLength, type PreSharedKeyOffer } from '../messages/client-hello.ts';
import { encodeNewSessionTicket } from '../messages/new-session-ticket.ts';
import { createPolicyHasher, type PolicyHasher } from '../session/policy-hash.ts';
import { checkSession } from '../session/session-check.ts';
import type { SessionState } from '../session/session-state.ts';
import { openTicket, sealTicket } from '../session/ticket.ts';
import { remainingLifetime } from '../session/ticket-issuance.ts';
import type { TicketKey } from '../session/ticket-key.ts';

const PSK_DHE_KE = 1;
/**
 * Identities that are tried. Each costs a ticket key derivation and an AEAD operation before anything is authenticated;
 * clients of one site offer one or two.
 */
const MAX_TRIED_IDENTITIES = 4;

export interface ResumptionOffer {
  readonly provider: CryptoProvider;
  readonly policy: TicketPolicy | undefined;
  readonly now: number;
  readonly offer: PreSharedKeyOffer;
  readonly modes: readonly number[];
  readonly suite: CipherSuite;
  readonly policyHash: Uint8Array;
}

export type ResumptionChoice =
  | { readonly state: SessionState; readonly identity: number }
  | { readonly refusal: ResumptionRefusal };

/** The first offered session that may be resumed here, or why there is none. The caller erases the state's secret. */
export function chooseSession(options: ResumptionOffer): ResumptionChoice {
  const { provider, policy, now, offer, suite, policyHash } = options;
  if (policy === undefined) {
    return { refusal: 'disabled' };
  }
  if (!options.modes.includes(PSK_DHE_KE)) {
    return { refusal: 'no_psk_dhe_ke' };
  }
  let refusal: ResumptionRefusal = 'unknown_key';
  const tried = offer.identities.slice(0, MAX_TRIED_IDENTITIES);
  for (const [identity, { identity: ticket, obfuscatedTicketAge }] of tried.entries()) {
    const opened = openTicket({ provider, keys: policy.keys, ticket, now });
    if (opened.state === undefined) {
      refusal = opened.refusal;
      continue;
    }
    const { state } = opened;
    const refused = checkSession({
      state,
      now,
      handshakeValidity: policy.handshakeValidity,
      obfuscatedTicketAge,
      policyHash,
      cipherSuite: suite.name,
    });
    if (refused === undefined) {
      return { state, identity };
    }
    state.secret.erase('refused');
    refusal = refused;
  }
  return { refusal };
}

/**
 * Checks the chosen identity's binder over the truncated ClientHello and returns the rung made from its PSK, which is
 * spent. `prefixHash` hashes what goes before the binders, with the messages of a HelloRetryRequest where there was one.
 * @throws TLSError `TLS_ERR_BAD_BINDER`
 */
export function verifyBinder(options: {
  readonly provider: CryptoProvider;
  readonly suite: CipherSuite;
  readonly psk: Secret;
  readonly binder: Uint8Array;
  readonly truncatedHash: Uint8Array;
}): EarlySecret {
  const { provider, suite, psk, binder, truncatedHash } = options;
  const early = EarlySecret.create(provider, suite.hash, psk);
  psk.erase();
  const expected = pskBinder(provider, suite.hash, early.resumptionBinderKey(), truncatedHash);
  if (!provider.equal(binder, expected)) {
    early.erase('refused');
    throw new TLSError('TLS_ERR_BAD_BINDER', "the client's PSK binder does not verify");
  }
  return early;
}

/** Where the binders of an encoded ClientHello begin. */
export function bindersOffset(raw: Uint8Array, offer: PreSharedKeyOffer): number {
  return raw.length - bindersLength(offer.binders);
}

/** What new tickets of this connection say. */
export interface TicketContent {
  readonly suite: CipherSuite;
  readonly authenticatedAt: number;
  readonly serverName: string;
  readonly alpnProtocol: string;
  readonly policyHash: Uint8Array;
  /** The client's, so that a resumption knows it too. */
  readonly peerCertificates: readonly Uint8Array[];
}

/**
 * `count` NewSessionTicket messages; none when there is no sealing key or no life left in the handshake. Takes
 * `resumptionSecret` over.
 */
export function issueTickets(options: {
  readonly provider: CryptoProvider;
  readonly policy: TicketPolicy;
  readonly resumptionSecret: Secret;
  readonly content: TicketContent;
  readonly count: number;
  readonly now: number;
}): Uint8Array[] {
  const { provider, policy, resumptionSecret, content, count, now } = options;
  const messages: Uint8Array[] = [];
  try {
    const key = policy.keys.sealingKey(now);
    const ticketLifetime = key === undefined ? 0 : remainingLifetime(policy, content.authenticatedAt, now, key);
    for (let index = 0; key !== undefined && ticketLifetime > 0 && index < count; index++) {
      const ticketNonce = new Uint8Array([index]);
      const secret = resumptionPsk(provider, content.suite, resumptionSecret, ticketNonce);
      messages.push(issueTicket({ provider, key, content, now, ticketLifetime, ticketNonce, secret }));
    }
  } catch (error) {
    // A name too long to be kept: the connection can do without tickets.
    if (!(error instanceof TLSError) || error.code !== 'TLS_ERR_SESSION_STATE') {
      throw error;
    }
  } finally {
    resumptionSecret.erase();
  }
  return messages;
}

function issueTicket(options: {
  readonly provider: CryptoProvider;
  readonly key: TicketKey;
  readonly content: TicketContent;
  readonly now: number;
  readonly ticketLifetime: number;
  readonly ticketNonce: Uint8Array;
  readonly secret: Secret;
}): Uint8Array {
  const { provider, key, content, now, ticketLifetime, ticketNonce, secret } = options;
  const random = new Uint8Array(4);
  provider.random(random);
  const ticketAgeAdd = new DataView(random.buffer).getUint32(0);
  const state: SessionState = {
    version: 'TLSv1.3',
    cipherSuite: content.suite.name,
    secret,
    issuedAt: now,
    authenticatedAt: content.authenticatedAt,
    ticketLifetime,
    ticketAgeAdd,
    serverName: content.serverName,
    alpnProtocol: content.alpnProtocol,
    policyHash: content.policyHash,
    peerCertificates: content.peerCertificates,
  };
  try {
    const ticket = sealTicket({ provider, key, state });
    return encodeNewSessionTicket({ ticketLifetime, ticketAgeAdd, ticketNonce, ticket });
  } finally {
    secret.erase('sealed into a ticket');
  }
}

const hashers = new WeakMap<ServerContext, PolicyHasher>();

/** The policy hash of a connection in this context (see session/policy-hash.ts). */
export function contextPolicyHash(
  provider: CryptoProvider,
  context: ServerContext,
  serverName: string,
  alpnProtocol: string,
  version: ProtocolVersion = 'TLSv1.3',
): Uint8Array {
  let hasher = hashers.get(context);
  if (hasher === undefined) {
    hasher = createPolicyHasher({
      provider,
      clientAuthentication: context.clientAuthentication?.id ?? 'none',
      certificateChains: context.credentials.map((credential) => credential.certificateChain),
    });
    hashers.set(context, hasher);
  }
  return hasher(serverName, alpnProtocol, version);
}
