/**
 * Random bytes from a pool: one call into the system's generator serves many small requests.
 *
 * What was handed out is erased from the pool at once, so the pool never holds bytes that are in use elsewhere. What was not
 * is erased a second later: who copied the memory of an idle server must not have the ticket keys of its next hours in hand.
 */

import { randomFillSync } from 'node:crypto';
import { wipe } from '../bytes/bytes.ts';

const POOL_LENGTH = 8192;
/** Requests above this go to the generator directly: copying would cost more than the call. */
const LARGEST_FROM_POOL = 512;
/** Milliseconds. */
const LONGEST_KEPT = 1_000;

let pool: Uint8Array | undefined;
let used = POOL_LENGTH;
let isTimed = false;

/** Fills `bytes` with secure randomness. */
export function pooledRandom(bytes: Uint8Array): void {
  const length = bytes.length;
  if (length > LARGEST_FROM_POOL) {
    randomFillSync(bytes);
    return;
  }
  if (pool === undefined || used + length > POOL_LENGTH) {
    pool ??= new Uint8Array(new ArrayBuffer(POOL_LENGTH));
    randomFillSync(pool);
    used = 0;
    if (!isTimed) {
      isTimed = true;
      setTimeout(drop, LONGEST_KEPT).unref();
    }
  }
  const slice = pool.subarray(used, used + length);
  bytes.set(slice);
  wipe(slice);
  used += length;
}

function drop(): void {
  isTimed = false;
  used = POOL_LENGTH;
  pool?.fill(0);
}
