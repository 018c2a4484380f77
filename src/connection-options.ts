/** What a host hands to a connection. Everything is immutable and may be shared by many connections. */

import type { ClientHelloInfo } from './actions.ts';
import type { FfdheGroup } from './crypto/dhe-groups.ts';
import type { NamedGroup } from './crypto/groups.ts';
import type { CertificateCompression, CryptoProvider, PrivateKey } from './crypto/provider.ts';
import type { SignatureScheme } from './crypto/signatures.ts';
import type { CipherSuiteName } from './crypto/suites.ts';
import type { CipherSuite12Name } from './crypto/suites12.ts';
import type { ClientSession } from './session/client-session.ts';
import type { ExternalPsk, ExternalPskSource } from './session/external-psk.ts';
import type { SessionState } from './session/session-state.ts';
import type { SingleUseRegister } from './session/single-use-register.ts';
import type { TicketKeySource } from './session/ticket-key.ts';

export type ProtocolVersion = 'TLSv1.2' | 'TLSv1.3';

/** A certificate chain with the key that signs for it. */
export interface Credential {
  /** DER, leaf first, without the root. */
  readonly certificateChain: readonly Uint8Array[];
  /** The schemes the key can make, best first. */
  readonly schemes: readonly SignatureScheme[];
  /**
   * Which of these may sign, best first, and of the PKCS #1 v1.5 that TLS 1.2 adds for RSA keys. Default: all, PSS before
   * PKCS #1.
   */
  readonly allowedSchemes?: readonly SignatureScheme[];
  /** Absent when the key lives elsewhere: the core then asks with a `sign` need. */
  readonly privateKey?: PrivateKey;
  /** The core asks with a `sign` need also where it has the key: for keys so slow that the host signs on another thread. */
  readonly asksToSign?: boolean;
  /** An OCSPResponse for the leaf, DER, that a server staples for clients that ask; the host sees that it is fresh. */
  readonly ocspResponse?: Uint8Array;
  /** SerializedSCTs (RFC 6962 §3.3) that a server sends to clients that ask. */
  readonly signedCertificateTimestamps?: readonly Uint8Array[];
  /** The issuer names of the chain's certificates, DER: what a client's certificate_authorities are held against. */
  readonly issuers?: readonly Uint8Array[];
  /**
   * How each certificate of the chain is signed, self-signed ones left out; undefined for a way that has no name here. What a
   * peer's signature_algorithms_cert is held against. Absent: not known, and taken for good.
   */
  readonly chainSchemes?: readonly (SignatureScheme | undefined)[];
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
  /** A `certificateStatus` need is raised for each client that asks for one, whatever the credential carries. */
  readonly askCertificateStatus?: boolean;
  /** Absent: clients are not asked for certificates. */
  readonly clientAuthentication?: ClientAuthenticationPolicy;
  /** TLS 1.2 sessions by ID; absent for none. */
  readonly sessionCache?: ServerSessionCache;
  /** How long the sessions in `sessionCache` live. Default: as `tickets`; without those one hour, and 24 hours. */
  readonly cachedSessions?: SessionLifetimes;
  /**
   * TLS 1.3: clients with one of these PSKs authenticate themselves, and us, with it instead of certificates. Cannot stand
   * beside `clientAuthentication` that is required: who has a PSK would get past it.
   */
  readonly externalPsks?: ExternalPskSource;
  /**
   * Lets a PSK alone protect a connection, without a key exchange (psk_ke): it is not forward secret. Whoever later learns
   * the external PSK, or the ticket's key, reads the recording. 'fallback': with clients that offer nothing else; 'prefer':
   * with all that offer it. Default: never. A `warning` action goes with each such handshake.
   */
  readonly dangerouslyAllowPskKe?: 'fallback' | 'prefer';
}

/** Whether and how a server asks its clients for certificates. The host judges them, by `verifyCertificate` needs. */
export interface ClientAuthenticationPolicy {
  /** A client without a certificate is refused; one whose certificate the host refuses always is. */
  readonly required: boolean;
  /** DER distinguished names, to help the client choose; empty for none. */
  readonly certificateAuthorities: readonly Uint8Array[];
  /** Changes whenever the verdict on a client could: see `clientAuthenticationId`. Sessions are bound to it. */
  readonly id: string;
  /**
   * How clients may sign, best first; at least one for each version. PKCS #1 v1.5 does so in TLS 1.2 alone. It says nothing
   * of how certificates are signed. Default: all.
   */
  readonly acceptedSchemes?: readonly SignatureScheme[];
  /**
   * Whether a session with this chain (empty for none) may be resumed now: certificates expire while sessions live. Where it
   * says no, a full handshake follows, in which the client is asked anew. Default: yes.
   */
  readonly resumable?: (chain: readonly Uint8Array[]) => boolean;
}

/** Where TLS 1.2 sessions are kept by their ID. `SessionCache` is one. */
export interface ServerSessionCache {
  /** Keeps a copy: the state's secret stays the caller's. */
  set(sessionId: Uint8Array, state: SessionState): void;
  /** With a secret of its own, which the caller erases. */
  get(sessionId: Uint8Array, now: number): SessionState | undefined;
  /** A connection of the session has ended with a fatal alert (RFC 5246 §7.2.2): it is to be forgotten, if it is there. */
  delete(sessionId: Uint8Array): void;
}

/** How long sessions live. */
export interface SessionLifetimes {
  /** Seconds that a ticket or a cached session may be used; in TLS 1.2 at most one hour, for cached ones. */
  readonly ticketLifetime: number;
  /** Seconds since the full handshake. */
  readonly handshakeValidity: number;
  /**
   * TLS 1.2 sessions live as long as TLS 1.3's. Each holds a master secret that opens the recorded connections of its
   * session, so by default it is kept for one sealing period after the full handshake and no longer.
   */
  readonly dangerouslyLongTls12Sessions?: boolean;
}

export interface TicketPolicy extends SessionLifetimes {
  readonly keys: TicketKeySource;
  /** Tickets sent after a full handshake (when the client does not ask for a number by RFC 9149). */
  readonly ticketsPerConnection: number;
  /** Tickets sent after a resumption. */
  readonly ticketsPerResumption: number;
  /** Most tickets a ticket_request can get. */
  readonly maxTickets: number;
  /**
   * TLS 1.3: each ticket resumes once, as this register remembers; 'ask' raises a `claimTicket` need for each. Where it is
   * full, or has seen the ticket, a full handshake follows. Default: a ticket resumes as often as the client likes.
   */
  readonly singleUse?: SingleUseRegister | 'ask';
  /** TLS 1.3: tickets give leave for early data, which is not forward secret and can be replayed. Default: none is taken. */
  readonly earlyData?: EarlyDataPolicy;
}

/** How a server takes early data, and keeps recordings of it out. See docs/early-data.md. */
export interface EarlyDataPolicy {
  /** Bytes that a client may send, told with each ticket: 1 to 2^20. */
  readonly maxEarlyDataSize: number;
  /** Milliseconds by which the age of a ticket may be off: 1 to 60,000. Default 10,000. */
  readonly freshnessWindow?: number;
  /**
   * Remembers which tickets came with early data; 'ask' raises a `claimTicket` need for each. Where it has seen the ticket,
   * or is full, the session resumes without early data. With `singleUse`, that register's answer counts, and no other is asked.
   */
  readonly register: SingleUseRegister | 'ask';
  /**
   * Milliseconds since the epoch: from when on the register has remembered every claim. Older tickets may have been used
   * already, so their early data is refused (RFC 9846 §8.2). The start of the process for a register in its memory.
   */
  readonly recordingSince: number;
}

/**
 * When traffic keys are renewed before their usage limit. A renewed key is erased: what was recorded under it stays closed
 * to those who come into the process later. It does not heal a theft, as the next key follows from this one.
 */
export interface KeyRenewal {
  /**
   * Milliseconds, at least 1000, from the first application data under our write key; the peer is asked for a new one of its
   * own a quarter later. A silent connection needs `maintain`.
   */
  readonly afterMilliseconds?: number;
  /** Bytes of application data under one key, at least 65,536; checked after each call, not in the middle of one. */
  readonly afterBytes?: number;
  /**
   * TLS 1.2 has no KeyUpdate: renew by renegotiation there, which does heal a theft. Not every peer takes part, and HTTP/2
   * forbids it (RFC 9113 §9.2.1). Default false: only near the usage limit.
   */
  readonly renegotiate12?: boolean;
}

interface CommonOptions {
  readonly provider: CryptoProvider;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Versions that may be agreed. Default: TLS 1.3 alone. */
  readonly versions?: readonly ProtocolVersion[];
  /** For TLS 1.3, in order of preference. Default: all. */
  readonly cipherSuites?: readonly CipherSuiteName[];
  /**
   * For TLS 1.2, in order of preference. Default: all with ECDHE. To name a DHE suite is to ask for finite field
   * Diffie-Hellman, for peers that know no curves.
   */
  readonly cipherSuites12?: readonly CipherSuite12Name[];
  /**
   * TLS 1.2: the groups of RFC 7919 for DHE suites, in order of preference; without such a suite it says nothing. Default:
   * ffdhe2048 and ffdhe3072. A client refuses all other groups. Where a key exchange over a curve takes 0.2 ms, one over
   * ffdhe2048 takes 3, over ffdhe3072 9, over ffdhe4096 20, and over ffdhe8192 150: whoever lets clients choose the larger
   * ones lets them stop the server for next to nothing.
   */
  readonly ffdheGroups12?: readonly FfdheGroup[];
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
  /** How our chain may be compressed for a peer that takes it (RFC 8879), best first. Default: all the provider can do. */
  readonly compressCertificates?: readonly CertificateCompression[];
  /**
   * How a peer may compress its chain, in TLS 1.3. Default: not at all, as it is unfolded before anybody is authenticated.
   */
  readonly acceptCompressedCertificates?: readonly CertificateCompression[];
  /** Records one traffic key may protect; lowers the suite's own limit. */
  readonly usageLimit?: number;
  /** Default: at the usage limit only. */
  readonly keyRenewal?: KeyRenewal;
  /** Memory for outgoing records; a host may hand out a reused buffer. Default: a fresh allocation each time. */
  readonly allocate?: (length: number) => Uint8Array;
}

export interface ClientOptions extends CommonOptions {
  /** A DNS name to send as SNI and to verify; IP addresses are verified but not sent. Empty for none. */
  readonly serverName: string;
  readonly alpnProtocols?: readonly string[];
  /**
   * Certificates for servers that ask for one. Of those that can sign in a way the server accepts, the first under an
   * authority that the server names is sent, else the first.
   */
  readonly credentials?: readonly Credential[];
  /**
   * How the server may sign, best first. PKCS #1 v1.5 does so in TLS 1.2 alone. It says nothing of how certificates are
   * signed. Default: all.
   */
  readonly acceptedSchemes?: readonly SignatureScheme[];
  /** Ask for a stapled OCSP response (RFC 6066 §8): it comes with the `verifyCertificate` need, and the host judges it (`verifyCertificateChain`). */
  readonly statusRequest?: boolean;
  /** Ask for signed certificate timestamps (RFC 6962): they come with the `verifyCertificate` need. */
  readonly signedCertificateTimestamp?: boolean;
  /** TLS 1.3: DER names of the authorities we trust, for servers that have a choice of certificates. */
  readonly certificateAuthorities?: readonly Uint8Array[];
  /** Groups to send shares for in the first flight. Default: the first group, plus x25519 when that is a hybrid. */
  readonly keyShares?: readonly NamedGroup[];
  /** A session to offer. The connection does not erase it: the host does, once used. */
  readonly session?: ClientSession;
  /**
   * TLS 1.3: external PSKs to offer, best first, behind the session. Lent: the host erases them, at the earliest when the
   * connection was made. A server that knows none of them may show a certificate, unless `externalPskRequired`.
   */
  readonly externalPsks?: readonly ExternalPsk[];
  /** The handshake fails unless the server has one of `externalPsks`, or resumes a session that began with one. */
  readonly externalPskRequired?: boolean;
  /**
   * Also offers psk_ke: the server may then go without a key exchange, and the connection is not forward secret. Whoever
   * later learns the PSK reads the recording. Default false. A `warning` action tells when it happened.
   */
  readonly dangerouslyAllowPskKe?: boolean;
  /**
   * The session's leave for early data is used, if it has one: `sendEarlyData` then works from `start` on. Early data is not
   * forward secret and can be replayed. Default false.
   */
  readonly earlyData?: boolean;
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
  /**
   * Encrypted Client Hello (RFC 9849), TLS 1.3 alone: the ECHConfigList that the server publishes, so that `serverName` and
   * the rest of the hello are encrypted. Where the server does not decrypt it, the handshake ends with
   * `TLS_ERR_ECH_REJECTED` after an `echRejected` action. No early data goes with it. 'grease' sends an extension that looks
   * like it. Default: neither.
   */
  readonly encryptedClientHello?: Uint8Array | 'grease';
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
