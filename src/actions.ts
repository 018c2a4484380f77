/**
 * What the core tells its host to do: the only outputs of a connection. The core has no sockets, timers, clocks or
 * randomness of its own.
 */

import type { AlertDescription } from './alerts.ts';
import type { Credential, ProtocolVersion, ServerContext } from './connection-options.ts';
import type { FfdheGroup } from './crypto/dhe-groups.ts';
import type { NamedGroup } from './crypto/groups.ts';
import type { CertificateCompression, PublicKey } from './crypto/provider.ts';
import type { SignatureScheme } from './crypto/signatures.ts';
import type { CipherSuiteName } from './crypto/suites.ts';
import type { CipherSuite12Name } from './crypto/suites12.ts';
import type { TLSError } from './errors.ts';
import type { ClientSession } from './session/client-session.ts';
import type { ExternalPskName, ExternalPskQuery, FoundPsk } from './session/external-psk.ts';
import type { TicketClaim } from './session/single-use-register.ts';

export type Action =
  /** Write these bytes to the transport, in the order of the actions. Also when a `failed` follows: the alert leaves. */
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  /** Decrypted application data, of one record or of several: a fresh allocation that the host may keep and hand on. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  /**
   * Server: decrypted early data. It is not forward secret, and it may be a recording that somebody else sends again: until
   * `handshakeComplete` only what does no harm twice should be done for it (docs/early-data.md).
   */
  | { readonly kind: 'earlyData'; readonly bytes: Uint8Array }
  /**
   * Server: early data will come, as `earlyData`, and may be answered with `send` at once. The summary is what the handshake
   * will lead to, if the client is there at all.
   */
  | { readonly kind: 'earlyDataAccepted'; readonly summary: HandshakeSummary }
  /** Client: the server did not take our early data; these bytes are all of it. Sending them again is the host's choice. */
  | { readonly kind: 'earlyDataRejected'; readonly bytes: Uint8Array }
  /** The handshake waits for an answer: call `resume(need, value)`. */
  | { readonly kind: 'need'; readonly need: Need }
  /** Application data may flow. Exactly once per connection. */
  | { readonly kind: 'handshakeComplete'; readonly summary: HandshakeSummary }
  /** Client: a ticket arrived; the host owns the session and erases its secret. */
  | { readonly kind: 'session'; readonly session: ClientSession }
  /**
   * Client, TLS 1.2: a fatal alert, sent or received under the session's keys, ends the session that this connection made or
   * resumed. The host forgets it, and all copies (RFC 5246 §7.2.2). Before `failed`.
   */
  | { readonly kind: 'sessionEnded' }
  /** A line for SSLKEYLOGFILE (RFC 9850) without line end; only when the key log was asked for. */
  | { readonly kind: 'keyLog'; readonly line: Uint8Array }
  /** The peer renewed its traffic keys, or we did ours. */
  | { readonly kind: 'keyUpdate'; readonly direction: 'read' | 'write'; readonly generation: number }
  /** TLS 1.3: the client answered our request for a certificate; the chain is empty when it has none. */
  | { readonly kind: 'clientAuthenticated'; readonly summary: HandshakeSummary }
  /** TLS 1.2: a renegotiation is complete: fresh keys, and perhaps a client certificate. */
  | { readonly kind: 'renegotiated'; readonly summary: HandshakeSummary }
  /** TLS 1.2: the peer declined our renegotiation; the connection goes on as it was. */
  | { readonly kind: 'renegotiationDeclined' }
  /**
   * Something that the policy allows is weaker than it could be; before `handshakeComplete`. 'psk_ke': there was no key
   * exchange, so the connection's data is not forward secret.
   */
  | { readonly kind: 'warning'; readonly warning: HandshakeWarning }
  /**
   * Client: the server did not decrypt our hello, and has proved to be who speaks for it. With `retryConfigs` (an
   * ECHConfigList) it can be tried once more; without, it asks to be reached in the clear. `failed` follows.
   */
  | { readonly kind: 'echRejected'; readonly retryConfigs: Uint8Array | undefined }
  /** close_notify arrived: no more data will come; our side may still send (half-close). */
  | { readonly kind: 'peerClosed' }
  /** The connection is over; its secrets are erased. Last action ever. */
  | { readonly kind: 'failed'; readonly error: TLSError };

/** 'psk_ke': data is not forward secret, as there was no key exchange. */
export type HandshakeWarning = 'psk_ke';

/** A question to the host. Each is answered once, with `resume(need, answer)`. */
export type Need =
  /** Server: which certificate (and context) serves this client? Answer: `ServerContext`, or undefined to refuse. */
  | { readonly kind: 'context'; readonly clientHello: ClientHelloInfo }
  /** Sign for the handshake with this credential's key, which lives elsewhere or is slow. Answer: `Uint8Array`. */
  | {
      readonly kind: 'sign';
      readonly scheme: SignatureScheme;
      readonly data: Uint8Array;
      readonly credential: Credential;
    }
  /**
   * Client: is this chain (DER, leaf first, never empty) good for this name? Answer: the leaf's public key for yes, or a
   * `TLSError`. The signature over the handshake is then checked by the core, always: also when a host accepts any
   * chain it must hand over the leaf's key.
   */
  | {
      readonly kind: 'verifyCertificate';
      readonly chain: readonly Uint8Array[];
      readonly serverName: string;
      /** Client: what the server stapled for the leaf, DER; the host judges it. Absent: nothing, or nothing was asked for. */
      readonly ocspResponse?: Uint8Array;
      /** Client: SerializedSCTs, where they were asked for and came by TLS. */
      readonly signedCertificateTimestamps?: readonly Uint8Array[];
    }
  /** Server: what to staple for a client that asks. Answer: an OCSPResponse for the leaf, DER, or undefined for none. */
  | { readonly kind: 'certificateStatus'; readonly certificateChain: readonly Uint8Array[] }
  /** Server: whose PSK is this? Answer: `FoundPsk`, or undefined for nobody's. */
  | { readonly kind: 'externalPsk'; readonly query: ExternalPskQuery }
  /**
   * Server: was this ticket (by its ID, see `ticketId`) used before? From now on it was: looking and entering must be one
   * step. It may be forgotten at `expiresAt`, milliseconds since the epoch. Answer: `TicketClaim`, 'full' where nobody knows.
   */
  | { readonly kind: 'claimTicket'; readonly ticketId: Uint8Array; readonly expiresAt: number };

/** The type of the answer to each need. */
export interface Answers {
  readonly context: ServerContext | undefined;
  readonly sign: Uint8Array;
  readonly verifyCertificate: PublicKey | TLSError;
  readonly certificateStatus: Uint8Array | undefined;
  readonly externalPsk: FoundPsk | undefined;
  readonly claimTicket: TicketClaim;
}

/** What a server learns of a client before it chooses. */
export interface ClientHelloInfo {
  /** Empty when none was sent. */
  readonly serverName: string;
  readonly alpnProtocols: readonly string[];
  readonly signatureSchemes: readonly SignatureScheme[];
  /** For signatures within the chain; absent: as `signatureSchemes`. */
  readonly certificateSignatureSchemes?: readonly SignatureScheme[];
  /** TLS 1.3: DER names of authorities that the client trusts; absent when it does not say. */
  readonly certificateAuthorities?: readonly Uint8Array[];
  /** TLS 1.2: the ID of the session that the client offers, where it offers no ticket; absent or empty for none. */
  readonly sessionId?: Uint8Array;
}

/** Why an offered session was not resumed. */
export type ResumptionRefusal =
  | 'unknown_key'
  | 'bad_ticket'
  | 'expired_ticket'
  | 'expired_handshake'
  | 'policy_changed'
  /** The client's certificate, which the session holds, is not trusted any more. */
  | 'client_untrusted'
  | 'suite_changed'
  /** A session of TLS 1.2 never resumes as TLS 1.3, nor the other way round. */
  | 'version_changed'
  /** TLS 1.2: the session was made without extended master secret (RFC 7627 §5.3). */
  | 'legacy_master_secret'
  | 'no_psk_dhe_ke'
  /** The session began with an external PSK that is known no more, or has changed. */
  | 'unknown_psk'
  /** A ticket that resumes once was used before. */
  | 'used_ticket'
  /** The register of used tickets has no room, or could not be asked. */
  | 'register_full'
  | 'disabled'
  /** Client side: the server chose a full handshake and does not say why. */
  | 'by_peer';

/** Why a server did not take early data that was offered. */
export type EarlyDataRefusal =
  /** The policy does not take any, or the ticket was given out without leave. */
  | 'disabled'
  /** No session resumes. */
  | 'not_resumed'
  /** Another PSK than the first was chosen. */
  | 'not_first_identity'
  /** Without key exchange. */
  | 'no_psk_dhe_ke'
  | 'suite_changed'
  /** The hello took too long to come, or too short: it may be a recording. */
  | 'age_mismatch'
  /** The ticket was made before the register began to record. */
  | 'issued_before_register'
  /** The ticket was used before: this is a replay, or a client that uses tickets twice. */
  | 'used_ticket'
  /** The register has no room, or could not be asked. */
  | 'register_full'
  | 'hello_retried';

/** The agreed parameters and what was measured, once a handshake is complete. */
export interface HandshakeSummary {
  readonly role: 'client' | 'server';
  readonly version: ProtocolVersion;
  readonly cipherSuite: CipherSuiteName | CipherSuite12Name;
  /** Undefined where no key exchange took place: TLS 1.2, resumed, and psk_ke. */
  readonly namedGroup: NamedGroup | FfdheGroup | undefined;
  /** The scheme of the server's CertificateVerify; undefined when resumed. */
  readonly signatureScheme: SignatureScheme | undefined;
  readonly serverName: string;
  readonly alpnProtocol: string;
  readonly resumed: boolean;
  /** How the session was named: in TLS 1.2 by ticket or by session ID, in TLS 1.3 by ticket. */
  readonly resumedBy?: 'ticket' | 'id';
  /** TLS 1.2: the master secret is bound to its handshake (RFC 7627). Always so in TLS 1.3. */
  readonly extendedMasterSecret: boolean;
  /** A session was offered but not taken. */
  readonly refusal: ResumptionRefusal | undefined;
  readonly helloRetried: boolean;
  /** Client: the server decrypted our ClientHello (RFC 9849). */
  readonly encryptedClientHello?: boolean;
  /** With a PSK, of a ticket or external: 'psk_ke' is not forward secret. */
  readonly pskMode: 'psk_dhe_ke' | 'psk_ke' | undefined;
  /**
   * What authenticated the server, and with 'externalPsk' the client too; when resumed: in the full handshake that began the
   * session. Absent is 'certificate'.
   */
  readonly authenticatedBy?: 'certificate' | 'externalPsk';
  /** Which PSK it was, when `authenticatedBy` is 'externalPsk'. */
  readonly externalPsk?: ExternalPskName;
  /** Early data was offered, and what became of it; absent when it was not. */
  readonly earlyData?: 'taken' | 'refused';
  /** Server: why early data was refused. */
  readonly earlyDataRefusal?: EarlyDataRefusal;
  /** Milliseconds since the epoch: the end of the full handshake that authenticated this chain of resumptions. */
  readonly authenticatedAt: number;
  /** The server's chain, DER, leaf first; from the session when resumed. Empty at a server without client certificates. */
  readonly peerCertificates: readonly Uint8Array[];
  /** Client: our chain, sent because the server asked for it; empty where it asked and none would do. Absent: not asked. */
  readonly ownCertificates?: readonly Uint8Array[];
  /** Client: the OCSP response that was stapled in this handshake. */
  readonly ocspResponse?: Uint8Array;
  /** Client: the SerializedSCTs that came by TLS in this handshake. */
  readonly signedCertificateTimestamps?: readonly Uint8Array[];
  /** How the server's chain came compressed in this handshake. */
  readonly certificateCompression?: CertificateCompression;
  /** Client: what was offered, for those who tell the story. */
  readonly offered?: {
    readonly versions: readonly ProtocolVersion[];
    readonly cipherSuites: readonly (CipherSuiteName | CipherSuite12Name)[];
    readonly namedGroups: readonly (NamedGroup | FfdheGroup)[];
    readonly keyShares: readonly NamedGroup[];
    readonly alpnProtocols: readonly string[];
  };
}

/** The alert a host may send when it gives up for a reason of its own. */
export type HostAlert = Extract<AlertDescription, 'user_canceled' | 'internal_error' | 'access_denied'>;
