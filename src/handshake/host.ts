/** What a handshake needs from the connection that runs it. */

import type { Action, HandshakeSummary, Need } from '../actions.ts';
import type { ServerContext } from '../connection-options.ts';
import { TLSError } from '../errors.ts';
import type { Exporter } from '../keys/exporter.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import type { HandshakeChannel } from './channel.ts';
import type { ReceivedTickets } from './received-tickets.ts';
import { RecordChannel } from './record-channel.ts';
import type { Transcript } from './transcript.ts';

export interface HandshakeHost {
  readonly channel: HandshakeChannel;
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

/** With a record layer: all of TLS 1.2, and in TLS 1.3 over TCP what comes after the handshake, cannot do without. */
export interface RecordHost extends HandshakeHost {
  readonly channel: RecordChannel;
}

/** Holds where a record layer is certain: QUIC takes other ways before. */
export function withRecords(host: HandshakeHost): RecordHost {
  if (!(host.channel instanceof RecordChannel)) {
    throw new TLSError('TLS_ERR_INTERNAL', 'a step that needs a record layer was taken over QUIC');
  }
  return host as RecordHost;
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
  /** TLS 1.3; in TLS 1.2 they stand in `previous`. */
  readonly verifyData?: VerifyData;
  /** TLS 1.2: what a renegotiation has to be bound to. */
  readonly previous?: PreviousHandshake;
}

/** What the Finished messages said: no secrets, but known to these two peers alone. */
export interface VerifyData {
  readonly clientVerifyData: Uint8Array;
  readonly serverVerifyData: Uint8Array;
}

/** The end of a TLS 1.2 handshake, for the next one on the same connection (RFC 5746). */
export interface PreviousHandshake extends VerifyData {
  /** The peer signalled secure renegotiation. */
  readonly secure: boolean;
  /** What was agreed: a renegotiation must not make another connection of it. */
  readonly summary: HandshakeSummary;
  /** The peer's chain, whose leaf must not change under a running connection. */
  readonly peerCertificates: readonly Uint8Array[];
  /** At a server. */
  readonly context?: ServerContext;
  /** At a server: under which the session is remembered, if it is; empty for none. */
  readonly sessionId?: Uint8Array;
}

/** A connection after its handshake, whatever the version. */
export interface Established {
  /** Bytes of application data. */
  noteReceivedData(bytes: number): void;
  /** Bytes of application data. */
  noteSentData(bytes: number): void;
  /** Does what the peer asked for. Called when everything received was read. */
  answer(): void;
  /** Renews our write keys, and asks the peer to renew its own. */
  update(requestPeer: boolean): void;
  /** Records that may be written before the write key has to be renewed. */
  readonly writable: number;
  erase(why: string): void;
}
