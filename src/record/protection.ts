/** What the record layer asks of a key, whatever the version: seal and open records, count them, never overrun. */

import type { RawRecord } from './deframer.ts';

export interface Sealer {
  /** Bytes that a record adds to its plaintext, the header included. */
  readonly overhead: number;
  /** Records that may still be sealed. */
  readonly remaining: number;
  /**
   * Seals `data[start, end)` as one record at `out[at…]` and returns where it ends.
   * @throws TLSError `TLS_ERR_USAGE_LIMIT` instead of ever overrunning the key's limit
   */
  seal(type: number, data: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number;
  erase(why: string): void;
}

export interface OpenedRecord {
  readonly type: number;
  /** A fresh allocation, without type and padding; borrowed where the record was not protected. */
  readonly content: Uint8Array;
}

export interface Opener {
  /** Records that may still be opened. */
  readonly remaining: number;
  /** @throws TLSError `TLS_ERR_BAD_RECORD_MAC`, `TLS_ERR_RECORD_OVERFLOW`, `TLS_ERR_RECORD_TYPE`, `TLS_ERR_PEER_USAGE_LIMIT` */
  open(record: RawRecord): OpenedRecord;
  erase(why: string): void;
}
