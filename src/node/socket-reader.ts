/** The reading side of a TLSSocket: plaintext into the stream, and the transport held where the stream is full. */

import { SocketEnding } from './socket-ending.ts';

export abstract class SocketReader extends SocketEnding {
  #plaintextIn = 0;
  #rawPaused = false;

  /** Decrypted bytes received. */
  get bytesRead(): number {
    return this.#plaintextIn;
  }

  protected noteReceived(bytes: Uint8Array): void {
    this.#plaintextIn += bytes.length;
    this.cameAfterEnd = this.saidAll;
  }

  override _read(): void {
    if (this.#rawPaused) {
      this.#rawPaused = false;
      this.readOn();
    }
  }

  /** Not while the stream is full, nor while the core waits for an answer: it would only keep what comes. */
  protected reads(): boolean {
    return !this.#rawPaused && this.connection?.waiting !== true;
  }

  protected readOn(): void {
    if (!this.receiving && !this.destroyed && this.reads()) {
      this.raw?.resume();
    }
  }

  /** Hands data to the stream; from a full one the transport is not read on. */
  protected deliver(bytes: Uint8Array): void {
    this.noteReceived(bytes);
    if (this.destroyed) {
      return;
    }
    if (this.#flows) {
      this.emit('data', asBuffer(bytes));
    } else if (!this.push(asBuffer(bytes))) {
      this.#rawPaused = true;
      if (!this.receiving) {
        this.raw?.pause();
      }
    }
  }

  /**
   * 'readable' comes once for all that arrives at once, and many read once for it: since Node 26 they get one chunk of it, so it
   * must be one.
   */
  protected get awaitsReadable(): boolean {
    return this.readableFlowing === false && this.listenerCount('readable') > 0;
  }

  /** `push` would do nothing but emit, and then ask for more at the next tick, which comes by itself. */
  get #flows(): boolean {
    return (
      this.readableFlowing === true &&
      this.readableLength === 0 &&
      this.readableDidRead &&
      this.readableEncoding === null &&
      !this.readableEnded &&
      this.listenerCount('data') > 0
    );
  }
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
