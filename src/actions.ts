/**
 * What the core tells its host to do: the only outputs of a connection. The core has no sockets, timers, clocks or
 * randomness of its own.
 */

import type { AlertDescription } from './alerts.ts';
import type { ProtocolVersion, ServerContext } from './connection-options.ts';
import type { NamedGroup } from './crypto/groups.ts';
import type { PublicKey } from './crypto/provider.ts';
import type { SignatureScheme } from './crypto/signatures.ts';
import type { CipherSuiteName } from './crypto/suites.ts';
import type { CipherSuite12Name } from './crypto/suites12.ts';
import type { TLSError } from './errors.ts';
import type { ClientSession } from './session/client-session.ts';

export type Action =
  /** Write these bytes to the transport, in the order of the actions. Also when a `failed` follows: the alert leaves. */
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  /** Decrypted application data: a fresh allocation that the host may keep and hand on. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  /** The handshake waits for an answer: call `resume(need, value)`. */
  | { readonly kind: 'need'; readonly need: Need }
  /** Application data may flow. Exactly once per connection. */
  | { readonly kind: 'handshakeComplete'; readonly summary: HandshakeSummary }
  /** Client: a ticket arrived; the host owns the session and erases its secret. */
  | { readonly kind: 'session'; readonly session: ClientSession }
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
  /** close_notify arrived: no more data will come; our side may still send (half-close). */
  | { readonly kind: 'peerClosed' }
  /** The connection is over; its secrets are erased. Last action ever. */
  | { readonly kind: 'failed'; readonly error: TLSError };

/** A question to the host. Each is answered once, with `resume(need, answer)`. */
export type Need =
  /** Server: which certificate (and context) serves this client? Answer: `ServerContext`, or undefined to refuse. */
  | { readonly kind: 'context'; readonly clientHello: ClientHelloInfo }
  /** Sign for CertificateVerify with the credential's key, which lives elsewhere. Answer: `Uint8Array`. */
  | { readonly kind: 'sign'; readonly scheme: SignatureScheme; readonly data: Uint8Array }
  /**
   * Client: is this chain (DER, leaf first, never empty) good for this name? Answer: the leaf's public key for yes, or a
   * `TLSError`. The signature over the handshake is then checked by the core, always: also when a host accepts any
   * chain it must hand over the leaf's key.
   */
  | { readonly kind: 'verifyCertificate'; readonly chain: readonly Uint8Array[]; readonly serverName: string };

/** The type of the answer to each need. */
export interface Answers {
  readonly context: ServerContext | undefined;
  readonly sign: Uint8Array;
  readonly verifyCertificate: PublicKey | TLSError;
}

/** What a server learns of a client before it chooses. */
export interface ClientHelloInfo {
  /** Empty when none was sent. */
  readonly serverName: string;
  readonly alpnProtocols: readonly string[];
  readonly signatureSchemes: readonly SignatureScheme[];
  /** TLS 1.2: the ID of the session that the client offers, where it offers no ticket; absent or empty for none. */
  readonly sessionId?: Uint8Array;
}

/** Why an offered session was not resumed. */
export type ResumptionRefusal =
  | 'unknown_key'
  | 'bad_ticket'
  | 'expired_ticket'
  | 'expired_handshake'
  | 'age_mismatch'
  | 'policy_changed'
  | 'suite_changed'
  /** A session of TLS 1.2 never resumes as TLS 1.3, nor the other way round. */
  | 'version_changed'
  /** TLS 1.2: the session was made without extended master secret (RFC 7627 §5.3). */
  | 'legacy_master_secret'
  | 'no_psk_dhe_ke'
  | 'disabled'
  /** Client side: the server chose a full handshake and does not say why. */
  | 'by_peer';

/** The agreed parameters and what was measured, once a handshake is complete. */
export interface HandshakeSummary {
  readonly role: 'client' | 'server';
  readonly version: ProtocolVersion;
  readonly cipherSuite: CipherSuiteName | CipherSuite12Name;
  /** Undefined where no key exchange took place: TLS 1.2, resumed. */
  readonly namedGroup: NamedGroup | undefined;
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
  readonly pskMode: 'psk_dhe_ke' | undefined;
  /** Milliseconds since the epoch: the end of the full handshake that authenticated this chain of resumptions. */
  readonly authenticatedAt: number;
  /** The server's chain, DER, leaf first; from the session when resumed. Empty at a server without client certificates. */
  readonly peerCertificates: readonly Uint8Array[];
  /** Client: what was offered, for those who tell the story. */
  readonly offered?: {
    readonly versions: readonly ProtocolVersion[];
    readonly cipherSuites: readonly (CipherSuiteName | CipherSuite12Name)[];
    readonly namedGroups: readonly NamedGroup[];
    readonly keyShares: readonly NamedGroup[];
    readonly alpnProtocols: readonly string[];
  };
}

/** The alert a host may send when it gives up for a reason of its own. */
export type HostAlert = Extract<AlertDescription, 'user_canceled' | 'internal_error' | 'access_denied'>;
