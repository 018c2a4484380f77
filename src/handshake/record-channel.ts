/**
 * The record layer of one connection, both ways: what is written and read is plaintext until a traffic secret is set,
 * protected from then on, and never goes back.
 *
 * RFC 9846 §5, §7.3.
 */

import { ALERT_LEVEL_FATAL, ALERT_LEVEL_WARNING, type AlertDescription, alertCodes } from '../alerts.ts';
import { concat } from '../bytes/bytes.ts';
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
  RENEGOTIATE_AT_REMAINING,
  TAG_LENGTH,
  UPDATE_AT_REMAINING,
} from '../record/limits.ts';
import { Outgoing } from '../record/outgoing.ts';
import { PlaintextWriter } from '../record/plaintext-writer.ts';
import { ProtectedWriter } from '../record/protected-writer.ts';
import type { OpenedRecord, Opener } from '../record/protection.ts';
import { Tls12Opener, Tls12Sealer } from '../record/tls12-protection.ts';
import { RecordOpener, RecordSealer } from '../record/tls13-protection.ts';
import type { TrafficKeys } from '../record/traffic-keys.ts';
import type { HandshakeChannel } from './channel.ts';

/**
 * Bytes of records that a server skips at least after refusing early data: tickets of another server, or of a former run,
 * may have allowed what this one does not. A peer could make us try to open records for ever.
 */
const MIN_SKIPPED_EARLY_DATA = 2 ** 16;

const WARNINGS = new Set<AlertDescription>(['close_notify', 'user_canceled', 'no_renegotiation']);

export interface ChannelOptions {
  readonly provider: CryptoProvider;
  readonly role: 'client' | 'server';
  readonly usageLimit: number | undefined;
  /** What we advertise in record_size_limit, bytes of TLSInnerPlaintext. */
  readonly recordSizeLimit: number | undefined;
  readonly allocate: ((length: number) => Uint8Array) | undefined;
}

export class RecordChannel implements HandshakeChannel {
  readonly deframer = new Deframer();
  readonly joiner = new MessageJoiner();
  readonly outgoing: Outgoing;
  /** Our keys are new and not confirmed yet: no application data may go out under them. */
  holdsData = false;
  readonly #options: ChannelOptions;
  #plaintext: PlaintextWriter | undefined;
  #writer: ProtectedWriter | undefined;
  #opener: RecordOpener | undefined;
  #tls12 = false;
  #opener12: Opener | undefined;
  #writeSecret: TrafficSecret | undefined;
  #readSecret: TrafficSecret | undefined;
  #pendingHandshake: Uint8Array[] = [];
  #maxFragment = MAX_PLAINTEXT;
  #receiveLimit = MAX_PLAINTEXT + 1;
  #emptyRecords = 0;
  #changeCipherSpecLegal = false;
  #skipEarlyData: 'no' | 'undecryptable' | 'all' = 'no';
  /** Bytes of records that may still be skipped. */
  #skippable = 0;
  /** A client's early data, beside the handshake that goes on in the clear. */
  #earlyWriter: ProtectedWriter | undefined;
  #earlySecret: TrafficSecret | undefined;
  #writeLimit12 = 0;
  #writingEnded = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.outgoing = new Outgoing(options.allocate);
    this.#plaintext = new PlaintextWriter(this.outgoing, options.role === 'client' ? 0x0301 : 0x0303);
  }

  // Reading

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
      this.#options.provider,
      secret.suite.aead,
      secret.trafficKeys(),
      READ_LIMIT,
      this.#readLimit,
    );
  }

  /** KeyUpdate of the peer; returns the new generation. */
  updateRead(boundary: RecordBoundary): TrafficSecret {
    const next = expect(this.#readSecret).next();
    this.#readSecret = undefined;
    this.protectRead(next, boundary);
    return next;
  }

  /** The read key has opened as many records as its usage limit allows: it is time to ask the peer for a new one. */
  get readKeyWorn(): boolean {
    const opener = this.#opener;
    const secret = this.#readSecret;
    return opener !== undefined && secret !== undefined && READ_LIMIT - opener.remaining >= this.#limit(secret);
  }

  /** Bytes of TLSInnerPlaintext. Early data is sent before the client knows our limit. */
  get #readLimit(): number {
    return this.#readSecret?.label === 'CLIENT_EARLY_TRAFFIC_SECRET' ? MAX_PLAINTEXT + 1 : this.#receiveLimit;
  }

  /** TLS 1.3: the secret behind the present read key. */
  get readSecret(): TrafficSecret {
    return expect(this.#readSecret);
  }

  /** TLS 1.3: the secret behind the present write key. */
  get writeSecret(): TrafficSecret {
    return expect(this.#writeSecret);
  }

  get readGeneration(): number {
    return this.#readSecret?.generation ?? 0;
  }

  /** What we announced, once the peer has agreed (RFC 8449 §4). */
  limitReceivedRecords(innerLength: number): void {
    this.#receiveLimit = Math.min(innerLength, MAX_PLAINTEXT + 1);
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
    this.#opener12 = new Tls12Opener(this.#options.provider, suite.aead, keys, READ_LIMIT);
  }

  // Writing

  /** Queues a whole handshake message; messages of one flight share records. */
  handshake(raw: Uint8Array): void {
    this.#pendingHandshake.push(raw);
  }

  changeCipherSpec(): void {
    this.flushHandshake();
    if (this.#writingEnded) {
      return;
    }
    (this.#writer ?? expect(this.#plaintext)).changeCipherSpec();
  }

  /**
   * TLS 1.2: seals with these keys from now on; takes them over. Application data has to wait until the peer's Finished
   * proves that nobody came in between.
   */
  protectWriteTls12(suite: CipherSuite12, keys: TrafficKeys): void {
    this.flushHandshake();
    this.holdsData = true;
    this.#writer?.sealer.erase('next key');
    this.#plaintext = undefined;
    const limit = Math.min(this.#options.usageLimit ?? suite.usageLimit, suite.usageLimit);
    this.#writeLimit12 = limit;
    const sealer = new Tls12Sealer(this.#options.provider, suite.aead, keys, limit);
    this.#writer = new ProtectedWriter(this.outgoing, sealer, this.#maxFragment);
  }

  /** The peer's record_size_limit, bytes of TLSInnerPlaintext. */
  limitSentRecords(innerLength: number): void {
    this.#maxFragment = Math.min(innerLength - 1, MAX_PLAINTEXT);
  }

  protectWrite(secret: TrafficSecret): void {
    this.flushHandshake();
    this.#writer?.sealer.erase('next key');
    this.#writeSecret?.erase('next key');
    this.#plaintext = undefined;
    this.#writeSecret = secret;
    const sealer = new RecordSealer(
      this.#options.provider,
      secret.suite.aead,
      secret.trafficKeys(),
      this.#limit(secret),
    );
    this.#writer = new ProtectedWriter(this.outgoing, sealer, this.#maxFragment);
  }

  /**
   * A client's keys for early data. They stand beside what the handshake is written with: after a HelloRetryRequest it
   * goes on in the clear. Alerts go out under them, as a server that takes early data expects nothing else.
   */
  protectEarlyWrite(secret: TrafficSecret): void {
    this.flushHandshake();
    this.#earlySecret = secret;
    const { provider } = this.#options;
    const sealer = new RecordSealer(provider, secret.suite.aead, secret.trafficKeys(), this.#limit(secret));
    this.#earlyWriter = new ProtectedWriter(this.outgoing, sealer, MAX_PLAINTEXT);
  }

  /** @throws TLSError `TLS_ERR_USAGE_LIMIT` */
  earlyData(data: Uint8Array): void {
    expect(this.#earlyWriter).applicationData(data, 0, data.length);
  }

  /** The last message under the keys for early data, where the server took it; the keys end. */
  endEarlyWrite(why: string, endOfEarlyData?: Uint8Array): void {
    if (endOfEarlyData !== undefined && !this.#writingEnded) {
      expect(this.#earlyWriter).handshake(endOfEarlyData);
    }
    this.#earlyWriter?.sealer.erase(why);
    this.#earlySecret?.erase(why);
    this.#earlyWriter = undefined;
    this.#earlySecret = undefined;
  }

  /** Our KeyUpdate, after its message was queued; returns the new secret. */
  updateWrite(): TrafficSecret {
    this.flushHandshake();
    const next = expect(this.#writeSecret).next();
    this.#writeSecret = undefined;
    this.protectWrite(next);
    return next;
  }

  /** Records that may be written before the write key has to be renewed. */
  get writable(): number {
    return expect(this.#writer).sealer.remaining - UPDATE_AT_REMAINING;
  }

  /** TLS 1.2: it is time for a renegotiation, with room left for what comes until it is done. */
  get writeKeyWorn(): boolean {
    const remaining = expect(this.#writer).sealer.remaining;
    return remaining < Math.min(RENEGOTIATE_AT_REMAINING, this.#writeLimit12 / 2);
  }

  /** Whether what is written is protected. */
  get protectsWrites(): boolean {
    return this.#writer !== undefined;
  }

  get writeGeneration(): number {
    return this.#writeSecret?.generation ?? 0;
  }

  /** Bytes of plaintext per record. */
  get maxFragment(): number {
    return expect(this.#writer).maxFragment;
  }

  applicationData(data: Uint8Array, start: number, end: number): void {
    expect(this.#writer).applicationData(data, start, end);
  }

  alert(description: AlertDescription): void {
    this.flushHandshake();
    if (this.#writingEnded) {
      return;
    }
    const level = WARNINGS.has(description) ? ALERT_LEVEL_WARNING : ALERT_LEVEL_FATAL;
    const bytes = new Uint8Array([level, alertCodes[description]]);
    (this.#earlyWriter ?? this.#writer ?? expect(this.#plaintext)).alert(bytes);
  }

  flushHandshake(): void {
    const pending = this.#pendingHandshake;
    if (pending.length === 0) {
      return;
    }
    this.#pendingHandshake = [];
    if (this.#writingEnded) {
      return;
    }
    (this.#writer ?? expect(this.#plaintext)).handshake(pending.length === 1 ? pending[0] : concat(...pending));
  }

  /** close_notify was written: nothing follows it, also of a renegotiation that the peer goes on with (RFC 5246 §7.2.1). */
  endWriting(): void {
    this.flushHandshake();
    this.#writingEnded = true;
  }

  /** All bytes to send since the last call. */
  take(): Uint8Array | undefined {
    this.flushHandshake();
    return this.outgoing.take();
  }

  erase(why: string): void {
    this.endEarlyWrite(why);
    this.#writer?.sealer.erase(why);
    this.#opener?.erase(why);
    this.#opener12?.erase(why);
    this.#writeSecret?.erase(why);
    this.#readSecret?.erase(why);
    this.#pendingHandshake = [];
    this.deframer.clear();
  }

  #openTls12(record: RawRecord): OpenedRecord {
    if (this.#opener12 !== undefined) {
      const opened = this.#opener12.open(record);
      // The limit counts a content type, which TLS 1.2 does not have inside (RFC 8449 §4).
      if (opened.content.length >= this.#receiveLimit) {
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
    return { type: record.type, content: record.fragment };
  }

  /** A host's lower limit is for application keys: handshake keys cannot be renewed, and carry little. */
  #limit(secret: TrafficSecret): number {
    const { usageLimit } = secret.suite;
    const isApplication = secret.label === 'CLIENT_TRAFFIC_SECRET' || secret.label === 'SERVER_TRAFFIC_SECRET';
    return isApplication ? Math.min(this.#options.usageLimit ?? usageLimit, usageLimit) : usageLimit;
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
    if (type === CONTENT_ALERT && this.#options.role === 'server' && this.#changeCipherSpecLegal) {
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

function expect<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new TLSError('TLS_ERR_INTERNAL', 'the record layer is not in the state that this call needs');
  }
  return value;
}
