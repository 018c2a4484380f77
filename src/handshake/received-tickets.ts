/** Turns the tickets that a client receives into sessions. RFC 9846 §4.7.1. */

import type { HandshakeSummary } from '../actions.ts';
import type { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { resumptionPsk } from '../keys/ladder.ts';
import { decodeNewSessionTicket } from '../messages/new-session-ticket.ts';
import type { ClientSession } from '../session/client-session.ts';

/** Tickets with no application data between them: a server could fill our session cache, and costs us an HMAC each. */
const MAX_TICKETS_IN_A_ROW = 32;
/** Seconds; RFC 9846 §4.7.1. */
const MAX_TICKET_LIFETIME = 604_800;
/** Bytes. A longer ticket might not fit a ClientHello that servers accept, and would make the next handshake fail. */
const MAX_TICKET_LENGTH = 2 ** 14;

export class ReceivedTickets {
  readonly #provider: CryptoProvider;
  readonly #suite: CipherSuite;
  readonly #resumptionSecret: Secret | undefined;
  readonly #summary: HandshakeSummary;
  readonly #now: () => number;
  readonly #externalPskFingerprint: Uint8Array | undefined;
  #inARow = 0;

  /** Takes `resumptionSecret` over; without one, tickets are checked and thrown away. */
  constructor(options: {
    readonly provider: CryptoProvider;
    readonly suite: CipherSuite;
    readonly resumptionSecret: Secret | undefined;
    readonly summary: HandshakeSummary;
    readonly now: () => number;
    /** Of the external PSK that began the session. */
    readonly externalPskFingerprint?: Uint8Array | undefined;
  }) {
    this.#provider = options.provider;
    this.#suite = options.suite;
    this.#resumptionSecret = options.resumptionSecret;
    this.#summary = options.summary;
    this.#now = options.now;
    this.#externalPskFingerprint = options.externalPskFingerprint;
  }

  /** The session of a NewSessionTicket, or undefined for one that is thrown away at once (as one with lifetime 0 must). */
  read(body: Uint8Array): ClientSession | undefined {
    this.#inARow += 1;
    if (this.#inARow > MAX_TICKETS_IN_A_ROW) {
      throw new TLSError(
        'TLS_ERR_TOO_MANY_TICKETS',
        `the server sent more than ${MAX_TICKETS_IN_A_ROW} tickets in a row`,
      );
    }
    const message = decodeNewSessionTicket(body);
    if (message.ticketLifetime > MAX_TICKET_LIFETIME) {
      throw new TLSError(
        'TLS_ERR_ILLEGAL_PARAMETER',
        `a ticket's lifetime of ${message.ticketLifetime} s exceeds 7 days`,
      );
    }
    const isUseless = message.ticketLifetime === 0 || message.ticket.length > MAX_TICKET_LENGTH;
    if (isUseless || this.#resumptionSecret === undefined) {
      return undefined;
    }
    return {
      version: 'TLSv1.3',
      cipherSuite: this.#suite.name,
      ticket: message.ticket,
      secret: resumptionPsk(this.#provider, this.#suite, this.#resumptionSecret, message.ticketNonce),
      receivedAt: this.#now(),
      ticketLifetime: message.ticketLifetime,
      ticketAgeAdd: message.ticketAgeAdd,
      maxEarlyDataSize: message.maxEarlyDataSize ?? 0,
      externalPskFingerprint: this.#externalPskFingerprint,
      authenticatedAt: this.#summary.authenticatedAt,
      serverName: this.#summary.serverName,
      alpnProtocol: this.#summary.alpnProtocol,
      peerCertificates: this.#summary.peerCertificates,
    };
  }

  noteData(): void {
    this.#inARow = 0;
  }

  erase(why: string): void {
    this.#resumptionSecret?.erase(why);
  }
}
