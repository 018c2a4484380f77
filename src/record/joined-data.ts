/**
 * Joins the contents of records that arrive together: a host is handed few large pieces instead of many small ones, and
 * what each record was opened into is given back at once.
 */

import { Ballast } from '../bytes/ballast.ts';
import { uninitialized } from '../bytes/bytes.ts';
import { giveBack } from '../bytes/give-back.ts';
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
        ballast.add(content.length);
        this.#hand(withoutPadding(content));
        return;
      }
      this.#bytes = uninitialized(Math.max(content.length, Math.min(MAX_JOINED, content.length + behind)));
    }
    this.#bytes.set(content, this.#length);
    this.#length += content.length;
    giveBack(opened(content));
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
    ballast.add(length);
    if (length === bytes.length) {
      this.#hand(bytes);
      return;
    }
    // Whoever has a view has its whole memory: what lay there before is nobody's business.
    bytes.fill(0, length);
    this.#hand(withoutPadding(bytes.subarray(0, length)));
  }
}

/**
 * Where padding takes most of the memory, a copy without it: a host that reads slowly counts the data that it holds, and a
 * peer must not make it hold a full record for each byte of that.
 */
export function withoutPadding(content: Uint8Array): Uint8Array {
  const isPadded = content.length < MOST_COPIED && content.buffer.byteLength > 2 * content.length + MOST_SLACK;
  return isPadded ? new Uint8Array(content) : content;
}

/** What the record was opened into: in TLS 1.3 without padding it has one byte more, the content type. */
function opened(content: Uint8Array): Uint8Array {
  const { buffer, length } = content;
  return buffer.byteLength === length + 1 ? new Uint8Array(buffer) : content;
}

/** Shared: the heap is one. */
const ballast = new Ballast();
/** Bytes: half of what is handed on in one piece, from where on padding cannot be most of it. */
const MOST_COPIED = 32_768;
/** Bytes: next to nothing, as `Buffer`s go. */
const MOST_SLACK = 512;
/** Bytes: four full records. More would lie longer in caches that the next record needs. */
const MAX_JOINED = 65_536;
