/**
 * Equality in constant time, of equal lengths. Both are looked at in memory outside of V8's heap, from where short ones
 * would have to be moved first, which costs ten times the comparison. What was compared is erased there.
 */

import { timingSafeEqual } from 'node:crypto';
import { wipe } from '../bytes/bytes.ts';

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  const { length } = a;
  if (length !== b.length) {
    return false;
  }
  if (length > LONGEST_COPIED) {
    return timingSafeEqual(a, b);
  }
  views[length] ??= { left: leftSide.subarray(0, length), right: rightSide.subarray(0, length) };
  const { left, right } = views[length];
  left.set(a);
  right.set(b);
  const same = timingSafeEqual(left, right);
  wipe(left);
  wipe(right);
  return same;
}

interface Sides {
  readonly left: Uint8Array;
  readonly right: Uint8Array;
}

/** Bytes: what V8 keeps on its heap. */
const LONGEST_COPIED = 64;
const leftSide = new Uint8Array(new ArrayBuffer(LONGEST_COPIED));
const rightSide = new Uint8Array(new ArrayBuffer(LONGEST_COPIED));
/** Inputs have a handful of lengths. */
const views: (Sides | undefined)[] = new Array(LONGEST_COPIED + 1).fill(undefined);
