/**
 * What a handshake needs from the transport below it: the record layer of TLS over TCP (`RecordChannel`), or the CRYPTO
 * streams of QUIC, which has no record layer (`QuicChannel`).
 *
 * RFC 9846 §5, §7.3; RFC 9001 §3, §4.1.
 */

import type { TrafficSecret } from '../keys/traffic.ts';
import type { MessageJoiner, RecordBoundary } from '../messages/message-joiner.ts';

export interface HandshakeChannel {
  /** Joins the messages that come in, and proves that nothing is left over when keys change. */
  readonly joiner: MessageJoiner;
  /** Over QUIC alone: what stands in place of the record layer's rules. */
  readonly quic?: QuicSide;
  /** Queues a whole handshake message. */
  handshake(raw: Uint8Array): void;
  /** Middlebox compatibility (RFC 9846 Appendix E.4); nothing where no middlebox could see it. */
  changeCipherSpec(): void;
  allowChangeCipherSpec(allowed: boolean): void;
  /** A server that refused early data skips what the client sent of it (RFC 9846 §4.3.10). */
  skipEarlyData(which: 'undecryptable' | 'all', maxEarlyDataSize?: number): void;
  /** A client's keys for early data, which stand beside what the handshake is written with. */
  protectEarlyWrite(secret: TrafficSecret): void;
  /** The keys for early data end; with EndOfEarlyData where the server took it and there is a record layer. */
  endEarlyWrite(why: string, endOfEarlyData?: Uint8Array): void;
  /** What comes next is protected with this secret, which is taken over. */
  protectRead(secret: TrafficSecret, boundary: RecordBoundary): void;
  /** What is sent next is protected with this secret, which is taken over. */
  protectWrite(secret: TrafficSecret): void;
  readonly protectsWrites: boolean;
  /** Bytes of TLSInnerPlaintext (RFC 8449). */
  limitSentRecords(innerLength: number): void;
  limitReceivedRecords(innerLength: number): void;
  /** Bytes of every record's plaintext, both ways, with keys or without (RFC 6066 §4). */
  limitFragments(length: number): void;
  /** Records that the present write key may still protect, and bytes in each. */
  readonly writable: number;
  readonly maxFragment: number;
}

/** The part of RFC 9001 that is the handshake's own business. */
export interface QuicSide {
  /** Ours, as the QUIC stack encoded them (RFC 9001 §8.2). */
  readonly transportParameters: Uint8Array;
  /** Hands on the peer's. They are authentic only once the handshake is complete. */
  receivedTransportParameters(bytes: Uint8Array): void;
}
