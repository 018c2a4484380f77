/** What a server remembers of a connection so that it can be resumed: the content of a ticket. */

import type { Secret } from '../bytes/secret.ts';
import type { CipherSuiteName } from '../crypto/suites.ts';

export interface SessionState {
  readonly version: 'TLSv1.3';
  readonly cipherSuite: CipherSuiteName;
  /** The PSK of this one ticket (RFC 9846 §4.7.1); as long as the suite's hash. */
  readonly secret: Secret;
  /** When the ticket was made; milliseconds since the epoch. */
  readonly issuedAt: number;
  /** When the full handshake at the head of the chain of resumptions ended; milliseconds since the epoch. */
  readonly authenticatedAt: number;
  /** Seconds. */
  readonly ticketLifetime: number;
  /** Added to the ticket's age by the client, modulo 2^32. */
  readonly ticketAgeAdd: number;
  /** Empty when the client sent no server_name. */
  readonly serverName: string;
  /** Empty when no application protocol was agreed. */
  readonly alpnProtocol: string;
  /** 32 bytes: what the session must not outlive a change of (see `policyHash`). */
  readonly policyHash: Uint8Array;
}
