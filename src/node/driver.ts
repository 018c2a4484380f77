/** What a TLSSocket asks of its side of the handshake: one driver serves all sockets of a server, or of one connect. */

import type { HandshakeSummary, HandshakeWarning, Need } from '../actions.ts';
import type { ParsedCertificate } from '../certificates/certificate.ts';
import type { Connection } from '../connection.ts';
import type { ClientAuthenticationPolicy, KeyRenewal, ServerContext } from '../connection-options.ts';
import type { TLSError } from '../errors.ts';
import type { ClientSession } from '../session/client-session.ts';
import type { ConnectTarget } from './hang-up.ts';
import type { SecureContext, SecureContextOptions } from './secure-context.ts';
import type { TLSSocket } from './tls-socket.ts';
import type { CaOption } from './trust.ts';

export interface LateRequestOptions {
  /** Ask the client for a certificate. Default: as it was asked before. */
  readonly requestCert?: boolean;
  /** End the connection of a client without a certificate that is trusted. Default: as before, or else as the server's. */
  readonly rejectUnauthorized?: boolean;
  /** Ours: whom to trust for it. Default: as before, or else as the server's. */
  readonly ca?: CaOption;
}

export interface LateRequest {
  /** Server: what a renegotiation runs under. */
  readonly context?: ServerContext;
  /** Server: how the client is asked; undefined when it is not. */
  readonly policy?: ClientAuthenticationPolicy;
  /** To be called once the peer has been asked. */
  made(): void;
}

export type EarlyDelivery = 'stream' | 'events' | 'held';

export interface Driver {
  readonly role: 'client' | 'server';
  /** Milliseconds until an unfinished handshake is given up; 0 for never. */
  readonly handshakeTimeout: number;
  /** When connections renew their keys before the usage limit; undefined: never. */
  readonly keyRenewal: KeyRenewal | undefined;
  /** Of a client: for errors that say so. */
  readonly target?: ConnectTarget;
  /** A transport that ends without close_notify is an ordinary end. */
  allowsTruncation(socket: TLSSocket): boolean;
  /** @throws TLSError */
  setKeyCert(socket: TLSSocket, context: SecureContext | SecureContextOptions): void;
  /** Client: true where the handshake should wait for that of another connection: `go` is called when to ask again. */
  waits?(go: () => void): boolean;
  /** @throws TLSError */
  createConnection(socket: TLSSocket): Connection;
  /** Answers with `socket.answer(need, answer)`, now or later. */
  answer(socket: TLSSocket, need: Need): void;
  /**
   * Server: early data was taken, and what the handshake will lead to is known. Where the driver hands the socket out at
   * once, early data goes to 'earlyData' listeners or into the stream; elsewhere it waits until the handshake is complete.
   */
  earlyDataTaken(socket: TLSSocket): EarlyDelivery;
  /** Client: early data to send, or 'writes' for what was written before the handshake; undefined for none. */
  earlyData(socket: TLSSocket): Uint8Array | 'writes' | undefined;
  /** The handshake is complete. */
  secured(socket: TLSSocket, summary: HandshakeSummary): void;
  /** A renegotiation is complete, or the client has answered a request for its certificate. */
  reauthenticated(socket: TLSSocket, summary: HandshakeSummary): void;
  /**
   * What is asked of the peer in a handshake on the running connection.
   * @throws TLSError `TLS_ERR_CONFIG`, `TLS_ERR_NOT_SUPPORTED`
   */
  lateRequest(socket: TLSSocket, options: LateRequestOptions): LateRequest;
  /**
   * The handshake failed, or the socket was closed before its end: the socket is destroyed afterwards. True when a server of the
   * socket has told of it.
   */
  failedHandshake(socket: TLSSocket, error: TLSError | NodeJS.ErrnoException): boolean;
  /** A ticket arrived. True when the driver took it over and erases its secret. */
  remember(socket: TLSSocket, session: ClientSession): boolean;
  /** TLS 1.2, client: a fatal alert has ended the session of this connection, which must not be resumed any more. */
  sessionEnded(): void;
  /** A key log line without line end. */
  keyLog(socket: TLSSocket, line: Buffer): void;
  /** Traffic keys were renewed. */
  keyUpdated(): void;
  /** The connection is weaker than it could be, as the options allow. */
  warned(socket: TLSSocket, warning: HandshakeWarning): void;
  /** Our own chain, DER, leaf first. */
  ownCertificates(socket: TLSSocket): readonly Uint8Array[];
  /** From the peer's certificate to a root that we trust, leaf first; undefined where there is none. */
  trustedPath(socket: TLSSocket, chain: readonly Uint8Array[]): readonly ParsedCertificate[] | undefined;
  /** The process exits: what is held for the socket is erased, and nothing else done. */
  eraseKeys?(): void;
  /** The socket is gone; `error` is what ended it. */
  closed(socket: TLSSocket, error: Error | undefined): void;
}
