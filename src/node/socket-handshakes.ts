/** What this side asks for on the running connection: fresh keys, or a client's certificate. */

import type { Action } from '../actions.ts';
import type { ClientAuthenticationPolicy } from '../connection-options.ts';
import { TLSError, type TLSErrorCode } from '../errors.ts';
import type { LateRequestOptions } from './driver.ts';
import { SocketPump } from './socket-pump.ts';
import type { TLSSocket } from './tls-socket.ts';

type AnswerCallback = (error: Error | null) => void;

export abstract class SocketHandshakes extends SocketPump {
  /** Told of the end of what the peer was asked for. */
  #onAnswered: AnswerCallback | undefined;

  /**
   * TLS 1.2: a handshake on the running connection, for fresh keys, or at a server for a client certificate. True when it was
   * begun: `callback` is then told that it is complete, or why not. Where the peer answers nothing within `handshakeTimeout`,
   * the connection ends with `TLS_ERR_HANDSHAKE_TIMEOUT`.
   */
  renegotiate(options: LateRequestOptions = {}, callback?: AnswerCallback): boolean {
    return this.#askPeer(callback, () => {
      if (this.connection?.summary?.version === 'TLSv1.3') {
        const instead = 'updateKeys() makes new traffic keys, requestClientCertificate() asks for a certificate';
        throw new TLSError('TLS_ERR_NOT_SUPPORTED', `TLS 1.3 has no renegotiation: ${instead}`);
      }
      return this.#startRenegotiation(options);
    });
  }

  /**
   * Ours, at a server: asks the client for a certificate on the running connection, in TLS 1.3 by authentication after the
   * handshake, in TLS 1.2 by renegotiation. True when it was asked. `callback` is told that it has answered: `authorized` and
   * `getPeerCertificate()` are then of that answer. With `rejectUnauthorized` a client without a certificate that is trusted
   * ends the connection, as does one that answers nothing within `handshakeTimeout`; but one that declines the renegotiation
   * of TLS 1.2 is for the `callback` to turn away. The answer comes with what the client sends: the socket has to be read.
   */
  requestClientCertificate(options: Omit<LateRequestOptions, 'requestCert'> = {}, callback?: AnswerCallback): boolean {
    return this.#askPeer(callback, () => {
      if (this.driver.role === 'client') {
        throw new TLSError('TLS_ERR_WRONG_STATE', 'requestClientCertificate() is for servers');
      }
      const asking = { ...options, requestCert: true };
      return this.connection?.summary?.version === 'TLSv1.2'
        ? this.#startRenegotiation(asking)
        : this.#startRequest(asking);
    });
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

  /** Renews keys that are due by their age. */
  override maintainKeys(): void {
    const { connection } = this;
    if (connection === undefined || this.destroyed || this.writableEnded) {
      return;
    }
    this.flush();
    this.run(() => connection.maintain());
    if (!this.destroyed && connection.state !== 'Connected') {
      // A client has begun a renegotiation.
      this.limitHandshake();
    }
  }

  #startRenegotiation(options: LateRequestOptions): Action[] {
    const connection = this.openConnection('renegotiate');
    const { context, policy, made } = this.driver.lateRequest(this as unknown as TLSSocket, options);
    if (policy !== undefined) {
      this.#refuseInHttp2();
    }
    this.flush();
    const actions = connection.startRenegotiation(context);
    made();
    return actions;
  }

  #startRequest(options: LateRequestOptions): Action[] {
    const connection = this.openConnection('requestClientCertificate');
    const { policy, made } = this.driver.lateRequest(this as unknown as TLSSocket, options);
    this.#refuseInHttp2();
    this.flush();
    const actions = connection.requestClientCertificate(policy as ClientAuthenticationPolicy);
    made();
    return actions;
  }

  /** Its streams share the connection: nobody could tell which request the certificate was for (RFC 9113 §9.2). */
  #refuseInHttp2(): void {
    if (this.connection?.summary?.alpnProtocol === 'h2') {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'HTTP/2 forbids to ask for a certificate on the running connection');
    }
  }

  #askPeer(callback: AnswerCallback | undefined, start: () => Action[]): boolean {
    let actions: Action[];
    try {
      actions = start();
    } catch (error) {
      if (callback !== undefined) {
        process.nextTick(callback, error);
      }
      return false;
    }
    this.#onAnswered = callback;
    this.limitHandshake();
    this.perform(actions);
    return true;
  }

  protected override unanswered(code: TLSErrorCode, why: string): void {
    if (this.#onAnswered !== undefined) {
      this.answered(new TLSError(code, why));
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    super._destroy(error, callback);
    if (this.#onAnswered !== undefined) {
      this.answered(error ?? new TLSError('TLS_ERR_WRONG_STATE', 'the connection ended before the peer had answered'));
    }
  }

  protected answered(error: Error | null): void {
    const callback = this.#onAnswered;
    this.#onAnswered = undefined;
    callback?.(error);
  }
}
