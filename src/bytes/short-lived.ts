/**
 * Short-lived byte strings, cut one after the other from slabs: for messages on their way to the wire, which are gone after
 * a moment. An allocation of its own costs each of them four calls of `malloc`; and what V8 keeps on its own heap, up to
 * 64 bytes, is moved out with as many the first time that `node:crypto` or a socket sees it.
 *
 * A slab lives as long as the longest-lived string on it: what is kept (a session, say, or a certificate) does not belong
 * here. Nothing is cut twice, so all of it is zeros at first and no string can show what lay there before. Whoever is
 * handed one sees the whole slab at its `buffer`: nothing that is secret for longer than the wire takes lies there, and it
 * cannot be transferred to another thread, which would take it from all others.
 */

import { markAsUntransferable } from 'node:worker_threads';

export function shortLived(length: number): Uint8Array {
  if (length > LONGEST_ON_SLAB) {
    return new Uint8Array(length);
  }
  if (used + length > slab.byteLength) {
    slab = new ArrayBuffer(SLAB_LENGTH);
    markAsUntransferable(slab);
    used = 0;
  }
  const cut = new Uint8Array(slab, used, length);
  used += length;
  return cut;
}

/** Bytes: some ten flights. */
const SLAB_LENGTH = 16_384;
/** Longer ones would waste the end of a slab, and are few. */
const LONGEST_ON_SLAB = 2_560;

let slab = new ArrayBuffer(0);
let used = 0;
