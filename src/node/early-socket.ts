/**
 * Early data at a TLSSocket: what a client sends with its first flight, and what a server makes of it until the handshake
 * shows that the client is there. RFC 9846 §2.3.
 */

import type { Action, HandshakeSummary } from '../actions.ts';
import type { Connection } from '../connection.ts';
import type { EarlyDelivery } from './driver.ts';
import { asBuffer, SocketReader } from './socket-reader.ts';
import type { TLSSocket } from './tls-socket.ts';

export abstract class EarlySocket extends SocketReader {
  /** Of a client: what the caller gave as an option. */
  #option: Uint8Array | undefined;
  /** Of a client: what went out. */
  #sent: 'option' | 'writes' | undefined;
  /** Of a server. */
  #delivery: EarlyDelivery | undefined;
  /** Of a server, at most what its tickets allow: what the handshake's end brings. */
  #held: Uint8Array[] | undefined;

  /** What the handshake will lead to, if the client is there at all. */
  protected abstract foretold(summary: HandshakeSummary): void;

  /** Client: with the first flight. */
  protected sendEarlyData(connection: Connection): Action[] {
    const wanted = connection.role === 'client' ? this.driver.earlyData(this as unknown as TLSSocket) : undefined;
    const room = connection.earlyDataRoom;
    const bytes = wanted === 'writes' ? this.earlyWrites(room) : wanted;
    this.#option = wanted === 'writes' ? undefined : wanted;
    if (bytes === undefined || bytes.length === 0 || bytes.length > room) {
      return [];
    }
    this.#sent = wanted === 'writes' ? 'writes' : 'option';
    return connection.sendEarlyData(bytes);
  }

  /**
   * Client, at the handshake's end. Writes that were not taken wait here still, and go out as if they had never been sent:
   * that was asked for.
   */
  protected settleEarlyData(summary: HandshakeSummary): void {
    const sent = this.#sent;
    const option = this.#option;
    const taken = summary.earlyData === 'taken' && sent !== undefined;
    this.#option = undefined;
    if (taken && sent === 'writes') {
      this.earlyWritesTaken();
    }
    if (option !== undefined && !taken) {
      this.emit('earlyDataRejected', asBuffer(option), sent === undefined ? 'not_sent' : 'refused');
    }
  }

  /** Server: it was taken, and comes next. */
  protected takeEarlyData(summary: HandshakeSummary): void {
    if (!this.destroyed) {
      this.earlyData = true;
      this.foretold(summary);
      this.#delivery = this.driver.earlyDataTaken(this as unknown as TLSSocket);
    }
  }

  protected deliverEarlyData(bytes: Uint8Array): void {
    if (this.#delivery === 'stream') {
      this.deliver(bytes);
    } else if (this.#delivery === 'events') {
      this.noteReceived(bytes);
      this.emit('earlyData', asBuffer(bytes));
    } else {
      this.#held ??= [];
      this.#held.push(bytes);
    }
  }

  /** Server, at the handshake's end: the client is there. */
  protected deliverHeldEarlyData(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const bytes of held) {
      this.deliver(bytes);
    }
  }
}
