/**
 * What comes in, taken apart: records are opened, messages joined and handed to the state machine, data handed out.
 *
 * RFC 9846 §5.1, RFC 5246 §6.2.1.
 */

import type { Action } from '../actions.ts';
import { plainBytes } from '../bytes/bytes.ts';
import { TLSError } from '../errors.ts';
import { handshakeTypeName } from '../messages/code-points.ts';
import { JoinedData, withoutPadding } from '../record/joined-data.ts';
import {
  CONTENT_ALERT,
  CONTENT_APPLICATION_DATA,
  CONTENT_CHANGE_CIPHER_SPEC,
  CONTENT_HANDSHAKE,
} from '../record/limits.ts';
import type { OpenedRecord } from '../record/protection.ts';
import type { RecordChannel } from './record-channel.ts';
import type { Runner } from './runner.ts';

/**
 * Bytes kept while the host is asked. A client may send this much before it has to wait for us (its hello is already
 * read); more would let it fill our memory while, say, a look-up is slow.
 */
const MAX_BUFFERED = 2 ** 17;

/** What the connection tells those that read for it. */
export interface IncomingHost {
  readonly role: 'client' | 'server';
  readonly channel: RecordChannel;
  /** A need is open: what arrives is kept. */
  readonly waiting: boolean;
  /** Neither side has ended what comes in. */
  readonly reading: boolean;
  emit(action: Action): void;
  receivedAlert(content: Uint8Array): void;
}

export class Incoming {
  readonly #host: IncomingHost;
  readonly #runner: Runner;
  /** From the first data on. */
  #joined: JoinedData | undefined;

  constructor(host: IncomingHost, runner: Runner) {
    this.#host = host;
    this.#runner = runner;
  }

  /** Reads all that can be read now: messages that waited for an answer, then records. */
  read(): void {
    this.#readMessages();
    try {
      this.#readRecords();
    } finally {
      // Also when a later record is refused: what was authentic came before it.
      this.#joined?.flush();
    }
  }

  #readRecords(): void {
    const host = this.#host;
    while (this.#readsOn && host.reading) {
      const record = host.channel.nextRecord();
      if (record === undefined) {
        return;
      }
      this.#onRecord(record);
    }
    if (host.waiting && host.channel.deframer.buffered > MAX_BUFFERED) {
      throw new TLSError(
        'TLS_ERR_UNEXPECTED_MESSAGE',
        `the peer sent more than ${MAX_BUFFERED} bytes while it had to wait`,
      );
    }
  }

  /**
   * The host has nothing to answer; or it has in a renegotiation, where the peer's data, which knows nothing of it, must
   * not be held up.
   */
  get #readsOn(): boolean {
    const { channel, waiting } = this.#host;
    return !waiting || (this.#runner.renegotiating && channel.deframer.nextType === CONTENT_APPLICATION_DATA);
  }

  #onRecord(record: OpenedRecord): void {
    const { type, content } = record;
    const { channel } = this.#host;
    if (type === CONTENT_APPLICATION_DATA) {
      this.#onData(content);
      return;
    }
    this.#joined?.flush();
    if (type === CONTENT_HANDSHAKE) {
      channel.joiner.add(plainBytes(content));
      this.#readMessages();
      return;
    }
    if (type === CONTENT_ALERT) {
      this.#host.receivedAlert(content);
      return;
    }
    if (type === CONTENT_CHANGE_CIPHER_SPEC && channel.isTls12) {
      this.#onChangeCipherSpec(content);
      return;
    }
    throw new TLSError('TLS_ERR_RECORD_TYPE', `a record has the content type ${type}`);
  }

  #onChangeCipherSpec(content: Uint8Array): void {
    if (content.length !== 1 || content[0] !== 1) {
      throw new TLSError('TLS_ERR_DECODE', 'a change_cipher_spec is not the single byte 1');
    }
    this.#host.channel.joiner.boundary();
    this.#runner.step('change_cipher_spec', undefined);
  }

  #onData(content: Uint8Array): void {
    const { channel, waiting } = this.#host;
    const early = this.#runner.earlyDataToCome;
    if (early !== undefined && !channel.joiner.pending) {
      channel.noteRecord(content.length === 0);
      early.take(content.length);
      if (content.length > 0) {
        this.#host.emit({ kind: 'earlyData', bytes: withoutPadding(content) });
      }
      return;
    }
    // While the host is asked, whole messages may wait.
    const joined = !channel.joiner.pending || waiting;
    const betweenMessages = this.#runner.betweenMessages && joined;
    if (this.#runner.established === undefined || !betweenMessages) {
      throw new TLSError('TLS_ERR_RECORD_TYPE', 'application data came where a handshake message was expected');
    }
    channel.noteRecord(content.length === 0);
    if (content.length > 0) {
      this.#runner.established.noteReceivedData(content.length);
      this.#joined ??= joinedFor(this.#host);
      this.#joined.add(content);
    }
  }

  #readMessages(): void {
    const host = this.#host;
    const { joiner } = host.channel;
    while (!host.waiting && host.reading) {
      const type = joiner.pendingType;
      if (type === undefined) {
        return;
      }
      const name = handshakeTypeName(type);
      if (name === 'hello_request' && this.#isHandshakingClient12) {
        // Already at it (RFC 5246 §7.4.1.1).
        if (joiner.next() === undefined) {
          return;
        }
        host.channel.noteRecord(true);
        continue;
      }
      if (name === undefined) {
        throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', `there is no handshake message of type ${type}`);
      }
      const message = joiner.next();
      if (message === undefined) {
        // Refused by its first byte: the rest of a message that is out of place would only fill our memory.
        if (!this.#runner.allows(name)) {
          this.#runner.step(name, undefined);
        }
        return;
      }
      this.#runner.step(name, message);
    }
  }

  get #isHandshakingClient12(): boolean {
    return this.#host.role === 'client' && this.#host.channel.isTls12 && this.#runner.handshaking;
  }
}

function joinedFor(host: IncomingHost): JoinedData {
  return new JoinedData(host.channel.deframer, (bytes) => host.emit({ kind: 'data', bytes }));
}
