/** The keyed record layer: everything is sealed, fragmented to what the peer accepts. RFC 9846 §5.1, §5.2; RFC 8449. */

import { TLSError } from '../errors.ts';
import { CONTENT_ALERT, CONTENT_APPLICATION_DATA, CONTENT_CHANGE_CIPHER_SPEC, CONTENT_HANDSHAKE } from './limits.ts';
import type { Outgoing } from './outgoing.ts';
import type { Sealer } from './protection.ts';

export class ProtectedWriter {
  readonly #out: Outgoing;
  readonly sealer: Sealer;
  /** Bytes of plaintext per record. */
  readonly maxFragment: number;

  constructor(out: Outgoing, sealer: Sealer, maxFragment: number) {
    this.#out = out;
    this.sealer = sealer;
    this.maxFragment = maxFragment;
  }

  /** Records that `length` bytes need: one also for none. */
  recordCount(length: number): number {
    return Math.max(1, Math.ceil(length / this.maxFragment));
  }

  handshake(messages: Uint8Array): void {
    this.#write(CONTENT_HANDSHAKE, messages, 0, messages.length);
  }

  /** TLS 1.2 renegotiation only: in TLS 1.3 it is never protected. */
  changeCipherSpec(): void {
    this.#write(CONTENT_CHANGE_CIPHER_SPEC, CCS, 0, CCS.length);
  }

  alert(alert: Uint8Array): void {
    this.#write(CONTENT_ALERT, alert, 0, alert.length);
  }

  applicationData(data: Uint8Array, start: number, end: number): void {
    this.#write(CONTENT_APPLICATION_DATA, data, start, end);
  }

  #write(type: number, data: Uint8Array, start: number, end: number): void {
    const records = this.recordCount(end - start);
    // Before room is made: bytes that were reserved but never sealed would go to the peer as they are.
    if (records > this.sealer.remaining) {
      throw new TLSError(
        'TLS_ERR_USAGE_LIMIT',
        `the write key may protect ${this.sealer.remaining} more records, ${records} are needed`,
      );
    }
    let at = this.#out.reserve(end - start + records * this.sealer.overhead);
    for (let from = start, left = records; left > 0; from += this.maxFragment, left--) {
      at = this.sealer.seal(type, data, from, Math.min(end, from + this.maxFragment), this.#out.bytes, at);
    }
  }
}

const CCS = new Uint8Array([1]);
