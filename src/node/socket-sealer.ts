/** Seals a TLSSocket's plaintext and hands it to the transport, in slices, and no more in one turn than leaves room for others. */

import { Socket } from 'node:net';
import type { Action } from '../actions.ts';
import type { Connection } from '../connection.ts';
import { TLSError } from '../errors.ts';
import { endLending, lendOutput, OUTPUT_SLICE } from './output-buffer.ts';
import { RawWriter } from './raw-writer.ts';

export abstract class SocketSealer extends RawWriter {
  protected connection: Connection | undefined;
  /** Bytes of plaintext that were sealed. */
  protected plaintextOut = 0;
  #sliceLength: number = OUTPUT_SLICE;
  /** Bytes sealed since the event loop was last let on for it. */
  #burst = 0;

  /** The most plaintext in one record: 512 to 16384 bytes. False for anything else. */
  setMaxSendFragment(size: number): boolean {
    if (!Number.isInteger(size) || size < 512 || size > 16_384) {
      return false;
    }
    this.#sliceLength = size === 16_384 ? OUTPUT_SLICE : size;
    return true;
  }

  protected abstract perform(actions: readonly Action[]): void;
  protected abstract crash(error: unknown): void;

  protected seal(bytes: Uint8Array): void {
    if (this.#sliceLength < OUTPUT_SLICE && bytes.length > this.#sliceLength) {
      for (let at = 0; at < bytes.length; at += this.#sliceLength) {
        this.#sealSlice(bytes.subarray(at, at + this.#sliceLength));
      }
      return;
    }
    this.#sealSlice(bytes);
  }

  /** The peer has closed in a renegotiation, whose keys it will not prove any more: no data can go out under them. */
  protected get isCutOff(): boolean {
    const { connection } = this;
    return connection?.peerClosed === true && !connection.canSend && !this.saidAll;
  }

  /** Everybody else has to have a turn first. */
  protected get burstIsLong(): boolean {
    return this.#burst >= LONGEST_BURST;
  }

  endBurst(): void {
    this.#burst = 0;
    if (!this.rawIsFull) {
      this.rawDrained();
    }
  }

  /** @throws TLSError `TLS_ERR_WRONG_STATE` */
  protected openConnection(what: string): Connection {
    const { connection } = this;
    if (!connection?.canSend) {
      throw new TLSError(
        'TLS_ERR_WRONG_STATE',
        `${what}() needs a socket whose handshake is complete and that is open`,
      );
    }
    return connection;
  }

  #sealSlice(bytes: Uint8Array): void {
    const { connection } = this;
    if (!connection?.canSend) {
      if (this.isCutOff) {
        this.crash(cutOff());
      }
      return;
    }
    this.plaintextOut += bytes.length;
    this.#countBurst(bytes.length);
    let actions: Action[];
    // Only a TCP socket is known to run no other code inside `write`, and to keep nothing once `writableLength` is 0.
    if (this.raw instanceof Socket) {
      lendOutput();
    }
    try {
      actions = connection.send(bytes);
    } catch (error) {
      this.crash(error);
      return;
    } finally {
      endLending();
    }
    this.perform(actions);
  }

  /**
   * While a peer reads as fast as we seal, the transport is never full, and who writes until `write` says false would never end:
   * now and then everybody else has a turn.
   */
  #countBurst(length: number): void {
    const before = this.#burst;
    this.#burst += length;
    if (before < LONGEST_BURST && this.#burst >= LONGEST_BURST) {
      setImmediate(endBurst, this);
    }
  }
}

export function cutOff(): TLSError {
  const why = 'the peer closed the connection in a renegotiation, for whose end data was waiting';
  return new TLSError('TLS_ERR_TRUNCATED', why);
}

function endBurst(writer: SocketSealer): void {
  writer.endBurst();
}

/** Bytes: a millisecond or two. */
const LONGEST_BURST = 1_048_576;
