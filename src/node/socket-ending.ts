/**
 * How a TLSSocket ends: by either side's close, by a failure of ours or the peer's, by a transport that goes away, or because
 * a handshake takes too long.
 */

import { Socket } from 'node:net';
import type { Duplex, DuplexOptions } from 'node:stream';
import { TLSError } from '../errors.ts';
import type { SecretOwner } from '../ledger/channels.ts';
import type { ClientSession } from '../session/client-session.ts';
import type { Driver } from './driver.ts';
import { closed, eraseAtExit, type KeyHolder, opened } from './erase-at-exit.ts';
import { asHangUp, isHangUp } from './hang-up.ts';
import { KeptSession } from './kept-session.ts';
import { closeGently, destroyOnceRead } from './raw-closing.ts';
import type { Place } from './roster.ts';
import { type Callback, SocketWriter } from './socket-writer.ts';
import type { TLSSocket } from './tls-socket.ts';

export abstract class SocketEnding extends SocketWriter {
  protected readonly driver: Driver;
  protected readonly kept: KeptSession = new KeptSession();
  #handshakeTimer: NodeJS.Timeout | undefined;
  #rawClosed = false;
  #peerClosed = false;
  /** All that the peer has sent is in the stream, and its end. */
  #received = false;
  #truncated = false;
  /** Data came after our close_notify. */
  protected cameAfterEnd = false;
  /** An alert is on its way: the transport must not be cut off. */
  #alerted = false;
  #hadError = false;
  #forgetAtExit: (() => void) | undefined;
  #openPlace: Place<KeyHolder> | undefined;
  /** Ours: whose this connection's secrets are in the ledger, also after its end; undefined before the handshake begins. */
  secretOwner: SecretOwner | undefined;

  protected constructor(driver: Driver, options: DuplexOptions) {
    super(undefined, options);
    this.driver = driver;
  }

  /** A server's: it is handed out when its session is stored, and does not end before that. */
  heldBack = false;

  /** Of a client. Not `session`: what has one is to undici a stream of HTTP/2. */
  protected get newestSession(): ClientSession | undefined {
    return this.kept.newest;
  }

  /** The transport ended without close_notify: what was received may lack its end. */
  get truncated(): boolean {
    return this.#truncated;
  }

  /** Gives up with a fatal alert, for a reason of the host's own. */
  giveUp(alert: 'internal_error' | 'access_denied' | 'user_canceled', error: TLSError): void {
    const { connection } = this;
    if (this.destroyed) {
      return;
    }
    if (connection !== undefined) {
      this.perform(connection.abort(alert));
    }
    this.failAlerted(error);
  }

  /** The keys of a connection that is open when the process exits end then. */
  protected eraseAtExit(): void {
    if (this.destroyed) {
      return;
    }
    if (this.raw instanceof Socket) {
      this.#openPlace = opened(this);
    } else {
      this.#forgetAtExit = eraseAtExit(this, eraseKeys);
    }
  }

  /** For the end of the process: nothing is sent any more. */
  eraseKeys(): void {
    this.connection?.erase('exit');
    this.driver.eraseKeys?.();
    this.kept.end();
  }

  /** A handshake is under way, at the begin of the connection or on it: its time runs. */
  protected override limitHandshake(): void {
    const { handshakeTimeout } = this.driver;
    if (this.#handshakeTimer === undefined && handshakeTimeout > 0 && !this.destroyed) {
      this.#handshakeTimer = setTimeout(onHandshakeTimeout, handshakeTimeout, this);
      this.#handshakeTimer.unref();
    }
  }

  protected handshakeOver(): void {
    clearTimeout(this.#handshakeTimer);
    this.#handshakeTimer = undefined;
  }

  handshakeTimedOut(): void {
    const { handshakeTimeout } = this.driver;
    const error = new TLSError(
      'TLS_ERR_HANDSHAKE_TIMEOUT',
      `a handshake was not complete after ${handshakeTimeout} ms`,
    );
    this.giveUp('user_canceled', error);
  }

  /** close_notify came. */
  protected peerEnded(): void {
    this.#peerClosed = true;
    this.handshakeOver();
    if (!this.destroyed) {
      this.#endReading();
    }
  }

  rawEnded(): void {
    const { connection } = this;
    if (this.destroyed || this.#peerClosed) {
      return;
    }
    this.#truncated = true;
    // A renegotiation, for whose end our side waits, has none either; nor has a client that sent nothing but early data.
    const handshaking = this.secureConnecting || this.earlyData || connection?.holdsData === true;
    if (!handshaking && (this.#hungUp || this.driver.allowsTruncation(this as unknown as TLSSocket))) {
      // The core is not told, so that our side may still answer.
      this.#endReading();
      return;
    }
    const failed = connection?.transportEnded().find((action) => action.kind === 'failed');
    const error =
      failed?.kind === 'failed' && !this.secureConnecting
        ? failed.error
        : new TLSError('TLS_ERR_TRUNCATED', 'the peer closed the connection before the handshake was complete');
    // What was received before the end is read first.
    if (this.secureConnecting || this.readableLength === 0) {
      this.#fail(error);
    } else {
      destroyOnceRead(this, error);
    }
  }

  #endReading(): void {
    this.#received = true;
    this.push(null);
    this.endUnread();
  }

  /**
   * As with a net.Socket, 'end', and with it the close, comes also where nobody ever reads. Later, as whoever waits for
   * 'secureConnect' with a promise has the socket only then.
   */
  endUnread(): void {
    if (this.#received && this.readableFlowing !== true) {
      setImmediate(readNothing, this);
    }
  }

  /**
   * We have ended both directions and nothing has come since, as after the QUIT of so many protocols: it is the end that was
   * asked for. A peer that is no longer heard need not be waited for (RFC 9846 §6.1); an answer that was begun must be ended.
   */
  get #hungUp(): boolean {
    return this.saidAll && !this.cameAfterEnd && !this.allowHalfOpen;
  }

  override rawFailed(error: Error): void {
    this.#fail(error);
  }

  rawClosed(): void {
    this.#rawClosed = true;
    if (this.destroyed) {
      this.emit('close', this.#hadError);
      return;
    }
    // Closed by someone else, without error or end. 'close' follows.
    if (this.secureConnecting) {
      this.#fail(new TLSError('TLS_ERR_TRUNCATED', 'the transport was closed before the handshake was complete'));
    } else {
      this.destroy();
    }
  }

  /** The transport was gone when it was given. */
  protected rawDead(): void {
    this.#rawClosed = true;
    process.nextTick(onRawDead, this);
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const { connection, raw } = this;
    this.#hadError = error !== null;
    this.handshakeOver();
    this.clearTimer();
    const unsent = this.endWriting(error);
    connection?.erase('closed');
    // Whoever holds the socket still holds little; from Node 22 on that is its own streams, until the next full collection.
    this.connection = undefined;
    this.kept.end();
    closed(this.#openPlace);
    this.#forgetAtExit?.();
    this.driver.closed(this as unknown as TLSSocket, error ?? undefined);
    callback(error);
    unsent?.(error ?? new TLSError('TLS_ERR_WRONG_STATE', 'the socket was destroyed before this was sent'));
    if (raw === undefined || this.#rawClosed) {
      process.nextTick(emitClose, this, this.#hadError);
    } else if (this.#alerted) {
      closeGently(raw);
    } else {
      raw.destroy();
    }
  }

  /** The connection is over, and the peer is being told. */
  protected failAlerted(error: TLSError): void {
    this.#alerted = true;
    this.#fail(error);
  }

  /** An exception where there should be none must cost this connection only. */
  protected override crash(error: unknown): void {
    this.failAlerted(
      error instanceof TLSError ? error : new TLSError('TLS_ERR_INTERNAL', String(error), { cause: error }),
    );
  }

  #fail(error: TLSError | NodeJS.ErrnoException): void {
    if (this.destroyed) {
      return;
    }
    if (!this.secureConnecting) {
      this.destroy(error);
      return;
    }
    if (this.driver.role === 'server') {
      // Control was never handed to a listener: the server tells of it by 'tlsClientError'. A socket without a server tells
      // of it itself; as in node:tls not of a peer that just hangs up.
      const told = this.driver.failedHandshake(this as unknown as TLSSocket, error);
      this.destroy(told || isHangUp(error) ? undefined : error);
      return;
    }
    this.destroy(asHangUp(error, this.driver.target));
  }
}

function onHandshakeTimeout(socket: SocketEnding): void {
  socket.handshakeTimedOut();
}

function readNothing(socket: SocketEnding): void {
  if (!socket.destroyed && !socket.heldBack) {
    socket.read(0);
  }
}

function onRawDead(socket: SocketEnding): void {
  socket.rawClosed();
}

function emitClose(socket: Duplex, hadError: boolean): void {
  socket.emit('close', hadError);
}

function eraseKeys(socket: KeyHolder): void {
  socket.eraseKeys();
}
