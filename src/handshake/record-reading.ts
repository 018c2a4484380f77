/**
 * What a connection reads of the record layer: plaintext until a traffic secret is set, protected from then on. Early data that
 * was refused is skipped here.
 *
 * RFC 9846 §4.3.10, §5, §7.3; RFC 8449 §4; RFC 6066 §4.
 */

import type { CryptoProvider } from '../crypto/provider.ts';
import type { CipherSuite12 } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { MessageJoiner, type RecordBoundary } from '../messages/message-joiner.ts';
import { Deframer, type RawRecord } from '../record/deframer.ts';
import {
  CONTENT_ALERT,
  CONTENT_APPLICATION_DATA,
  CONTENT_CHANGE_CIPHER_SPEC,
  CONTENT_HANDSHAKE,
  MAX_EMPTY_RECORDS,
  MAX_PLAINTEXT,
  READ_LIMIT,
  TAG_LENGTH,
} from '../record/limits.ts';
import type { OpenedRecord, Opener } from '../record/protection.ts';
import { Tls12Opener } from '../record/tls12-protection.ts';
import { RecordOpener } from '../record/tls13-protection.ts';
import type { TrafficKeys } from '../record/traffic-keys.ts';
import { present } from './present.ts';

export interface ChannelOptions {
  readonly provider: CryptoProvider;
  readonly role: 'client' | 'server';
  readonly usageLimit: number | undefined;
  readonly allocate: ((length: number) => Uint8Array) | undefined;
}

export abstract class RecordReading {
  readonly deframer = new Deframer();
  readonly joiner = new MessageJoiner();
  protected readonly options: ChannelOptions;
  #opener: RecordOpener | undefined;
  #tls12 = false;
  #opener12: Opener | undefined;
  #readSecret: TrafficSecret | undefined;
  #receiveLimit = MAX_PLAINTEXT + 1;
  /** The same of the present keys of TLS 1.2: what a renegotiation agrees on holds from its own keys on (RFC 8449 §4). */
  #receiveLimit12 = MAX_PLAINTEXT + 1;
  /** Bytes of a record of TLS 1.2 that comes without keys. */
  #plaintextLimit = MAX_PLAINTEXT;
  #emptyRecords = 0;
  #changeCipherSpecLegal = false;
  #skipEarlyData: 'no' | 'undecryptable' | 'all' = 'no';
  /** Bytes of records that may still be skipped. */
  #skippable = 0;

  constructor(options: ChannelOptions) {
    this.options = options;
  }

  /** The next record's content. Contents of protected records are fresh allocations, others are borrowed. */
  nextRecord(): OpenedRecord | undefined {
    for (;;) {
      const record = this.deframer.next();
      if (record === undefined) {
        return undefined;
      }
      if (this.#tls12) {
        return this.#openTls12(record);
      }
      if (record.type === CONTENT_CHANGE_CIPHER_SPEC) {
        this.#checkChangeCipherSpec(record.fragment);
        continue;
      }
      const opener = this.#opener;
      if (opener === undefined) {
        if (record.type === CONTENT_APPLICATION_DATA) {
          if (this.#skipEarlyData === 'all' && this.#skip(record.fragment.length)) {
            continue;
          }
          throw new TLSError('TLS_ERR_RECORD_TYPE', 'application data came before the handshake made keys');
        }
        return { type: record.type, content: record.fragment };
      }
      if (record.type !== CONTENT_APPLICATION_DATA) {
        return this.#plaintextAfterKeys(record.type, record.fragment);
      }
      // What is skipped was made before any limit was agreed.
      if (this.#skipEarlyData === 'undecryptable') {
        const opened = opener.tryOpen(record);
        if (opened === undefined && this.#skip(record.fragment.length)) {
          continue;
        }
        this.#skipEarlyData = 'no';
        if (opened !== undefined) {
          return opened;
        }
      }
      if (record.fragment.length - TAG_LENGTH > this.#readLimit) {
        throw new TLSError(
          'TLS_ERR_RECORD_OVERFLOW',
          `a record holds ${record.fragment.length - TAG_LENGTH} bytes, at most ${this.#readLimit} were agreed`,
        );
      }
      return opener.open(record);
    }
  }

  /** Counts a record that carried nothing; one that carried something starts the count anew. */
  noteRecord(empty: boolean): void {
    if (!empty) {
      this.#emptyRecords = 0;
      return;
    }
    this.#emptyRecords += 1;
    if (this.#emptyRecords > MAX_EMPTY_RECORDS) {
      throw new TLSError('TLS_ERR_EMPTY_RECORDS', `more than ${MAX_EMPTY_RECORDS} records in a row carry nothing`);
    }
  }

  /** From the first ClientHello to the peer's Finished a change_cipher_spec is ignored (RFC 9846 §5). */
  allowChangeCipherSpec(allowed: boolean): void {
    this.#changeCipherSpecLegal = allowed;
  }

  /**
   * A server that refused early data skips what the client sent of it (RFC 9846 §4.3.10). `maxEarlyDataSize`: the most that
   * our tickets allow. Twice that, as small records are half header, tag and type.
   */
  skipEarlyData(which: 'undecryptable' | 'all', maxEarlyDataSize = 0): void {
    this.#skipEarlyData = which;
    this.#skippable = Math.max(MIN_SKIPPED_EARLY_DATA, 2 * maxEarlyDataSize);
  }

  /** Opens with this secret from the next record on. The proof comes from the joiner. */
  protectRead(secret: TrafficSecret, _boundary: RecordBoundary): void {
    this.#opener?.erase('next key');
    this.#readSecret?.erase('next key');
    this.#readSecret = secret;
    this.#opener = new RecordOpener(
      this.options.provider,
      secret.suite.aead,
      secret.trafficKeys(),
      READ_LIMIT,
      this.#readLimit,
    );
  }

  /** KeyUpdate of the peer; returns the new generation. */
  updateRead(boundary: RecordBoundary): TrafficSecret {
    const next = present(this.#readSecret).next();
    this.#readSecret = undefined;
    this.protectRead(next, boundary);
    return next;
  }

  /** The read key has opened as many records as its usage limit allows: it is time to ask the peer for a new one. */
  get readKeyWorn(): boolean {
    const opener = this.#opener;
    const secret = this.#readSecret;
    return opener !== undefined && secret !== undefined && READ_LIMIT - opener.remaining >= this.limitOf(secret);
  }

  /** Bytes of TLSInnerPlaintext. Early data is sent before the client knows our limit. */
  get #readLimit(): number {
    return this.#readSecret?.label === 'CLIENT_EARLY_TRAFFIC_SECRET' ? MAX_PLAINTEXT + 1 : this.#receiveLimit;
  }

  /** TLS 1.3: the secret behind the present read key. */
  get readSecret(): TrafficSecret {
    return present(this.#readSecret);
  }

  get readGeneration(): number {
    return this.#readSecret?.generation ?? 0;
  }

  /** What we announced, once the peer has agreed (RFC 8449 §4). */
  limitReceivedRecords(innerLength: number): void {
    this.#receiveLimit = Math.min(innerLength, MAX_PLAINTEXT + 1);
  }

  /** max_fragment_length, unlike record_size_limit, holds without keys too (RFC 6066 §4). */
  limitFragments(length: number): void {
    this.#receiveLimit = length + 1;
    this.#plaintextLimit = length;
  }

  /**
   * TLS 1.2 was agreed: from here on a change_cipher_spec is an event of the handshake, and a record that comes after one
   * is protected whatever its type.
   */
  useTls12(): void {
    this.#tls12 = true;
    this.#changeCipherSpecLegal = false;
  }

  get isTls12(): boolean {
    return this.#tls12;
  }

  /** TLS 1.2: opens with these keys from the next record on; takes them over. */
  protectReadTls12(suite: CipherSuite12, keys: TrafficKeys, _boundary: RecordBoundary): void {
    this.deframer.expectProtected();
    this.#opener12?.erase('next key');
    this.#opener12 = new Tls12Opener(this.options.provider, suite.aead, keys, READ_LIMIT);
    this.#receiveLimit12 = this.#receiveLimit;
  }

  erase(why: string): void {
    this.#opener?.erase(why);
    this.#opener12?.erase(why);
    this.#readSecret?.erase(why);
    this.deframer.clear();
  }

  /** A host's lower limit is for application keys: handshake keys cannot be renewed, and carry little. */
  protected limitOf(secret: TrafficSecret): number {
    const { usageLimit } = secret.suite;
    const isApplication = secret.label === 'CLIENT_TRAFFIC_SECRET' || secret.label === 'SERVER_TRAFFIC_SECRET';
    return isApplication ? Math.min(this.options.usageLimit ?? usageLimit, usageLimit) : usageLimit;
  }

  #openTls12(record: RawRecord): OpenedRecord {
    if (this.#opener12 !== undefined) {
      const opened = this.#opener12.open(record);
      // The limit counts a content type, which TLS 1.2 does not have inside (RFC 8449 §4).
      if (opened.content.length >= this.#receiveLimit12) {
        throw new TLSError(
          'TLS_ERR_RECORD_OVERFLOW',
          `a record holds ${opened.content.length} bytes, more than agreed`,
        );
      }
      return opened;
    }
    if (record.type === CONTENT_APPLICATION_DATA) {
      throw new TLSError('TLS_ERR_RECORD_TYPE', 'application data came before the handshake made keys');
    }
    if (record.fragment.length > this.#plaintextLimit) {
      throw new TLSError(
        'TLS_ERR_RECORD_OVERFLOW',
        `a record holds ${record.fragment.length} bytes, at most ${this.#plaintextLimit} were agreed`,
      );
    }
    return { type: record.type, content: record.fragment };
  }

  #checkChangeCipherSpec(fragment: Uint8Array): void {
    if (!this.#changeCipherSpecLegal || this.joiner.pending || fragment.length !== 1 || fragment[0] !== 1) {
      throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'a change_cipher_spec came where none is allowed');
    }
    this.noteRecord(true);
  }

  /**
   * A plaintext alert may still come from a client that could not make keys; nothing else may (RFC 9846 §5.2, §6).
   */
  #plaintextAfterKeys(type: number, fragment: Uint8Array): OpenedRecord {
    if (type === CONTENT_ALERT && this.options.role === 'server' && this.#changeCipherSpecLegal) {
      return { type, content: fragment };
    }
    const what = type === CONTENT_HANDSHAKE ? 'a handshake message' : 'a record';
    throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', `${what} came unprotected after keys were made`);
  }

  #skip(length: number): boolean {
    this.#skippable -= length;
    return this.#skippable >= 0;
  }
}

/**
 * Bytes of records that a server skips at least after refusing early data: tickets of another server, or of a former run,
 * may have allowed what this one does not. A peer could make us try to open records for ever.
 */
const MIN_SKIPPED_EARLY_DATA = 2 ** 16;
