/**
 * Application data on its way out: cut to what the write key may still protect, and kept where it has to wait for new keys, as
 * in a renegotiation of TLS 1.2 or before a client's Finished.
 *
 * Between our change_cipher_spec and the peer's Finished nothing may be sent under the new keys: only that Finished
 * proves that nobody came in between. Before it, from the hello of a renegotiation on, data could go out under the old keys, and
 * everybody would have to take it (RFC 5246 §6.2.1); OpenSSL and Mbed TLS end the connection.
 *
 * RFC 5246 §7.4.9, RFC 5746 §3; RFC 9846 §2.3, §5.5.
 */

import { TLSError } from '../errors.ts';
import type { RecordChannel } from './record-channel.ts';
import type { Runner } from './runner.ts';

/** Bytes kept while a renegotiation is under way: a peer that falls silent in it would let our own data fill our memory. */
const MAX_HELD = 2 ** 24;

export class DataSender {
  /** close was called while data waits: close_notify follows it. */
  closeDue = false;
  readonly #channel: RecordChannel;
  readonly #runner: Runner;
  #held: Uint8Array[] = [];
  #heldLength = 0;

  constructor(channel: RecordChannel, runner: Runner) {
    this.#channel = channel;
    this.#runner = runner;
  }

  /** Data waits. */
  get holds(): boolean {
    return this.#held.length > 0;
  }

  /**
   * Sends it, or keeps a copy of what has to wait.
   * @throws TLSError `TLS_ERR_HANDSHAKE_TIMEOUT` more than 16 MiB would wait
   */
  send(data: Uint8Array): void {
    const channel = this.#channel;
    const connected = this.#runner.established;
    if (this.holds || (connected !== undefined && channel.holdsData)) {
      this.#hold(data);
      return;
    }
    if (connected === undefined) {
      this.#answerEarlyData(data);
      return;
    }
    connected.noteSentData(data.length);
    let at = 0;
    while (at < data.length) {
      if (connected.writable <= 0) {
        connected.update(false);
      }
      if (connected.writable <= 0) {
        // A renegotiation is under way, for new keys.
        this.#hold(data.subarray(at));
        return;
      }
      const room = connected.writable * channel.maxFragment;
      const end = Math.min(data.length, at + room);
      channel.applicationData(data, at, end);
      at = end;
    }
  }

  /** New keys are confirmed: what waited is sent. True when close_notify has to follow now. */
  release(): boolean {
    // Our Finished goes first.
    this.#channel.flushHandshake();
    this.#channel.holdsData = false;
    this.#channel.keysUnproved = false;
    const held = this.#held;
    this.drop();
    for (const data of held) {
      this.send(data);
    }
    const isDue = this.closeDue && !this.holds;
    this.closeDue &&= !isDue;
    return isDue;
  }

  /** Forgets what waits. */
  drop(): void {
    this.#held = [];
    this.#heldLength = 0;
  }

  /** Before the client's Finished the write key cannot be renewed: what it cannot carry waits for it. */
  #answerEarlyData(data: Uint8Array): void {
    const channel = this.#channel;
    const end = Math.min(data.length, Math.max(0, channel.writable) * channel.maxFragment);
    if (end > 0) {
      channel.applicationData(data, 0, end);
    }
    if (end < data.length) {
      this.#hold(data.subarray(end));
    }
  }

  #hold(data: Uint8Array): void {
    this.#heldLength += data.length;
    if (this.#heldLength > MAX_HELD) {
      throw new TLSError(
        'TLS_ERR_HANDSHAKE_TIMEOUT',
        `the peer did not finish the renegotiation while ${MAX_HELD} bytes waited to be sent`,
      );
    }
    this.#held.push(new Uint8Array(data));
  }
}
