/**
 * TLS 1.2 record protection with AEAD ciphers: one object per key, which holds its sequence number and its usage limit.
 *
 *     AES-GCM:            fragment = explicitNonce[8] ‖ ciphertext ‖ tag,  nonce = implicitNonce[4] ‖ explicitNonce[8]
 *     ChaCha20-Poly1305:  fragment = ciphertext ‖ tag,                     nonce = implicitNonce[12] XOR sequence_number
 *     additional_data   = sequence_number[8] ‖ type ‖ version ‖ length of the plaintext
 *
 * The explicit nonce is the sequence number: a counter never repeats, where random values would (RFC 5288 §3).
 * RFC 5246 §6.2.3.3, RFC 5288 §3, RFC 7905 §2.
 */

import { wipe } from '../bytes/bytes.ts';
import type { AeadKey, CryptoProvider } from '../crypto/provider.ts';
import type { AeadName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import type { RawRecord } from './deframer.ts';
import { MAX_PLAINTEXT, RECORD_HEADER_LENGTH, TAG_LENGTH } from './limits.ts';
import type { OpenedRecord, Opener, Sealer } from './protection.ts';
import type { TrafficKeys } from './traffic-keys.ts';

const NONCE_LENGTH = 12;
const EXPLICIT_NONCE_LENGTH = 8;
const VERSION_MAJOR = 3;
const VERSION_MINOR = 3;

/** The additional data of the record at work. Not on V8's heap, from where it would have to be moved for the cipher. */
const aad = new Uint8Array(new ArrayBuffer(13));

/** The nonce of the record at work: of all keys of this thread, as calls of the cipher are synchronous. */
const nonce = new Uint8Array(new ArrayBuffer(NONCE_LENGTH));

/** What both directions of one key share: the nonce of the next record. */
export class RecordCounter {
  readonly nonce: Uint8Array = nonce;
  readonly explicit: boolean;
  readonly #iv: Uint8Array;
  readonly #limit: number;
  sequenceNumber = 0;

  /** `iv` is taken over. */
  constructor(aead: AeadName, iv: Uint8Array, limit: number) {
    this.explicit = aead !== 'chacha20-poly1305';
    const ivLength = this.explicit ? NONCE_LENGTH - EXPLICIT_NONCE_LENGTH : NONCE_LENGTH;
    if (iv.length !== ivLength) {
      throw new TLSError('TLS_ERR_INTERNAL', `${aead} takes an implicit nonce of ${ivLength} bytes, not ${iv.length}`);
    }
    this.#iv = iv;
    this.#limit = limit;
  }

  get remaining(): number {
    return this.#limit - this.sequenceNumber;
  }

  /** Prepares the nonce, but for explicit ones that came with a record, and the additional data: valid until the next call. */
  prepare(type: number, length: number): Uint8Array {
    const high = Math.floor(this.sequenceNumber / 0x1_0000_0000);
    const low = this.sequenceNumber % 0x1_0000_0000;
    const iv = this.#iv;
    writeWord(aad, 0, high);
    writeWord(aad, 4, low);
    aad[8] = type;
    aad[9] = VERSION_MAJOR;
    aad[10] = VERSION_MINOR;
    aad[11] = length >>> 8;
    aad[12] = length;
    for (let i = 0; i < 4; i++) {
      nonce[i] = iv[i];
    }
    for (let i = 0; i < 8; i++) {
      nonce[4 + i] = this.explicit ? aad[i] : iv[4 + i] ^ aad[i];
    }
    return aad;
  }

  erase(): void {
    // It may hold the IV of this key.
    wipe(nonce);
    wipe(this.#iv);
  }
}

/** Seals records under one write key, which it takes over. */
export class Tls12Sealer implements Sealer {
  readonly #aead: AeadKey;
  readonly #counter: RecordCounter;
  /** Bytes that a record adds to its plaintext. */
  readonly overhead: number;

  constructor(provider: CryptoProvider, aead: AeadName, keys: TrafficKeys, usageLimit: number) {
    this.#aead = provider.aead(aead, keys.writeKey);
    this.#counter = new RecordCounter(aead, keys.writeIv.surrender('handed to the record layer'), usageLimit);
    this.overhead = RECORD_HEADER_LENGTH + TAG_LENGTH + (this.#counter.explicit ? EXPLICIT_NONCE_LENGTH : 0);
  }

  /** Records that may still be sealed. */
  get remaining(): number {
    return this.#counter.remaining;
  }

  /**
   * Seals `data[start, end)` as one record at `out[at…]` and returns where it ends.
   * @throws TLSError `TLS_ERR_USAGE_LIMIT` instead of ever overrunning the key's limit
   */
  seal(type: number, data: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number {
    const counter = this.#counter;
    if (counter.remaining <= 0) {
      throw new TLSError('TLS_ERR_USAGE_LIMIT', 'the write key has protected as many records as it may');
    }
    const length = end - start;
    const fragmentLength = length + this.overhead - RECORD_HEADER_LENGTH;
    const additionalData = counter.prepare(type, length);
    out[at] = type;
    out[at + 1] = VERSION_MAJOR;
    out[at + 2] = VERSION_MINOR;
    out[at + 3] = fragmentLength >>> 8;
    out[at + 4] = fragmentLength;
    let from = at + RECORD_HEADER_LENGTH;
    if (counter.explicit) {
      // By loops, as eight bytes are less work than a view of them.
      for (let i = 0; i < EXPLICIT_NONCE_LENGTH; i++) {
        out[from + i] = counter.nonce[4 + i];
      }
      from += EXPLICIT_NONCE_LENGTH;
    }
    const plaintext = start === 0 && end === data.length ? data : data.subarray(start, end);
    this.#aead.seal(counter.nonce, additionalData, plaintext, out, from);
    counter.sequenceNumber += 1;
    return at + RECORD_HEADER_LENGTH + fragmentLength;
  }

  erase(why: string): void {
    this.#aead.erase(why);
    this.#counter.erase();
  }
}

/** Opens records under one read key, which it takes over. */
export class Tls12Opener implements Opener {
  readonly #aead: AeadKey;
  readonly #counter: RecordCounter;

  constructor(provider: CryptoProvider, aead: AeadName, keys: TrafficKeys, usageLimit: number) {
    this.#aead = provider.aead(aead, keys.writeKey);
    this.#counter = new RecordCounter(aead, keys.writeIv.surrender('handed to the record layer'), usageLimit);
  }

  get remaining(): number {
    return this.#counter.remaining;
  }

  /**
   * The plaintext, as a fresh allocation.
   * @throws TLSError `TLS_ERR_BAD_RECORD_MAC`, `TLS_ERR_RECORD_OVERFLOW`, `TLS_ERR_PEER_USAGE_LIMIT`
   */
  open(record: RawRecord): OpenedRecord {
    const counter = this.#counter;
    if (counter.remaining <= 0) {
      throw new TLSError('TLS_ERR_PEER_USAGE_LIMIT', 'the key of the peer has protected as many records as it may');
    }
    const nonceLength = counter.explicit ? EXPLICIT_NONCE_LENGTH : 0;
    const { type, fragment } = record;
    const length = fragment.length - nonceLength - TAG_LENGTH;
    if (length < 0) {
      throw new TLSError('TLS_ERR_BAD_RECORD_MAC', `a protected record of ${fragment.length} bytes is too short`);
    }
    if (length > MAX_PLAINTEXT) {
      throw new TLSError(
        'TLS_ERR_RECORD_OVERFLOW',
        `a record holds ${length} bytes, at most ${MAX_PLAINTEXT} are allowed`,
      );
    }
    const additionalData = counter.prepare(type, length);
    // As they came, and not as they ought to be: the record's own version is what the peer has authenticated.
    additionalData[9] = record.header[1];
    additionalData[10] = record.header[2];
    if (counter.explicit) {
      // The peer's own choice: any value is legal, and authentication binds it to the record.
      for (let i = 0; i < EXPLICIT_NONCE_LENGTH; i++) {
        counter.nonce[4 + i] = fragment[i];
      }
    }
    const content = this.#aead.open(counter.nonce, additionalData, fragment.subarray(nonceLength));
    if (content === undefined) {
      throw new TLSError('TLS_ERR_BAD_RECORD_MAC', `record ${counter.sequenceNumber} is not authentic`);
    }
    counter.sequenceNumber += 1;
    return { type, content };
  }

  erase(why: string): void {
    this.#aead.erase(why);
    this.#counter.erase();
  }
}

function writeWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
