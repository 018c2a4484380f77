/** What a client remembers so that it can resume: one ticket, used once. */

import type { Secret } from '../bytes/secret.ts';
import type { CipherSuiteName } from '../crypto/suites.ts';

export interface ClientSession {
  readonly version: 'TLSv1.3';
  readonly cipherSuite: CipherSuiteName;
  /** Opaque to the client. */
  readonly ticket: Uint8Array;
  /** The PSK that goes with the ticket (RFC 9846 §4.7.1). */
  readonly secret: Secret;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
  /** Seconds, at most 604800 (RFC 9846 §4.7.1). */
  readonly ticketLifetime: number;
  readonly ticketAgeAdd: number;
  /** When the full handshake at the head of the chain of resumptions ended; milliseconds since the epoch. */
  readonly authenticatedAt: number;
  /** Empty when none was sent. */
  readonly serverName: string;
  /** Empty when none was agreed. */
  readonly alpnProtocol: string;
  /** The server's certificate chain as it was verified, DER, leaf first: a resumption has none of its own. */
  readonly peerCertificates: readonly Uint8Array[];
}
