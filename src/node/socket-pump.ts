/**
 * The moving parts of a TLSSocket: bytes between the transport, the core and the stream; the handshake's questions go to
 * its driver. Listeners on the transport are shared by all sockets, and nothing is kept at rest but the connection.
 */

import { addAbortSignal, type Duplex } from 'node:stream';
import type { Action, Answers, HandshakeSummary, Need } from '../actions.ts';
import { TLSError } from '../errors.ts';
import type { ClientSession } from '../session/client-session.ts';
import type { Driver } from './driver.ts';
import { closeGently, isPlainHttp, plainHttpAnswer } from './raw-closing.ts';
import { listenTo, type RawOwner } from './raw-reader.ts';
import { type Callback, SocketWriter } from './socket-writer.ts';
import type { TLSSocket } from './tls-socket.ts';

export interface PumpOptions {
  readonly driver: Driver;
  readonly allowHalfOpen?: boolean;
  /** Bytes. */
  readonly highWaterMark?: number;
  readonly signal?: AbortSignal;
}

export abstract class SocketPump extends SocketWriter implements RawOwner {
  protected readonly driver: Driver;
  /** The newest session of a client. */
  protected session: ClientSession | undefined;
  #sessionTaken = false;
  #handshakeTimer: NodeJS.Timeout | undefined;
  #plaintextIn = 0;
  #rawPaused = false;
  #rawClosed = false;
  #peerClosed = false;
  #truncated = false;
  /** An alert is on its way: the transport must not be cut off. */
  #alerted = false;
  #hadError = false;

  protected constructor(raw: Duplex | undefined, options: PumpOptions) {
    super(undefined, {
      allowHalfOpen: options.allowHalfOpen ?? false,
      // As a net.Socket does: 'close' comes when the transport has closed, and tells of errors.
      emitClose: false,
      ...(options.highWaterMark === undefined ? {} : { highWaterMark: options.highWaterMark }),
    });
    this.driver = options.driver;
    if (raw !== undefined) {
      this.adopt(raw);
    }
    if (options.signal !== undefined) {
      addAbortSignal(options.signal, this);
    }
  }

  /** Decrypted bytes received. */
  get bytesRead(): number {
    return this.#plaintextIn;
  }

  /** The transport ended without close_notify: what was received may lack its end. */
  get truncated(): boolean {
    return this.#truncated;
  }

  /**
   * Ours: makes new traffic keys for our side, and asks the peer to do so for its own.
   * @throws TLSError `TLS_ERR_WRONG_STATE`
   */
  updateKeys(requestPeer = true): void {
    const connection = this.openConnection('updateKeys');
    this.flush();
    this.perform(connection.updateKeys(requestPeer));
  }

  /** Answers a need that the driver was asked. */
  answer(need: Need, answer: Answers[Need['kind']]): void {
    const { connection } = this;
    if (connection !== undefined && !this.destroyed) {
      this.#run(() => connection.resume(need, answer));
      this.#readOn();
    }
  }

  /** Gives up with a fatal alert, for a reason of the host's own. */
  giveUp(alert: 'internal_error' | 'access_denied' | 'user_canceled', error: TLSError): void {
    const { connection } = this;
    if (this.destroyed) {
      return;
    }
    if (connection !== undefined) {
      this.transmit(connection.abort(alert));
    }
    this.#alerted = true;
    this.#fail(error);
  }

  /** Takes a transport that is there, or being opened. */
  protected adopt(raw: Duplex): void {
    this.raw = raw;
    listenTo(raw, this);
    this.adoptTimeout();
    if (raw.destroyed) {
      this.#rawClosed = true;
      process.nextTick(onRawDead, this);
    }
  }

  /** Starts the handshake on a transport that is connected. */
  protected startHandshake(): void {
    if (this.destroyed || this.connection !== undefined) {
      return;
    }
    const { driver } = this;
    if (driver.handshakeTimeout > 0) {
      this.#handshakeTimer = setTimeout(onHandshakeTimeout, driver.handshakeTimeout, this);
      this.#handshakeTimer.unref();
    }
    this.#run(() => {
      const connection = driver.createConnection(this as unknown as TLSSocket);
      this.connection = connection;
      return connection.start();
    });
    if (!this.destroyed) {
      this.raw?.resume();
    }
  }

  receiveRaw(bytes: Uint8Array): boolean {
    const { connection } = this;
    if (connection === undefined || this.destroyed) {
      return true;
    }
    this.touch();
    let actions: Action[];
    try {
      actions = connection.receive(bytes);
    } catch (error) {
      this.crash(error);
      return true;
    }
    this.receiving = true;
    try {
      if (this.secureConnecting) {
        this.#answerPlainHttp(actions, bytes);
      }
      this.perform(actions);
    } finally {
      this.receiving = false;
      if (this.flushDue) {
        this.flush();
      }
    }
    return this.#reads();
  }

  /** Not while the stream is full, nor while the core waits for an answer: it would only keep what comes. */
  #reads(): boolean {
    return !this.#rawPaused && this.connection?.waiting !== true;
  }

  #readOn(): void {
    if (!this.receiving && !this.destroyed && this.#reads()) {
      this.raw?.resume();
    }
  }

  /** A client that speaks plain HTTP to the TLS port is told so in its own language. */
  #answerPlainHttp(actions: readonly Action[], bytes: Uint8Array): void {
    const last = actions.at(-1);
    if (last?.kind !== 'failed' || last.error.code !== 'TLS_ERR_NOT_TLS' || this.driver.role !== 'server') {
      return;
    }
    if (isPlainHttp(bytes)) {
      this.raw?.end(plainHttpAnswer());
    }
  }

  rawEnded(): void {
    const { connection } = this;
    if (this.destroyed || this.#peerClosed) {
      return;
    }
    this.#truncated = true;
    if (!this.secureConnecting && this.driver.allowsTruncation(this as unknown as TLSSocket)) {
      // The core is not told, so that our side may still answer.
      this.push(null);
      return;
    }
    const failed = connection?.transportEnded().find((action) => action.kind === 'failed');
    const error =
      failed?.kind === 'failed' && !this.secureConnecting
        ? failed.error
        : new TLSError('TLS_ERR_TRUNCATED', 'the peer closed the connection before the handshake was complete');
    this.#failAfterData(error);
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

  handshakeTimedOut(): void {
    const error = new TLSError(
      'TLS_ERR_HANDSHAKE_TIMEOUT',
      `the handshake was not complete after ${this.driver.handshakeTimeout} ms`,
    );
    this.giveUp('user_canceled', error);
  }

  override _read(): void {
    if (this.#rawPaused) {
      this.#rawPaused = false;
      this.#readOn();
    }
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const { connection, raw } = this;
    this.#hadError = error !== null;
    clearTimeout(this.#handshakeTimer);
    this.clearTimer();
    const unsent = this.endWriting(error);
    connection?.erase('closed');
    if (!this.#sessionTaken) {
      this.session?.secret.erase('closed');
    }
    this.session = undefined;
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

  protected override perform(actions: readonly Action[]): void {
    this.transmit(actions);
    this.#hand(actions);
  }

  #run(call: () => Action[]): void {
    let actions: Action[];
    try {
      actions = call();
    } catch (error) {
      this.crash(error);
      return;
    }
    this.perform(actions);
  }

  #hand(actions: readonly Action[]): void {
    let done = 0;
    try {
      while (done < actions.length) {
        const action = actions[done++];
        if (action.kind === 'handshakeComplete' && action.summary.version === 'TLSv1.2') {
          this.#foresee(actions[done]);
        }
        this.#do(action);
      }
    } finally {
      if (done < actions.length) {
        // A listener threw. Its error goes its way, and nothing that was received is lost.
        process.nextTick(handRest, this, actions.slice(done));
      }
    }
  }

  handRest(actions: readonly Action[]): void {
    this.#hand(actions);
  }

  #do(action: Action): void {
    switch (action.kind) {
      case 'send':
        return;
      case 'data':
        this.#deliver(action.bytes);
        return;
      case 'need':
        this.driver.answer(this as unknown as TLSSocket, action.need);
        return;
      case 'handshakeComplete':
        this.#established(action.summary);
        return;
      case 'session':
        this.#remember(action.session);
        return;
      case 'keyLog':
        this.driver.keyLog(this as unknown as TLSSocket, asBuffer(action.line));
        return;
      case 'keyUpdate':
        this.driver.keyUpdated();
        return;
      case 'renegotiated':
        this.renegotiated(action.summary);
        this.#goOn();
        return;
      case 'renegotiationDeclined':
        this.renegotiationDeclined();
        this.#goOn();
        return;
      case 'peerClosed':
        this.#peerClosed = true;
        if (!this.destroyed) {
          this.push(null);
        }
        return;
      case 'failed':
        this.#alerted = true;
        this.#fail(action.error);
    }
  }

  #goOn(): void {
    if (!this.destroyed) {
      this.release();
    }
  }

  #deliver(bytes: Uint8Array): void {
    this.#plaintextIn += bytes.length;
    if (!this.destroyed && !this.push(asBuffer(bytes))) {
      this.#rawPaused = true;
      if (!this.receiving) {
        this.raw?.pause();
      }
    }
  }

  #established(summary: HandshakeSummary): void {
    if (this.destroyed) {
      return;
    }
    clearTimeout(this.#handshakeTimer);
    this.#handshakeTimer = undefined;
    this.secureConnecting = false;
    this.secured(summary);
    if (!this.destroyed) {
      this.release();
    }
  }

  protected abstract secured(summary: HandshakeSummary): void;

  protected abstract renegotiated(summary: HandshakeSummary): void;

  protected abstract renegotiationDeclined(): void;

  /** As in `node:tls`, `getSession()` gives a TLS 1.2 session from 'secureConnect' on, before 'session' tells of it. */
  #foresee(next: Action | undefined): void {
    if (next?.kind === 'session' && !this.destroyed) {
      this.session = next.session;
    }
  }

  /** Ours: takes the session over that the connection resumes. False where it has a newer one. */
  keepSession(session: ClientSession): boolean {
    if (this.session !== undefined || this.destroyed) {
      return false;
    }
    this.session = session;
    return true;
  }

  #remember(session: ClientSession): void {
    if (this.destroyed) {
      session.secret.erase('closed');
      return;
    }
    if (!this.#sessionTaken && this.session !== session) {
      this.session?.secret.erase('replaced');
    }
    this.session = session;
    this.#sessionTaken = this.driver.remember(this as unknown as TLSSocket, session);
  }

  #fail(error: TLSError | NodeJS.ErrnoException): void {
    if (this.destroyed) {
      return;
    }
    if (this.secureConnecting && this.driver.role === 'server') {
      // Control was never handed to a listener: the server tells of it by 'tlsClientError'.
      this.driver.failedHandshake(this as unknown as TLSSocket, error);
      this.destroy();
      return;
    }
    this.destroy(error);
  }

  /** An exception where there should be none must cost this connection only. */
  protected override crash(error: unknown): void {
    this.#alerted = true;
    this.#fail(error instanceof TLSError ? error : new TLSError('TLS_ERR_INTERNAL', String(error), { cause: error }));
  }

  /** What was received before the end is read first. */
  #failAfterData(error: TLSError): void {
    if (this.secureConnecting || this.readableLength === 0) {
      this.#fail(error);
      return;
    }
    const { read } = this;
    this.read = (size?: number) => {
      const chunk = read.call(this, size);
      if (this.readableLength === 0) {
        process.nextTick(() => this.destroy(error));
      }
      return chunk;
    };
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function onRawDead(pump: SocketPump): void {
  pump.rawClosed();
}

function onHandshakeTimeout(pump: SocketPump): void {
  pump.handshakeTimedOut();
}

function handRest(pump: SocketPump, actions: readonly Action[]): void {
  pump.handRest(actions);
}

function emitClose(pump: SocketPump, hadError: boolean): void {
  pump.emit('close', hadError);
}
