/**
 * Deframer: cuts a byte stream into records, in place where they arrived whole.
 *
 *     struct { ContentType type; ProtocolVersion legacy_record_version; uint16 length; opaque fragment[length]; }
 *
 * RFC 9846 §5.1. Bytes are borrowed during one `receive`: views into them are valid until it returns, and `retain`
 * copies what is left over.
 */

import { TLSError } from '../errors.ts';
import {
  CONTENT_APPLICATION_DATA,
  CONTENT_CHANGE_CIPHER_SPEC,
  MAX_CIPHERTEXT,
  MAX_PLAINTEXT,
  RECORD_HEADER_LENGTH,
  TAG_LENGTH,
} from './limits.ts';

export interface RawRecord {
  readonly type: number;
  /** The five bytes of the header: the additional data of a protected record. */
  readonly header: Uint8Array;
  readonly fragment: Uint8Array;
}

export class Deframer {
  /** Bytes of earlier calls that are not consumed yet; of one record alone, as soon as its length is known. */
  #kept: Uint8Array | undefined;
  #keptLength = 0;
  /** What the record being read lies in, when it came in pieces. */
  #spent: Uint8Array | undefined;
  /** Bytes of this call. */
  #bytes: Uint8Array | undefined;
  #offset = 0;
  #started = false;
  #allProtected = false;

  /** Lends the bytes of this call. Everything lent before must have been consumed or retained. */
  lend(bytes: Uint8Array): void {
    if (this.#bytes !== undefined) {
      throw new TLSError('TLS_ERR_INTERNAL', 'the deframer already holds bytes');
    }
    this.#bytes = bytes;
    this.#offset = 0;
  }

  /** The next whole record, or undefined when more bytes are needed. */
  next(): RawRecord | undefined {
    if (this.#kept !== undefined) {
      return this.#nextFromKept();
    }
    const bytes = this.#bytes;
    if (bytes === undefined) {
      return undefined;
    }
    const at = this.#offset;
    const left = bytes.length - at;
    if (left === 0) {
      return undefined;
    }
    this.#checkStart(bytes, at);
    if (left < RECORD_HEADER_LENGTH) {
      return undefined;
    }
    const length = this.#checkHeader(bytes, at);
    if (left < RECORD_HEADER_LENGTH + length) {
      return undefined;
    }
    this.#offset = at + RECORD_HEADER_LENGTH + length;
    return record(bytes, at, length);
  }

  /** The content type in the header of the next record, as soon as it is here. */
  get nextType(): number | undefined {
    const bytes = this.#bytes;
    return this.#kept?.[0] ?? (bytes === undefined || this.#offset === bytes.length ? undefined : bytes[this.#offset]);
  }

  /** Bytes that whole records behind the present one hold at most, once opened; counted no further than to `enough`. */
  wholeRecordsAhead(enough: number): number {
    const bytes = this.#bytes;
    if (bytes === undefined || this.#kept !== undefined) {
      return 0;
    }
    let ahead = 0;
    for (let at = this.#offset; bytes.length - at >= RECORD_HEADER_LENGTH && ahead < enough; ) {
      const length = (bytes[at + 3] << 8) | bytes[at + 4];
      at += RECORD_HEADER_LENGTH + length;
      if (at > bytes.length) {
        break;
      }
      ahead += Math.max(0, length - TAG_LENGTH);
    }
    return ahead;
  }

  /** TLS 1.2 with a read key: a record of any type is as long as protection makes it (RFC 5246 §6.2.3). */
  expectProtected(): void {
    this.#allProtected = true;
  }

  /** Ends the loan: copies what was not consumed, which is at most what the peer sent in this call. */
  retain(): void {
    const bytes = this.#bytes;
    this.#bytes = undefined;
    spare = this.#spent ?? spare;
    this.#spent = undefined;
    if (bytes === undefined || this.#offset === bytes.length) {
      return;
    }
    const rest = bytes.subarray(this.#offset);
    if (this.#kept === undefined) {
      // No more than four times what the peer sent: it could make thousands of connections wait with a byte each.
      this.#kept =
        spare !== undefined && spare.length <= 4 * rest.length ? takeSpare(rest.length) : new Uint8Array(rest);
      this.#kept.set(rest);
      this.#keptLength = rest.length;
      return;
    }
    const needed = this.#keptLength + rest.length;
    if (this.#kept.length < needed) {
      // Doubling, so that a peer that trickles bytes while the host is asked costs linear time.
      const grown = new Uint8Array(Math.max(needed, 2 * this.#kept.length));
      grown.set(this.#kept.subarray(0, this.#keptLength));
      this.#kept = grown;
    }
    this.#kept.set(rest, this.#keptLength);
    this.#keptLength = needed;
  }

  /** Bytes that wait for the rest of their record, or for the host's answer. */
  get buffered(): number {
    return this.#keptLength + (this.#bytes === undefined ? 0 : this.#bytes.length - this.#offset);
  }

  clear(): void {
    this.#kept = undefined;
    this.#keptLength = 0;
    this.#bytes = undefined;
  }

  #nextFromKept(): RawRecord | undefined {
    const header = this.#fillKept(RECORD_HEADER_LENGTH);
    if (this.#keptLength > 0) {
      this.#checkStart(header, 0);
    }
    if (this.#keptLength < RECORD_HEADER_LENGTH) {
      return undefined;
    }
    const length = this.#checkHeader(header, 0);
    const total = RECORD_HEADER_LENGTH + length;
    const kept = this.#fillKept(total);
    if (this.#keptLength < total) {
      return undefined;
    }
    if (this.#keptLength === total) {
      // Views of others are given to the handshake.
      this.#spent = kept[0] === CONTENT_APPLICATION_DATA ? kept : undefined;
      this.#kept = undefined;
      this.#keptLength = 0;
    } else {
      this.#kept = kept.subarray(total, this.#keptLength);
      this.#keptLength -= total;
    }
    return record(kept, 0, length);
  }

  /** Takes from the lent bytes until `wanted` are kept, and no more: later records stay in place. */
  #fillKept(wanted: number): Uint8Array {
    let kept = this.#kept as Uint8Array;
    const missing = wanted - this.#keptLength;
    const bytes = this.#bytes;
    if (missing <= 0 || bytes === undefined) {
      return kept;
    }
    if (kept.length < wanted) {
      const grown = takeSpare(wanted);
      grown.set(kept.subarray(0, this.#keptLength));
      kept = grown;
      this.#kept = kept;
    }
    const taken = Math.min(missing, bytes.length - this.#offset);
    kept.set(bytes.subarray(this.#offset, this.#offset + taken), this.#keptLength);
    this.#offset += taken;
    this.#keptLength += taken;
    return kept;
  }

  #checkStart(bytes: Uint8Array, at: number): void {
    const type = bytes[at];
    if (type >= CONTENT_CHANGE_CIPHER_SPEC && type <= CONTENT_APPLICATION_DATA) {
      return;
    }
    if (this.#started) {
      throw new TLSError('TLS_ERR_RECORD_TYPE', `a record has the unknown content type ${type}`);
    }
    if (isSsl2Hello(bytes, at)) {
      throw new TLSError(
        'TLS_ERR_PROTOCOL_VERSION',
        'the client begins with the hello of SSL 2.0, which is not spoken',
      );
    }
    throw new TLSError('TLS_ERR_NOT_TLS', `the peer does not speak TLS: its first byte is ${type}`);
  }

  /** Returns the fragment's length. */
  #checkHeader(bytes: Uint8Array, at: number): number {
    const type = bytes[at];
    const length = (bytes[at + 3] << 8) | bytes[at + 4];
    if (bytes[at + 1] !== 3) {
      if (!this.#started) {
        throw new TLSError('TLS_ERR_NOT_TLS', 'the peer does not speak TLS: its first record has no TLS version');
      }
      throw new TLSError('TLS_ERR_DECODE', `a record has the version ${bytes[at + 1]}.${bytes[at + 2]}`);
    }
    const limit = this.#allProtected || type === CONTENT_APPLICATION_DATA ? MAX_CIPHERTEXT : MAX_PLAINTEXT;
    if (length > limit) {
      throw new TLSError('TLS_ERR_RECORD_OVERFLOW', `a record of ${length} bytes exceeds ${limit}`);
    }
    this.#started = true;
    return length;
  }
}

/** A client so old that it begins with this understands a TLS alert, but no silence (RFC 6176, RFC 5246 Appendix E.2). */
function isSsl2Hello(bytes: Uint8Array, at: number): boolean {
  const isFor = (major: number) => bytes[at + 3] === major;
  return bytes[at] >= 0x80 && bytes[at + 2] === 1 && (isFor(3) || (isFor(0) && bytes[at + 4] === 2));
}

/** At least `length` bytes: in a stream of large records each read ends within one, and no memory is allocated for it. */
function takeSpare(length: number): Uint8Array {
  const taken = spare;
  if (taken === undefined || taken.length < length) {
    return new Uint8Array(length);
  }
  spare = undefined;
  return taken;
}

/** Held ciphertext; one per thread. */
let spare: Uint8Array | undefined;

function record(bytes: Uint8Array, at: number, length: number): RawRecord {
  const start = at + RECORD_HEADER_LENGTH;
  return {
    type: bytes[at],
    header: bytes.subarray(at, start),
    fragment: bytes.subarray(start, start + length),
  };
}
