/**
 * TLS 1.3 record protection: one object per key, which holds its sequence number and its usage limit.
 *
 *     TLSInnerPlaintext  = content ‖ ContentType ‖ zeros
 *     encrypted_record   = AEAD-Encrypt(write_key, nonce, additional_data, TLSInnerPlaintext)
 *     nonce              = write_iv XOR sequence_number (64 bits, right-aligned)
 *     additional_data    = the record's header
 *
 * RFC 9846 §5.2, §5.3, §5.5.
 */

import { wipe } from '../bytes/bytes.ts';
import type { AeadKey, CryptoProvider } from '../crypto/provider.ts';
import type { AeadName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import type { RawRecord } from './deframer.ts';
import {
  CONTENT_APPLICATION_DATA,
  MAX_PLAINTEXT,
  RECORD_HEADER_LENGTH,
  RECORD_OVERHEAD,
  TAG_LENGTH,
} from './limits.ts';
import type { OpenedRecord, Opener, Sealer } from './protection.ts';
import type { TrafficKeys } from './traffic-keys.ts';

/** Content and type of the record being sealed: copied once so that the cipher runs once. */
const scratch = new Uint8Array(MAX_PLAINTEXT + 1);

/** The header of the record being sealed. Not on V8's heap, from where it would have to be moved for the cipher. */
const header = new Uint8Array(new ArrayBuffer(RECORD_HEADER_LENGTH));
header.set([CONTENT_APPLICATION_DATA, 3, 3]);

/**
 * A nonce that counts. The IV in it is key material and is erased with the key. Exported for its test, which sets the
 * number to where no test could count.
 */
export class NonceCounter {
  readonly nonce: Uint8Array;
  #ivHigh: number;
  #ivLow: number;
  sequenceNumber = 0;

  /** `iv` is taken over. */
  constructor(iv: Uint8Array) {
    this.nonce = iv;
    this.#ivHigh = word(iv, 4);
    this.#ivLow = word(iv, 8);
  }

  /** Sets the nonce for the current sequence number and counts on. The usage limit ends the key far below 2^53. */
  advance(): Uint8Array {
    const sequence = this.sequenceNumber++;
    const nonce = this.nonce;
    const low = this.#ivLow ^ (sequence | 0);
    nonce[8] = low >>> 24;
    nonce[9] = low >>> 16;
    nonce[10] = low >>> 8;
    nonce[11] = low;
    if (sequence >= 0x1_0000_0000) {
      const high = this.#ivHigh ^ Math.floor(sequence / 0x1_0000_0000);
      nonce[4] = high >>> 24;
      nonce[5] = high >>> 16;
      nonce[6] = high >>> 8;
      nonce[7] = high;
    }
    return nonce;
  }

  erase(): void {
    wipe(this.nonce);
    this.#ivHigh = 0;
    this.#ivLow = 0;
  }
}

/** Seals records under one write key, which it takes over. */
export class RecordSealer implements Sealer {
  readonly overhead: number = RECORD_OVERHEAD;
  readonly #aead: AeadKey;
  readonly #counter: NonceCounter;
  readonly #limit: number;

  constructor(provider: CryptoProvider, aead: AeadName, keys: TrafficKeys, usageLimit: number) {
    this.#aead = provider.aead(aead, keys.writeKey);
    this.#counter = new NonceCounter(keys.writeIv.surrender('handed to the record layer'));
    this.#limit = usageLimit;
  }

  /** Records that may still be sealed. */
  get remaining(): number {
    return this.#limit - this.#counter.sequenceNumber;
  }

  /**
   * Seals `data[start, end)` as one record at `out[at…]` and returns where it ends.
   * @throws TLSError `TLS_ERR_USAGE_LIMIT` instead of ever overrunning the key's limit
   */
  seal(type: number, data: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number {
    if (this.remaining <= 0) {
      throw new TLSError('TLS_ERR_USAGE_LIMIT', `the write key has protected its ${this.#limit} records`);
    }
    const length = end - start;
    const sealedLength = length + 1 + TAG_LENGTH;
    header[3] = sealedLength >>> 8;
    header[4] = sealedLength;
    scratch.set(start === 0 && end === data.length ? data : data.subarray(start, end));
    scratch[length] = type;
    out.set(header, at);
    this.#aead.seal(this.#counter.advance(), header, scratch.subarray(0, length + 1), out, at + RECORD_HEADER_LENGTH);
    return at + length + RECORD_OVERHEAD;
  }

  erase(why: string): void {
    this.#aead.erase(why);
    this.#counter.erase();
  }
}

/** Opens records under one read key, which it takes over. */
export class RecordOpener implements Opener {
  readonly #aead: AeadKey;
  readonly #counter: NonceCounter;
  readonly #limit: number;
  readonly #maxInnerLength: number;

  /** `maxInnerLength`: bytes of TLSInnerPlaintext that we accept (RFC 8449), at most 2^14 + 1. */
  constructor(provider: CryptoProvider, aead: AeadName, keys: TrafficKeys, usageLimit: number, maxInnerLength: number) {
    this.#aead = provider.aead(aead, keys.writeKey);
    this.#counter = new NonceCounter(keys.writeIv.surrender('handed to the record layer'));
    this.#limit = usageLimit;
    this.#maxInnerLength = maxInnerLength;
  }

  get remaining(): number {
    return this.#limit - this.#counter.sequenceNumber;
  }

  /** @throws TLSError `TLS_ERR_BAD_RECORD_MAC`, `TLS_ERR_RECORD_OVERFLOW`, `TLS_ERR_RECORD_TYPE`, `TLS_ERR_PEER_USAGE_LIMIT` */
  open(record: RawRecord): OpenedRecord {
    const opened = this.tryOpen(record);
    if (opened === undefined) {
      throw new TLSError('TLS_ERR_BAD_RECORD_MAC', `record ${this.#counter.sequenceNumber} is not authentic`);
    }
    return opened;
  }

  /** Like `open`, but undefined for a record that is not authentic, which then does not count. */
  tryOpen(record: RawRecord): OpenedRecord | undefined {
    if (this.remaining <= 0) {
      throw new TLSError('TLS_ERR_PEER_USAGE_LIMIT', `the peer's key has protected its ${this.#limit} records`);
    }
    if (record.fragment.length < TAG_LENGTH + 1) {
      return undefined;
    }
    const inner = this.#aead.open(this.#counter.advance(), record.header, record.fragment);
    if (inner === undefined) {
      this.#counter.sequenceNumber -= 1;
      return undefined;
    }
    if (inner.length > this.#maxInnerLength) {
      throw new TLSError(
        'TLS_ERR_RECORD_OVERFLOW',
        `a record holds ${inner.length} bytes, at most ${this.#maxInnerLength} were agreed`,
      );
    }
    let at = inner.length - 1;
    while (at >= 0 && inner[at] === 0) {
      at -= 1;
    }
    if (at < 0) {
      throw new TLSError('TLS_ERR_RECORD_TYPE', 'a protected record has no content type');
    }
    return { type: inner[at], content: inner.subarray(0, at) };
  }

  erase(why: string): void {
    this.#aead.erase(why);
    this.#counter.erase();
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}
