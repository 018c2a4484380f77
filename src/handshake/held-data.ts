/**
 * Application data that waits for the end of a TLS 1.2 renegotiation, and the close_notify that is to follow it.
 *
 * Between our change_cipher_spec and the peer's Finished nothing may be sent under the new keys: only that Finished
 * proves that nobody came in between. RFC 5246 §7.4.9, RFC 5746 §3.
 */

import { TLSError } from '../errors.ts';

/** Bytes kept while a renegotiation is under way: a peer that falls silent in it would let our own data fill our memory. */
const MAX_HELD = 2 ** 24;

export class HeldData {
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** close was called while data is held. */
  closeDue = false;

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  /**
   * Keeps a copy.
   * @throws TLSError `TLS_ERR_HANDSHAKE_TIMEOUT` more than 16 MiB would wait
   */
  hold(data: Uint8Array): void {
    this.#length += data.length;
    if (this.#length > MAX_HELD) {
      throw new TLSError(
        'TLS_ERR_HANDSHAKE_TIMEOUT',
        `the peer did not finish the renegotiation while ${MAX_HELD} bytes waited to be sent`,
      );
    }
    this.#chunks.push(new Uint8Array(data));
  }

  /** Hands out what was held, in order, and is empty then. */
  release(): Uint8Array[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#length = 0;
    return chunks;
  }
}
