/**
 * The server's side of resumption: sealing new tickets. How they come back is in server-psk.ts.
 *
 * RFC 9846 §4.7.1.
 */

import type { Secret } from '../bytes/secret.ts';
import type { ProtocolVersion, ServerContext, TicketPolicy } from '../connection-options.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { resumptionPsk } from '../keys/ladder.ts';
import { encodeNewSessionTicket } from '../messages/new-session-ticket.ts';
import { createPolicyHasher, type PolicyHasher } from '../session/policy-hash.ts';
import type { SessionState } from '../session/session-state.ts';
import { sealTicket } from '../session/ticket.ts';
import { remainingLifetime } from '../session/ticket-issuance.ts';
import type { TicketKey } from '../session/ticket-key.ts';

/** What new tickets of this connection say. */
export interface TicketContent {
  readonly suite: CipherSuite;
  readonly authenticatedAt: number;
  readonly serverName: string;
  readonly alpnProtocol: string;
  readonly policyHash: Uint8Array;
  /** The client's, so that a resumption knows it too. */
  readonly peerCertificates: readonly Uint8Array[];
  /** The external PSK that the session began with, as it is named on the wire. */
  readonly externalPskIdentity: Uint8Array | undefined;
  /** Bytes of early data that the tickets allow; undefined for none. */
  readonly maxEarlyDataSize: number | undefined;
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
  const ticketAgeAdd = randomUint32(provider);
  const state: SessionState = {
    version: 'TLSv1.3',
    cipherSuite: content.suite.name,
    secret,
    issuedAt: now,
    authenticatedAt: content.authenticatedAt,
    ticketLifetime,
    ticketAgeAdd,
    maxEarlyDataSize: content.maxEarlyDataSize,
    serverName: content.serverName,
    alpnProtocol: content.alpnProtocol,
    policyHash: content.policyHash,
    peerCertificates: content.peerCertificates,
    externalPskIdentity: content.externalPskIdentity,
  };
  try {
    const ticket = sealTicket({ provider, key, state });
    const { maxEarlyDataSize } = content;
    return encodeNewSessionTicket({ ticketLifetime, ticketAgeAdd, ticketNonce, ticket, maxEarlyDataSize });
  } finally {
    secret.erase('sealed into a ticket');
  }
}

function randomUint32(provider: CryptoProvider): number {
  const random = new Uint8Array(4);
  provider.random(random);
  return ((random[0] << 24) | (random[1] << 16) | (random[2] << 8) | random[3]) >>> 0;
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
