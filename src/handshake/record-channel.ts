/**
 * The record layer of one connection, both ways: what is written and read is plaintext until a traffic secret is set,
 * protected from then on, and never goes back. How it reads is in record-reading.ts.
 *
 * RFC 9846 §5, §7.3.
 */

import { ALERT_LEVEL_FATAL, ALERT_LEVEL_WARNING, type AlertDescription, alertCodes } from '../alerts.ts';
import { concatOn } from '../bytes/bytes.ts';
import { shortLived } from '../bytes/short-lived.ts';
import type { CipherSuite12 } from '../crypto/suites12.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { MAX_PLAINTEXT, RENEGOTIATE_AT_REMAINING, UPDATE_AT_REMAINING } from '../record/limits.ts';
import { Outgoing } from '../record/outgoing.ts';
import { PlaintextWriter } from '../record/plaintext-writer.ts';
import { ProtectedWriter } from '../record/protected-writer.ts';
import { Tls12Sealer } from '../record/tls12-protection.ts';
import { RecordSealer } from '../record/tls13-protection.ts';
import type { TrafficKeys } from '../record/traffic-keys.ts';
import type { HandshakeChannel } from './channel.ts';
import { present } from './present.ts';
import { type ChannelOptions, RecordReading } from './record-reading.ts';

const WARNINGS = new Set<AlertDescription>(['close_notify', 'user_canceled', 'no_renegotiation']);

export class RecordChannel extends RecordReading implements HandshakeChannel {
  readonly outgoing: Outgoing;
  /** No application data may go out: a renegotiation is under way, or our keys are new and not proved yet. */
  holdsData = false;
  /** TLS 1.2: our keys are new, and the peer's Finished has not proved them. */
  keysUnproved = false;
  #plaintext: PlaintextWriter | undefined;
  #writer: ProtectedWriter | undefined;
  #writeSecret: TrafficSecret | undefined;
  #pendingHandshake: Uint8Array[] | undefined;
  #maxFragment = MAX_PLAINTEXT;
  /** Handshake messages begin records of their own: a peer with little memory may not put one together that fits into one. */
  #wholeMessages = false;
  /** A client's early data, beside the handshake that goes on in the clear. */
  #earlyWriter: ProtectedWriter | undefined;
  #earlySecret: TrafficSecret | undefined;
  #writeLimit12 = 0;
  #writingEnded = false;

  constructor(options: ChannelOptions) {
    super(options);
    this.outgoing = new Outgoing(options.allocate);
    this.#plaintext = new PlaintextWriter(this.outgoing, options.role === 'client' ? 0x0301 : 0x0303);
  }

  /** Queues a whole handshake message; messages of one flight share records. */
  handshake(raw: Uint8Array): void {
    // A literal has room for one: what is pushed to an empty array makes room for seventeen.
    if (this.#pendingHandshake === undefined) {
      this.#pendingHandshake = [raw];
    } else {
      this.#pendingHandshake.push(raw);
    }
  }

  changeCipherSpec(): void {
    this.flushHandshake();
    if (this.#writingEnded) {
      return;
    }
    (this.#writer ?? present(this.#plaintext)).changeCipherSpec();
  }

  /**
   * TLS 1.2: seals with these keys from now on; takes them over. Application data has to wait until the peer's Finished
   * proves that nobody came in between.
   */
  protectWriteTls12(suite: CipherSuite12, keys: TrafficKeys): void {
    this.flushHandshake();
    this.holdsData = true;
    this.keysUnproved = true;
    this.#writer?.sealer.erase('next key');
    this.#plaintext = undefined;
    const limit = Math.min(this.options.usageLimit ?? suite.usageLimit, suite.usageLimit);
    this.#writeLimit12 = limit;
    const sealer = new Tls12Sealer(this.options.provider, suite.aead, keys, limit);
    this.#writer = new ProtectedWriter(this.outgoing, sealer, this.#maxFragment);
  }

  /** The peer's record_size_limit, bytes of TLSInnerPlaintext. */
  limitSentRecords(innerLength: number): void {
    this.#maxFragment = Math.min(innerLength - 1, MAX_PLAINTEXT);
  }

  override limitFragments(length: number): void {
    super.limitFragments(length);
    this.#maxFragment = length;
    this.#wholeMessages = true;
    if (this.#plaintext !== undefined) {
      this.#plaintext.maxFragment = length;
    }
    if (this.#writer !== undefined) {
      // In a renegotiation: at once, handshake messages included.
      this.#writer = new ProtectedWriter(this.outgoing, this.#writer.sealer, length);
    }
  }

  protectWrite(secret: TrafficSecret): void {
    this.flushHandshake();
    this.#writer?.sealer.erase('next key');
    this.#writeSecret?.erase('next key');
    this.#plaintext = undefined;
    this.#writeSecret = secret;
    const sealer = new RecordSealer(
      this.options.provider,
      secret.suite.aead,
      secret.trafficKeys(),
      this.limitOf(secret),
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
    const { provider } = this.options;
    const sealer = new RecordSealer(provider, secret.suite.aead, secret.trafficKeys(), this.limitOf(secret));
    this.#earlyWriter = new ProtectedWriter(this.outgoing, sealer, MAX_PLAINTEXT);
  }

  /** @throws TLSError `TLS_ERR_USAGE_LIMIT` */
  earlyData(data: Uint8Array): void {
    present(this.#earlyWriter).applicationData(data, 0, data.length);
  }

  /** The last message under the keys for early data, where the server took it; the keys end. */
  endEarlyWrite(why: string, endOfEarlyData?: Uint8Array): void {
    if (endOfEarlyData !== undefined && !this.#writingEnded) {
      present(this.#earlyWriter).handshake(endOfEarlyData);
    }
    this.#earlyWriter?.sealer.erase(why);
    this.#earlySecret?.erase(why);
    this.#earlyWriter = undefined;
    this.#earlySecret = undefined;
  }

  /** Our KeyUpdate, after its message was queued; returns the new secret. */
  updateWrite(): TrafficSecret {
    this.flushHandshake();
    const next = present(this.#writeSecret).next();
    this.#writeSecret = undefined;
    this.protectWrite(next);
    return next;
  }

  /** Records that may be written before the write key has to be renewed. */
  get writable(): number {
    return present(this.#writer).sealer.remaining - UPDATE_AT_REMAINING;
  }

  /** TLS 1.2: it is time for a renegotiation, with room left for what comes until it is done. */
  get writeKeyWorn(): boolean {
    const remaining = present(this.#writer).sealer.remaining;
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
    return present(this.#writer).maxFragment;
  }

  applicationData(data: Uint8Array, start: number, end: number): void {
    present(this.#writer).applicationData(data, start, end);
  }

  alert(description: AlertDescription): void {
    this.flushHandshake();
    if (this.#writingEnded) {
      return;
    }
    const level = WARNINGS.has(description) ? ALERT_LEVEL_WARNING : ALERT_LEVEL_FATAL;
    const bytes = shortLived(2);
    bytes[0] = level;
    bytes[1] = alertCodes[description];
    (this.#earlyWriter ?? this.#writer ?? present(this.#plaintext)).alert(bytes);
  }

  flushHandshake(): void {
    const pending = this.#pendingHandshake;
    if (pending === undefined) {
      return;
    }
    this.#pendingHandshake = undefined;
    if (this.#writingEnded) {
      return;
    }
    const writer = this.#writer ?? present(this.#plaintext);
    if (pending.length > 1 && !this.#wholeMessages) {
      writer.handshake(concatOn(shortLived, pending));
      return;
    }
    for (const message of pending) {
      writer.handshake(message);
    }
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

  override erase(why: string): void {
    super.erase(why);
    this.endEarlyWrite(why);
    this.#writer?.sealer.erase(why);
    this.#writeSecret?.erase(why);
    this.#pendingHandshake = undefined;
  }

  /** TLS 1.3: the secret behind the present write key. */
  get writeSecret(): TrafficSecret {
    return present(this.#writeSecret);
  }
}
