/**
 * Joins the contents of records that arrive together: a host is handed few large pieces instead of many small ones, and
 * what each record was opened into is given back at once.
 */

import { uninitialized } from '../bytes/bytes.ts';
import { giveBack } from '../crypto/give-back.ts';
import type { Deframer } from './deframer.ts';

export class JoinedData {
  readonly #deframer: Deframer;
  readonly #hand: (bytes: Uint8Array) => void;
  #bytes: Uint8Array | undefined;
  #length = 0;

  /** `hand` is given pieces that are allocations of their own, in order. */
  constructor(deframer: Deframer, hand: (bytes: Uint8Array) => void) {
    this.#deframer = deframer;
    this.#hand = hand;
  }

  /** Takes the content of the record just opened: authentic, not empty, and an allocation of its own. */
  add(content: Uint8Array): void {
    if (this.#bytes !== undefined && this.#length + content.length > this.#bytes.length) {
      this.flush();
    }
    if (this.#bytes === undefined) {
      const behind = this.#deframer.wholeRecordsAhead(MAX_JOINED);
      if (behind === 0) {
        this.#hand(content);
        return;
      }
      this.#bytes = uninitialized(Math.max(content.length, Math.min(MAX_JOINED, content.length + behind)));
    }
    this.#bytes.set(content, this.#length);
    this.#length += content.length;
    giveBack(content.length === content.buffer.byteLength ? content : whole(content));
  }

  /** Hands on what was joined. */
  flush(): void {
    const bytes = this.#bytes;
    if (bytes === undefined) {
      return;
    }
    const length = this.#length;
    this.#bytes = undefined;
    this.#length = 0;
    if (length === bytes.length) {
      this.#hand(bytes);
      return;
    }
    // Whoever has a view has its whole memory: what lay there before is nobody's business.
    bytes.fill(0, length);
    this.#hand(bytes.subarray(0, length));
  }
}

/** What a record of TLS 1.3 was opened into, with its content type and padding. */
function whole(content: Uint8Array): Uint8Array {
  return new Uint8Array(content.buffer);
}

/** Bytes: four full records. More would lie longer in caches that the next record needs. */
const MAX_JOINED = 65_536;
