/** What a handshake needs from the connection that runs it. */

import type { Action, HandshakeSummary, Need } from '../actions.ts';
import type { ServerContext } from '../connection-options.ts';
import type { Exporter } from '../keys/exporter.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import type { ReceivedTickets } from './received-tickets.ts';
import type { RecordChannel } from './record-channel.ts';
import type { Transcript } from './transcript.ts';

export interface HandshakeHost {
  readonly channel: RecordChannel;
  /** Our side is open: nothing may follow our close_notify. */
  readonly canSend: boolean;
  emit(action: Action): void;
  /** Raises a need: the handshake goes on with its answer. */
  ask(need: Need): void;
  /** TLS 1.2: begins a handshake on the running connection, at a server with the client's hello. */
  renegotiate(previous: PreviousHandshake, hello?: JoinedMessage): void;
  /** TLS 1.3: the client has authenticated itself after the handshake; no certificate is an answer too. */
  authenticated(peerCertificates: readonly Uint8Array[]): void;
  /** Application data may flow: the handshake ends here and its secrets pass to the connection. */
  completed(result: CompletedHandshake): void;
}

export interface CompletedHandshake {
  readonly summary: HandshakeSummary;
  readonly exporter: Exporter;
  /** For the key log. */
  readonly clientRandom: Uint8Array;
  /** Client: what reads the tickets to come. */
  readonly tickets?: ReceivedTickets;
  /** TLS 1.3: up to the client's Finished, for authentication after the handshake; absent where the client offers none. */
  readonly transcript?: Transcript;
  /** TLS 1.2: what a renegotiation has to be bound to. */
  readonly previous?: PreviousHandshake;
}

/** The end of a TLS 1.2 handshake, for the next one on the same connection (RFC 5746). */
export interface PreviousHandshake {
  readonly clientVerifyData: Uint8Array;
  readonly serverVerifyData: Uint8Array;
  /** The peer signalled secure renegotiation. */
  readonly secure: boolean;
  /** What was agreed: a renegotiation must not make another connection of it. */
  readonly summary: HandshakeSummary;
  /** The peer's chain, whose leaf must not change under a running connection. */
  readonly peerCertificates: readonly Uint8Array[];
  /** At a server. */
  readonly context?: ServerContext;
}

/** A connection after its handshake, whatever the version. */
export interface Established {
  noteReceivedData(): void;
  noteSentData(): void;
  /** Does what the peer asked for. Called when everything received was read. */
  answer(): void;
  /** Renews our write keys, and asks the peer to renew its own. */
  update(requestPeer: boolean): void;
  /** Records that may be written before the write key has to be renewed. */
  readonly writable: number;
  erase(why: string): void;
}
