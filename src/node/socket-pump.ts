/**
 * The moving parts of a TLSSocket: bytes between the transport, the core and the stream; the handshake's questions go to
 * its driver. Listeners on the transport are shared by all sockets, and nothing is kept at rest but the connection.
 */

import { addAbortSignal, type Duplex } from 'node:stream';
import type { Action, Answers, HandshakeSummary, Need } from '../actions.ts';
import { concat } from '../bytes/bytes.ts';
import type { Connection } from '../connection.ts';
import type { TLSErrorCode } from '../errors.ts';
import type { ClientSession } from '../session/client-session.ts';
import type { Driver } from './driver.ts';
import { EarlySocket } from './early-socket.ts';
import { firstFlights, isHelloDue, LONGEST_WAITING } from './first-flights.ts';
import { forgetKeys, type KeyHolder, keepKeysYoung } from './key-renewal.ts';
import { isPlainHttp, plainHttpAnswer } from './raw-closing.ts';
import { listenTo, type RawOwner } from './raw-reader.ts';
import type { Place } from './roster.ts';
import { asBuffer } from './socket-reader.ts';
import type { Callback } from './socket-writer.ts';
import type { TLSSocket } from './tls-socket.ts';

export interface PumpOptions {
  readonly driver: Driver;
  readonly allowHalfOpen?: boolean;
  /** Bytes. */
  readonly highWaterMark?: number;
  readonly signal?: AbortSignal;
}

export abstract class SocketPump extends EarlySocket implements RawOwner {
  /** At a server: what came of a ClientHello, while it waits for its turn. */
  #hello: Uint8Array | undefined;
  #keysWatched: Place<KeyHolder> | undefined;

  protected constructor(raw: Duplex | undefined, options: PumpOptions) {
    super(options.driver, {
      allowHalfOpen: options.allowHalfOpen ?? false,
      // As a net.Socket does: 'close' comes when the transport has closed, and tells of errors.
      emitClose: false,
      ...(options.highWaterMark === undefined ? {} : { highWaterMark: options.highWaterMark }),
    });
    if (raw !== undefined) {
      this.adopt(raw);
    }
    if (options.signal) {
      addAbortSignal(options.signal, this);
    }
  }

  /** Renews keys that are due by their age. */
  abstract maintainKeys(): void;

  override _destroy(error: Error | null, callback: Callback): void {
    forgetKeys(this.#keysWatched);
    this.#hello = undefined;
    super._destroy(error, callback);
  }

  /** Answers a need that the driver was asked. */
  answer(need: Need, answer: Answers[Need['kind']]): void {
    const { connection } = this;
    if (connection !== undefined && !this.destroyed) {
      this.run(() => connection.resume(need, answer));
      if (!this.secureConnecting && connection.state === 'Connected') {
        // A client's own answer to a request for its certificate ends without further notice.
        this.handshakeOver();
      }
      this.readOn();
    }
  }

  /** Takes a transport that is there, or being opened. */
  protected adopt(raw: Duplex): void {
    this.raw = raw;
    listenTo(raw, this);
    this.adoptTimeout();
    if (raw.destroyed) {
      this.rawDead();
    }
  }

  /** Starts the handshake on a transport that is connected. */
  protected startHandshake(): void {
    if (this.destroyed || this.connection !== undefined) {
      return;
    }
    const { driver } = this;
    this.limitHandshake();
    if (driver.waits?.(() => this.startHandshake()) === true) {
      return;
    }
    this.run(() => {
      const connection = driver.createConnection(this as unknown as TLSSocket);
      if (this.destroyed) {
        // By a callback that was asked for PSKs or early data.
        connection.erase('closed');
        return [];
      }
      this.connection = connection;
      this.secretOwner = connection.owner;
      this.eraseAtExit();
      return [...connection.start(), ...this.sendEarlyData(connection)];
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
    return this.secureConnecting && isHelloDue(connection)
      ? this.#receiveHello(connection, bytes)
      : this.#receive(connection, bytes);
  }

  /** Each part of it: which one is the last, and brings the work, is known only once it was read. */
  #receiveHello(connection: Connection, bytes: Uint8Array): boolean {
    const before = this.#hello;
    const hello = before === undefined ? bytes : concat(before, bytes);
    // A transport that does not pause may bring too much while it waits.
    if (hello.length > LONGEST_WAITING || (before === undefined && firstFlights.mayGo())) {
      this.#hello = undefined;
      return this.#receive(connection, hello);
    }
    this.#hello = before === undefined ? new Uint8Array(bytes) : hello;
    if (before === undefined) {
      firstFlights.wait(() => this.#takeTurn());
    }
    return false;
  }

  /** Not while its ClientHello waits for its turn. */
  protected override reads(): boolean {
    return this.#hello === undefined && super.reads();
  }

  #takeTurn(): void {
    const hello = this.#hello;
    this.#hello = undefined;
    if (this.connection !== undefined && hello !== undefined && !this.destroyed) {
      try {
        this.#receive(this.connection, hello);
      } finally {
        // Also when a listener threw, whose error goes its way.
        this.readOn();
      }
    }
  }

  #receive(connection: Connection, bytes: Uint8Array): boolean {
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
      this.sendAhead();
    }
    if (!this.secureConnecting && connection.state !== 'Connected') {
      // The peer has begun a handshake, and may leave it at that.
      this.limitHandshake();
    }
    return this.reads();
  }

  /** A client that speaks plain HTTP to the TLS port is told so in its own language. */
  #answerPlainHttp(actions: readonly Action[], bytes: Uint8Array): void {
    const last = actions.at(-1);
    const isOther = last?.kind === 'failed' && last.error.code === 'TLS_ERR_NOT_TLS';
    if (isOther && this.driver.role === 'server' && isPlainHttp(bytes)) {
      this.raw?.end(plainHttpAnswer());
    }
  }

  /** What ends our side of the handshake leaves in one write with what listeners then send at once. */
  protected override perform(actions: readonly Action[]): void {
    if (this.receiving && this.secureConnecting && actions.some(completesHandshake)) {
      this.keepAhead(() => this.transmit(actions));
    } else {
      this.transmit(actions);
    }
    this.#hand(actions);
  }

  protected run(call: () => Action[]): void {
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
        if (action.kind === 'data' && this.awaitsReadable) {
          const end = actions.findIndex(({ kind }, i) => i >= done && kind !== 'data');
          const more = actions.slice(done, end < 0 ? undefined : end) as (typeof action)[];
          done += more.length;
          this.deliver(more.length === 0 ? action.bytes : concat(action.bytes, ...more.map(({ bytes }) => bytes)));
        } else {
          this.#do(action);
        }
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
        this.deliver(action.bytes);
        return;
      case 'earlyDataAccepted':
        this.takeEarlyData(action.summary);
        return;
      case 'earlyData':
        this.deliverEarlyData(action.bytes);
        return;
      case 'earlyDataRejected':
        // Told of once the handshake is complete: all of it is known here.
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
      case 'sessionEnded':
        this.driver.sessionEnded();
        return;
      case 'keyLog':
        this.driver.keyLog(this as unknown as TLSSocket, asBuffer(action.line));
        return;
      case 'warning':
        this.driver.warned(this as unknown as TLSSocket, action.warning);
        return;
      case 'keyUpdate':
        this.driver.keyUpdated();
        return;
      case 'renegotiated':
      case 'clientAuthenticated':
        this.handshakeOver();
        this.reauthenticated(action.summary);
        this.#goOn();
        return;
      case 'renegotiationDeclined':
        this.handshakeOver();
        this.unanswered('TLS_ERR_ALERT_RECEIVED', 'the peer declined the renegotiation (no_renegotiation)');
        this.#goOn();
        return;
      case 'echRejected':
        this.emit('echRejected', action.retryConfigs === undefined ? null : asBuffer(action.retryConfigs));
        return;
      case 'peerClosed':
        this.peerEnded();
        this.unanswered('TLS_ERR_WRONG_STATE', 'the peer closed before it answered');
        this.#goOn();
        return;
      case 'failed':
        this.failAlerted(action.error);
    }
  }

  #goOn(): void {
    if (!this.destroyed) {
      this.release();
    }
  }

  #established(summary: HandshakeSummary): void {
    if (this.destroyed) {
      return;
    }
    this.handshakeOver();
    this.secureConnecting = false;
    this.earlyData = false;
    this.#keysWatched = keepKeysYoung(this, this.driver.keyRenewal, summary.version);
    this.settleEarlyData(summary);
    this.secured(summary);
    this.deliverHeldEarlyData();
    if (!this.destroyed) {
      this.release();
    }
  }

  protected abstract secured(summary: HandshakeSummary): void;

  /** A handshake on the running connection is complete, or the client has answered our request for its certificate. */
  protected abstract reauthenticated(summary: HandshakeSummary): void;

  /** What the peer was asked for on the running connection will not come. */
  protected abstract unanswered(code: TLSErrorCode, why: string): void;

  /** As in `node:tls`, `getSession()` gives a TLS 1.2 session from 'secureConnect' on, before 'session' tells of it. */
  #foresee(next: Action | undefined): void {
    if (next?.kind === 'session' && !this.destroyed) {
      this.kept.foresee(next.session);
    }
  }

  /** Ours: takes the session over that the connection resumes. False where it has a newer one. */
  keepSession(session: ClientSession): boolean {
    return !this.destroyed && this.kept.keep(session);
  }

  #remember(session: ClientSession): void {
    if (this.destroyed) {
      session.secret.erase('closed');
      return;
    }
    this.kept.replace(session, (newest) => this.driver.remember(this as unknown as TLSSocket, newest));
  }
}

function completesHandshake({ kind }: Action): boolean {
  return kind === 'handshakeComplete';
}

function handRest(pump: SocketPump, actions: readonly Action[]): void {
  pump.handRest(actions);
}
