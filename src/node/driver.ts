/** What a TLSSocket asks of its side of the handshake: one driver serves all sockets of a server, or of one connect. */

import type { HandshakeSummary, Need } from '../actions.ts';
import type { Connection } from '../connection.ts';
import type { TLSError } from '../errors.ts';
import type { ClientSession } from '../session/client-session.ts';
import type { TLSSocket } from './tls-socket.ts';

export interface Driver {
  readonly role: 'client' | 'server';
  /** Milliseconds until an unfinished handshake is given up; 0 for never. */
  readonly handshakeTimeout: number;
  /** A transport that ends without close_notify is an ordinary end. */
  allowsTruncation(socket: TLSSocket): boolean;
  /** @throws TLSError */
  createConnection(socket: TLSSocket): Connection;
  /** Answers with `socket.answer(need, answer)`, now or later. */
  answer(socket: TLSSocket, need: Need): void;
  /** The handshake is complete. */
  secured(socket: TLSSocket, summary: HandshakeSummary): void;
  /** The handshake failed, or the socket was closed before its end: the socket is destroyed afterwards. */
  failedHandshake(socket: TLSSocket, error: TLSError | NodeJS.ErrnoException): void;
  /** A ticket arrived. True when the driver took it over and erases its secret. */
  remember(socket: TLSSocket, session: ClientSession): boolean;
  /** A key log line without line end. */
  keyLog(socket: TLSSocket, line: Buffer): void;
  /** Traffic keys were renewed. */
  keyUpdated(): void;
  /** Our own chain, DER, leaf first. */
  ownCertificates(socket: TLSSocket): readonly Uint8Array[];
  /** The socket is gone; `error` is what ended it. */
  closed(socket: TLSSocket, error: Error | undefined): void;
}
