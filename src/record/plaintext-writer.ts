/** The unkeyed record layer: handshake, change_cipher_spec and alerts; it has no way to carry application data. */

import { CONTENT_ALERT, CONTENT_CHANGE_CIPHER_SPEC, CONTENT_HANDSHAKE, MAX_PLAINTEXT } from './limits.ts';
import type { Outgoing } from './outgoing.ts';

export class PlaintextWriter {
  readonly #out: Outgoing;
  /** Bytes per record. */
  maxFragment = MAX_PLAINTEXT;
  /** The first ClientHello goes out as TLS 1.0, for middleboxes (RFC 9846 §5.1). */
  #recordVersion: number;

  constructor(out: Outgoing, firstRecordVersion: 0x0301 | 0x0303) {
    this.#out = out;
    this.#recordVersion = firstRecordVersion;
  }

  handshake(messages: Uint8Array): void {
    for (let at = 0; at < messages.length; at += this.maxFragment) {
      this.#record(CONTENT_HANDSHAKE, messages.subarray(at, at + this.maxFragment));
    }
    this.#recordVersion = 0x0303;
  }

  changeCipherSpec(): void {
    this.#record(CONTENT_CHANGE_CIPHER_SPEC, CCS);
  }

  alert(alert: Uint8Array): void {
    this.#record(CONTENT_ALERT, alert);
  }

  #record(type: number, fragment: Uint8Array): void {
    const at = this.#out.reserve(5 + fragment.length);
    const bytes = this.#out.bytes;
    bytes[at] = type;
    bytes[at + 1] = this.#recordVersion >>> 8;
    bytes[at + 2] = this.#recordVersion;
    bytes[at + 3] = fragment.length >>> 8;
    bytes[at + 4] = fragment.length;
    bytes.set(fragment, at + 5);
  }
}

const CCS = new Uint8Array([1]);
