/**
 * Joins handshake messages from the fragments that records carry, and proves record boundaries.
 *
 *     struct { HandshakeType msg_type; uint24 length; … } Handshake;
 *
 * RFC 9846 §4, §5.1.
 */

import { TLSError } from '../errors.ts';
import { handshakeTypeName } from './code-points.ts';
import { maxMessageLength } from './handshake-message.ts';

const HEADER_LENGTH = 4;
/**
 * Records over which one message may be spread. A peer with the smallest record size limit (64) needs some 1,600 for
 * the longest Certificate; one-byte fragments would make us join a hundred thousand.
 */
const MAX_FRAGMENTS = 2048;

declare const boundary: unique symbol;
/** Proof that no handshake message is half received: read keys may change now. */
export interface RecordBoundary {
  readonly [boundary]: true;
}

export interface JoinedMessage {
  readonly type: number;
  /** With its four-byte header: what the transcript covers. */
  readonly raw: Uint8Array;
  readonly body: Uint8Array;
}

export class MessageJoiner {
  #bytes: Uint8Array | undefined;
  #fragments = 0;
  /** `#bytes` is a view of a record's memory. */
  #borrowed = false;

  /** Adds a record's content. */
  add(fragment: Uint8Array): void {
    if (fragment.length === 0) {
      throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'a handshake record is empty');
    }
    if (this.#bytes === undefined) {
      this.#bytes = fragment;
      this.#borrowed = true;
      this.#fragments = 1;
      return;
    }
    this.#fragments += 1;
    if (this.#fragments > MAX_FRAGMENTS) {
      throw new TLSError(
        'TLS_ERR_MESSAGE_TOO_LONG',
        `a handshake message is spread over more than ${MAX_FRAGMENTS} records`,
      );
    }
    const joined = new Uint8Array(this.#bytes.length + fragment.length);
    joined.set(this.#bytes);
    joined.set(fragment, this.#bytes.length);
    this.#bytes = joined;
    this.#borrowed = false;
  }

  /** The next whole message, as views that stay valid while the record they came in does. */
  next(): JoinedMessage | undefined {
    const bytes = this.#bytes;
    if (bytes === undefined) {
      return undefined;
    }
    if (handshakeTypeName(bytes[0]) === undefined) {
      throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', `there is no handshake message of type ${bytes[0]}`);
    }
    const limit = maxMessageLength(bytes[0]);
    if (bytes.length < HEADER_LENGTH) {
      return undefined;
    }
    const length = (bytes[1] << 16) | (bytes[2] << 8) | bytes[3];
    if (length > limit) {
      throw new TLSError(
        'TLS_ERR_MESSAGE_TOO_LONG',
        `a handshake message of type ${bytes[0]} has ${length} bytes, at most ${limit} are allowed`,
      );
    }
    const end = HEADER_LENGTH + length;
    if (bytes.length < end) {
      return undefined;
    }
    this.#bytes = bytes.length === end ? undefined : bytes.subarray(end);
    this.#fragments = this.#bytes === undefined ? 0 : 1;
    const raw = bytes.length === end ? bytes : bytes.subarray(0, end);
    return { type: bytes[0], raw, body: bytes.subarray(HEADER_LENGTH, end) };
  }

  /** Copies what is left, for views whose memory is about to be reused. */
  retain(): void {
    if (this.#bytes !== undefined && this.#borrowed) {
      this.#bytes = new Uint8Array(this.#bytes);
      this.#borrowed = false;
    }
  }

  /** The type of the message that is being received, known from its first byte. */
  get pendingType(): number | undefined {
    return this.#bytes?.[0];
  }

  get pending(): boolean {
    return this.#bytes !== undefined;
  }

  /** @throws TLSError `TLS_ERR_RECORD_BOUNDARY` when bytes follow in the same record */
  boundary(): RecordBoundary {
    if (this.#bytes !== undefined) {
      throw new TLSError(
        'TLS_ERR_RECORD_BOUNDARY',
        `${this.#bytes.length} handshake bytes stand before a key change in the same record`,
      );
    }
    return PROOF;
  }
}

const PROOF = {} as RecordBoundary;
