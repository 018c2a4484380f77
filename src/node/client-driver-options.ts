/** What a client's socket is told about whom to trust, which name to ask for and which session to offer. */

import type { PeerCertificate } from '../certificates/peer-certificate.ts';
import type { KeyRenewal } from '../connection-options.ts';
import type { ClientSessions } from './client-sessions.ts';
import type { PskOptions } from './external-psks.ts';
import type { SecureContext, SecureContextOptions } from './secure-context.ts';
import type { TLSSocket } from './tls-socket.ts';

export type CheckServerIdentity = (hostname: string, certificate: PeerCertificate) => Error | undefined;

export interface ClientDriverOptions extends SecureContextOptions, PskOptions {
  readonly host?: string;
  readonly port?: number;
  /** A pipe or Unix domain socket instead of host and port. */
  readonly path?: string;
  readonly secureContext?: SecureContext;
  /** The name to send and to verify. Default: `host`, where that is a name. */
  readonly servername?: string;
  /** False: any certificate is taken; what is wrong with it is told by `authorizationError`. Default true. */
  readonly rejectUnauthorized?: boolean;
  /** Takes the place of the check of names; the chain is checked in any case. */
  readonly checkServerIdentity?: CheckServerIdentity;
  readonly ALPNProtocols?: readonly string[] | Uint8Array;
  /** What `getSession()` or a 'session' event gave. */
  readonly session?: Uint8Array | null;
  /** Ours: sessions are taken from here and new ones are kept here. */
  readonly sessionCache?: ClientSessions;
  /**
   * TLS 1.2: also servers without extended master secret (RFC 7627). A man in the middle can tie their sessions to his own
   * (the triple handshake), so `exportKeyingMaterial` is refused there. Default false.
   */
  readonly allowLegacyMasterSecret?: boolean;
  /** TLS 1.2: renegotiations that the server may ask for within ten minutes; 0 declines all. Default 3. */
  readonly serverRenegotiations?: number;
  /**
   * As in `node:tls`, for suites with DHE that `ciphers` names: bits of the prime, up to 8192. Only groups of RFC 7919 are
   * taken, of which none is below 2048; a number above 3072 has one of the larger ones offered. Default 2048.
   */
  readonly minDHSize?: number;
  /** Milliseconds; 0 for never. Default 0, as in `node:tls`. */
  readonly handshakeTimeout?: number;
  /** Ours: when the connection renews its keys before the usage limit. Default after 1 h in TLS 1.3; false for never. */
  readonly keyRenewal?: KeyRenewal | false;
  /**
   * A connection that ends without close_notify ends as usual, or where the function says so. Default false: it fails,
   * since data may be missing; but not when we have ended both directions before, and heard nothing since.
   */
  readonly allowTruncation?: boolean | ((socket: TLSSocket) => boolean);
  /**
   * As in `node:tls`: asks for a stapled OCSP response, which comes as 'OCSPResponse' (null for none) and is not judged: see
   * `stapling` for that. Default false.
   */
  readonly requestOCSP?: boolean;
  /**
   * Ours: asks for a stapled OCSP response and judges it. 'check': one that comes must be the issuer's, fresh, and say that
   * the certificate is good, and one must come where the certificate says so itself (RFC 7633). 'require': one must come.
   * Sessions count as what they were made under: one from the cache was made under this option; one given as `session` does
   * not resume where a staple must come. Default: none is asked for, and a certificate that demands it by a critical extension
   * is refused.
   */
  readonly stapling?: 'check' | 'require';
  /** Ours: asks for certificate timestamps by TLS; see `signedCertificateTimestamps` of the socket. Default false. */
  readonly requestSCTs?: boolean;
  /** Ours, TLS 1.3: tells the server the names of `ca`, so that it can choose among its certificates. Default false. */
  readonly announceAuthorities?: boolean;
  /**
   * Ours, with `sessionCache`: while a first handshake with the same server is under way, wait for its tickets, at most a
   * second, and resume. Default false; agents do it.
   */
  readonly shareHandshakes?: boolean;
  /**
   * Ours, TLS 1.3 alone: Encrypted Client Hello (RFC 9849). The server's ECHConfigList, as its DNS record has it; or 'grease'
   * for an extension that only looks like it. A server that does not decrypt the hello ends the connection with
   * `TLS_ERR_ECH_REJECTED`, and 'echRejected' tells what to try instead. Default: neither.
   */
  readonly encryptedClientHello?: Uint8Array | 'grease';
  /** Ours: tickets to ask for (RFC 9149). */
  readonly requestTickets?: { readonly newSession: number; readonly resumption: number };
  /**
   * Ours: sent with the first flight where the session allows it (0-RTT, TLS 1.3). It is not forward secret, and whoever
   * records it can send it again. What the server did not take comes back with 'earlyDataRejected', before 'secureConnect'.
   */
  readonly earlyData?: Uint8Array;
  /** Ours: whether what was written before the handshake goes out as early data; else, or where refused, after it. */
  readonly earlyWrites?: (socket: TLSSocket) => boolean;
}
