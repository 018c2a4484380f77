/** What a host hands to a connection. Everything is immutable and may be shared by many connections. */

import type { ClientHelloInfo } from './actions.ts';
import type { NamedGroup } from './crypto/groups.ts';
import type { CryptoProvider, PrivateKey } from './crypto/provider.ts';
import type { SignatureScheme } from './crypto/signatures.ts';
import type { CipherSuiteName } from './crypto/suites.ts';
import type { CipherSuite12Name } from './crypto/suites12.ts';
import type { ClientSession } from './session/client-session.ts';
import type { SessionState } from './session/session-state.ts';
import type { TicketKeySource } from './session/ticket-key.ts';

export type ProtocolVersion = 'TLSv1.2' | 'TLSv1.3';

/** A certificate chain with the key that signs for it. */
export interface Credential {
  /** DER, leaf first, without the root. */
  readonly certificateChain: readonly Uint8Array[];
  /** The schemes the key can make, best first. */
  readonly schemes: readonly SignatureScheme[];
  /** Absent when the key lives elsewhere: the core then asks with a `sign` need. */
  readonly privateKey?: PrivateKey;
}

/** What a server decides by name: certificate, protocols, and through them which sessions may resume here. */
export interface ServerContext {
  /** One per key type; the first whose schemes the client accepts serves. */
  readonly credentials: readonly Credential[];
  /** The server's preference order; empty for no ALPN. */
  readonly alpnProtocols: readonly string[];
  /** Overrides `alpnProtocols`: picks from the client's list, or undefined to refuse with `no_application_protocol`. */
  readonly chooseProtocol?: (clientHello: ClientHelloInfo) => string | undefined;
  /** Tickets; absent for none (`sessions: { tickets: false }`). */
  readonly tickets?: TicketPolicy;
  /** Absent: clients are not asked for certificates. */
  readonly clientAuthentication?: ClientAuthenticationPolicy;
  /** TLS 1.2 sessions by ID; absent for none. */
  readonly sessionCache?: ServerSessionCache;
}

/** Whether and how a server asks its clients for certificates. The host judges them, by `verifyCertificate` needs. */
export interface ClientAuthenticationPolicy {
  /** A client without a certificate is refused; one whose certificate the host refuses always is. */
  readonly required: boolean;
  /** DER distinguished names, to help the client choose; empty for none. */
  readonly certificateAuthorities: readonly Uint8Array[];
  /** Changes whenever the verdict on a client could: see `clientAuthenticationId`. Sessions are bound to it. */
  readonly id: string;
}

/** Where TLS 1.2 sessions are kept by their ID. `SessionCache` is one. */
export interface ServerSessionCache {
  /** Keeps a copy: the state's secret stays the caller's. */
  set(sessionId: Uint8Array, state: SessionState): void;
  /** With a secret of its own, which the caller erases. */
  get(sessionId: Uint8Array, now: number): SessionState | undefined;
}

export interface TicketPolicy {
  readonly keys: TicketKeySource;
  /** Tickets sent after a full handshake (when the client does not ask for a number by RFC 9149). */
  readonly ticketsPerConnection: number;
  /** Tickets sent after a resumption. */
  readonly ticketsPerResumption: number;
  /** Most tickets a ticket_request can get. */
  readonly maxTickets: number;
  /** Seconds. */
  readonly ticketLifetime: number;
  /** Seconds since the full handshake. */
  readonly handshakeValidity: number;
  /**
   * TLS 1.2 sessions live as long as TLS 1.3's. Each holds a master secret that opens the recorded connections of its
   * session, so by default it is kept for one sealing period after the full handshake and no longer.
   */
  readonly dangerouslyLongTls12Sessions?: boolean;
}

interface CommonOptions {
  readonly provider: CryptoProvider;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Versions that may be agreed. Default: TLS 1.3 alone. */
  readonly versions?: readonly ProtocolVersion[];
  /** For TLS 1.3, in order of preference. Default: all. */
  readonly cipherSuites?: readonly CipherSuiteName[];
  /** For TLS 1.2, in order of preference. Default: all with ECDHE. */
  readonly cipherSuites12?: readonly CipherSuite12Name[];
  /**
   * TLS 1.2: also peers without extended master secret (RFC 7627). Their sessions can be tied together by a man in the
   * middle (the triple handshake), and their exporters are refused.
   */
  readonly allowLegacyMasterSecret?: boolean;
  /** In order of preference. Default: all that the provider supports. */
  readonly namedGroups?: readonly NamedGroup[];
  /** Emits `keyLog` actions: hands every traffic secret to the host. */
  readonly exportKeyLog?: boolean;
  /** The largest TLSInnerPlaintext we are willing to receive, 64..16385 bytes (RFC 8449). Absent: not sent by a client. */
  readonly recordSizeLimit?: number;
  /** Records one traffic key may protect; lowers the suite's own limit. */
  readonly usageLimit?: number;
  /** Memory for outgoing records; a host may hand out a reused buffer. Default: a fresh allocation each time. */
  readonly allocate?: (length: number) => Uint8Array;
}

export interface ClientOptions extends CommonOptions {
  /** A DNS name to send as SNI and to verify; IP addresses are verified but not sent. Empty for none. */
  readonly serverName: string;
  readonly alpnProtocols?: readonly string[];
  /** Certificates for servers that ask for one; the first that can sign in a way the server accepts is sent. */
  readonly credentials?: readonly Credential[];
  /** Groups to send shares for in the first flight. Default: the first group, plus x25519 when that is a hybrid. */
  readonly keyShares?: readonly NamedGroup[];
  /** A session to offer. The connection does not erase it: the host does, once used. */
  readonly session?: ClientSession;
  /** Tickets to ask for (RFC 9149); 0 tells the server to send none. Default: the extension is not sent. */
  readonly requestTickets?: { readonly newSession: number; readonly resumption: number };
  /** Derive and report `session` actions. Default true; false saves their cost. */
  readonly wantSessions?: boolean;
  /** TLS 1.2: false asks for no ticket (RFC 5077), so that sessions come by ID. Default true. */
  readonly offerTickets12?: boolean;
  /**
   * TLS 1.2: renegotiations that a server may ask for within ten minutes; 0 refuses all. More end the connection: each costs
   * us a handshake. Default 3.
   */
  readonly serverRenegotiations?: number;
  /** Send GREASE values (RFC 8701). Default true. */
  readonly grease?: boolean;
}

export interface ServerOptions extends CommonOptions {
  /** The context for every client, or 'ask' to raise a `context` need for each. */
  readonly context: ServerContext | 'ask';
  /**
   * TLS 1.2: renegotiations that a client may begin within ten minutes; further ones are declined. Each costs the server
   * more than the client, so the default is 0.
   */
  readonly clientRenegotiations?: number;
  /** Sent in a HelloRetryRequest and demanded back unchanged (RFC 9846 §4.3.2). Default: none is sent. */
  readonly helloRetryCookie?: Uint8Array;
}
