/**
 * How a connection ends: by close_notify of both sides, each for its own direction; by a fatal alert of either; or by the end of
 * the transport, which must not pass for the end of the data.
 *
 * RFC 9846 §6; RFC 5246 §7.2. What the alerts of a TLS 1.2 connection mean for its session is in session-end12.ts.
 */

import type { Action, HostAlert } from '../actions.ts';
import type { AlertDescription } from '../alerts.ts';
import { TLSError } from '../errors.ts';
import type { DataSender } from './data-sender.ts';
import { readAlert } from './received-alert.ts';
import type { RecordChannel } from './record-channel.ts';
import type { Runner } from './runner.ts';

export interface EndingParts {
  readonly role: 'client' | 'server';
  readonly channel: RecordChannel;
  readonly runner: Runner;
  readonly data: DataSender;
  /** A client that offers TLS 1.2. */
  readonly offersTls12: boolean;
  emit(action: Action): void;
  /** Everything else has to go. */
  over(why: string): void;
}

export class Ending {
  readonly #parts: EndingParts;
  #closeSent = false;
  #peerClosed = false;
  #over = false;

  constructor(parts: EndingParts) {
    this.#parts = parts;
  }

  /** Nothing more can happen; all secrets are erased. */
  get over(): boolean {
    return this.#over;
  }

  /** Our close_notify went out. */
  get closeSent(): boolean {
    return this.#closeSent;
  }

  /** The peer's came. */
  get peerClosed(): boolean {
    return this.#peerClosed;
  }

  /** Sends close_notify; during the handshake that is the end. */
  close(): void {
    const { channel, runner } = this.#parts;
    const duringHandshake = runner.established === undefined && !runner.answersEarlyData;
    if (duringHandshake) {
      this.#alert('user_canceled');
    }
    this.#alert('close_notify');
    channel.endWriting();
    this.#closeSent = true;
    if (duringHandshake || this.#peerClosed) {
      this.end('closed');
    }
  }

  abort(alert: HostAlert): void {
    this.#alert(alert);
    if (alert !== 'user_canceled') {
      this.#parts.runner.endSession(false);
    }
    this.end(`aborted with ${alert}`);
  }

  /** @throws TLSError `TLS_ERR_TRUNCATED` */
  transportEnded(): never {
    const when = this.#parts.runner.established === undefined ? 'during the handshake' : 'without close_notify';
    throw new TLSError('TLS_ERR_TRUNCATED', `the ${this.#peer} ended the connection ${when}`);
  }

  /** Whatever goes wrong, the peer is told that something did. */
  fail(reason: unknown): void {
    const error =
      reason instanceof TLSError
        ? reason
        : new TLSError('TLS_ERR_INTERNAL', 'the connection failed by an error of its own', { cause: reason });
    if (this.#over) {
      return;
    }
    const alert = error.alert ?? (error.blame === 'peer' ? undefined : 'internal_error');
    if (alert !== undefined) {
      this.#alertIfPossible(alert);
      this.#parts.runner.endSession(error.code === 'TLS_ERR_BAD_FINISHED');
    }
    this.end(error.code);
    this.#parts.emit({ kind: 'failed', error });
  }

  /** @throws TLSError what is wrong with it, or with its coming now */
  receivedAlert(content: Uint8Array): void {
    const { channel, runner, data, emit } = this.#parts;
    const alert = readAlert(content, this.#peer, channel.isTls12 || this.#versionIsOpen);
    if (channel.joiner.pending) {
      throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'an alert came in the middle of a handshake message');
    }
    if (alert.kind === 'close_notify') {
      this.#onCloseNotify();
      return;
    }
    if (alert.kind === 'user_canceled' || alert.kind === 'warning') {
      channel.noteRecord(true);
      if (alert.kind === 'warning' && alert.name === 'no_renegotiation' && runner.declined()) {
        emit({ kind: 'renegotiationDeclined' });
        if (data.release()) {
          this.close();
        }
      }
      return;
    }
    runner.endSession(true);
    this.end(alert.error.code);
    emit({ kind: 'failed', error: alert.error });
  }

  /** Erases everything; says nothing. */
  end(why: string): void {
    const { channel, runner, data, over } = this.#parts;
    this.#over = true;
    data.drop();
    runner.erase(why);
    over(why);
    channel.erase(why);
  }

  get #peer(): 'client' | 'server' {
    return this.#parts.role === 'client' ? 'server' : 'client';
  }

  /** Servers of TLS 1.2 warn before their ServerHello that they do not know the name (RFC 6066 §3). */
  get #versionIsOpen(): boolean {
    return this.#parts.offersTls12 && this.#parts.runner.state === 'ExpectServerHello';
  }

  #onCloseNotify(): void {
    const { channel, runner, data, emit } = this.#parts;
    if (runner.established === undefined) {
      throw new TLSError('TLS_ERR_TRUNCATED', `the ${this.#peer} closed the connection during the handshake`);
    }
    // Under the old keys what waits can still go out.
    const mayGoOn = channel.holdsData && !channel.keysUnproved;
    if (data.holds && !mayGoOn) {
      throw new TLSError(
        'TLS_ERR_TRUNCATED',
        `the ${this.#peer} closed the connection in a renegotiation, for whose end data was waiting`,
      );
    }
    this.#peerClosed = true;
    runner.abandonRenegotiation();
    emit({ kind: 'peerClosed' });
    if (mayGoOn && data.release()) {
      this.close();
    } else if (this.#closeSent) {
      this.end('closed');
    }
  }

  /** Nothing may follow close_notify (RFC 9846 §6.1), and nothing makes sense before a ClientHello. */
  #alert(description: AlertDescription): void {
    const { channel, runner } = this.#parts;
    if (this.#closeSent || runner.state === 'Start') {
      return;
    }
    runner.protectAlerts();
    channel.alert(description);
  }

  #alertIfPossible(description: AlertDescription): void {
    try {
      this.#alert(description);
    } catch {
      // The write key itself is what failed (its usage limit): nothing can be said under it any more.
    }
  }
}
