/** What the floor says of a row: the highest ratio there can be, and how near to it ours comes. */

import type { Result } from './measure.ts';

export interface FloorRatio {
  /** Of the floor and `node:tls`, read as the row's own ratio is. */
  readonly ratio: number;
  /** Ours ÷ floor: 1 is as good as can be. */
  readonly share: number;
  /** The row's goal lies above. */
  readonly outOfReach: boolean;
}

/** Undefined where the floor took no part, or, in a run too short for memory, did not even grow. */
export function floorRatio({ row, floor, nodeTls, ratio }: Result): FloorRatio | undefined {
  if (floor === undefined || floor.value <= 0) {
    return undefined;
  }
  const highest = row.lowerIsBetter === true ? nodeTls.value / floor.value : floor.value / nodeTls.value;
  return { ratio: highest, share: ratio / highest, outOfReach: row.goal !== undefined && row.goal > highest };
}
