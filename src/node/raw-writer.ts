/** What a TLSSocket hands to its transport: records, past the queue of a TCP socket, and what it lends until they are gone. */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Action } from '../actions.ts';
import { type GivenOutput, giveOutput, returnOutput } from './output-buffer.ts';
import { SocketSurface } from './socket-surface.ts';

export abstract class RawWriter extends SocketSurface {
  /** More is about to be sealed: what was sent must not make it start anew. */
  protected sealing = false;
  /** Writes that a TCP socket holds, and what it calls for each. */
  #held = 0;
  /** Not made when first needed: a function that is assigned V8 puts into the old generation, where it outlives the socket. */
  readonly #onWritten = (error?: Error | null): void => this.#written(error);
  /** The shared output buffers that the transport holds. */
  #given: GivenOutput[] | undefined;
  /** Sealed, and to leave in one write with what is sealed next. */
  #ahead: Uint8Array | undefined;
  #keepsAhead = false;

  /** The transport takes more. */
  abstract rawDrained(): void;
  abstract rawFailed(error: Error): void;

  /** Writes what the core wants sent: before anything else is done, so that no other code runs in between. */
  protected transmit(actions: readonly Action[]): void {
    for (let i = 0; i < actions.length; i++) {
      const action = actions[i];
      if (action.kind === 'send') {
        this.#writeRaw(action.bytes);
      }
    }
  }

  /** What this sends waits for the next write, or for `sendAhead`. */
  protected keepAhead(send: () => void): void {
    this.#keepsAhead = this.raw instanceof Socket && typeof this.raw._writev === 'function';
    try {
      send();
    } finally {
      this.#keepsAhead = false;
    }
  }

  protected sendAhead(): void {
    const ahead = this.#ahead;
    if (ahead !== undefined) {
      this.#ahead = undefined;
      // Where sealing has failed, the end comes in the midst of `keepAhead`, and nothing follows that this could wait for.
      this.#keepsAhead = false;
      this.#writeRaw(ahead);
    }
  }

  /** It has not taken all that it was given. */
  protected get rawIsFull(): boolean {
    const { raw } = this;
    return raw instanceof Socket ? this.#held > 0 : raw?.writableNeedDrain === true;
  }

  /** Once the transport is done with it: an answer of the peer's may also set free what waits, in the midst of a write. */
  protected returnOutputs(): void {
    if (this.#held === 0) {
      this.#given?.forEach(returnOutput);
      this.#given = undefined;
    }
  }

  #writeRaw(bytes: Uint8Array): void {
    const raw = this.raw as Duplex;
    if (raw.destroyed || raw.writableEnded) {
      return;
    }
    this.touch();
    if (!(raw instanceof Socket)) {
      raw.write(bytes);
      return;
    }
    const ahead = this.#ahead;
    if (this.#keepsAhead && ahead === undefined) {
      // Given away, as the next record may be sealed into the same memory.
      this.#give(bytes);
      this.#ahead = bytes;
      return;
    }
    // Past the socket's own queue, which would cost as much again as the write: ours is in front of it.
    this.#held++;
    if (ahead === undefined) {
      raw._write(bytes, 'buffer' as BufferEncoding, this.#onWritten);
    } else {
      this.#ahead = undefined;
      raw._writev?.([asChunk(ahead), asChunk(bytes)], this.#onWritten);
    }
    if (this.#held > 0) {
      this.#give(bytes);
    } else if (this.#given !== undefined) {
      this.returnOutputs();
    }
  }

  #give(bytes: Uint8Array): void {
    const given = giveOutput(bytes);
    if (given !== undefined) {
      this.#given = this.#given === undefined ? [given] : [...this.#given, given];
    }
  }

  /** The socket is done with a write: at once, as a rule; later, when the kernel's buffer is full. */
  #written(error: Error | null | undefined): void {
    this.#held--;
    if (error) {
      // As in node:tls: the peer need not wait for our close_notify, and what it has sent is still to be read.
      if (!this.saidAll) {
        this.rawFailed(error);
      }
    } else if (this.#held === 0 && !this.sealing && (this.holdsWrites || this.#given !== undefined)) {
      this.rawDrained();
    }
  }

  /** Our close_notify was handed to the transport. */
  protected abstract get saidAll(): boolean;

  /** Plaintext waits for the transport. */
  protected abstract get holdsWrites(): boolean;
}

function asChunk(chunk: Uint8Array): { chunk: Uint8Array; encoding: BufferEncoding } {
  return { chunk, encoding: 'buffer' as BufferEncoding };
}
