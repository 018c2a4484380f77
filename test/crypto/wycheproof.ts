/** Loads the Wycheproof vectors and counts what was run, so that no run can pass by testing nothing. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromHex } from '../../src/bytes/bytes.ts';
import { projectRoot } from '../support/project.ts';

export interface WycheproofTest {
  readonly tcId: number;
  readonly comment?: string;
  readonly flags: readonly string[];
  readonly result: 'valid' | 'invalid' | 'acceptable';
}

interface WycheproofFile<Group, Test> {
  readonly numberOfTests: number;
  readonly testGroups: readonly (Group & { readonly tests: readonly (Test & WycheproofTest)[] })[];
}

/** How many vectors ended which way, e.g. `{ valid: 10, invalid: 4 }`. */
export type Counts = Record<string, number>;

/**
 * Runs `check` on every vector of the file. It returns the name under which the vector is counted and throws when
 * the vector is decided otherwise than it demands.
 */
export function runVectors<Group, Test>(
  file: string,
  check: (test: Test & WycheproofTest, group: Group) => string,
): Counts {
  const path = join(projectRoot, 'test/vectors/wycheproof', file);
  const vectors = JSON.parse(readFileSync(path, 'utf8')) as WycheproofFile<Group, Test>;
  const counts: Counts = {};
  let seen = 0;
  for (const group of vectors.testGroups) {
    for (const test of group.tests) {
      let outcome: string;
      try {
        outcome = check(test, group);
      } catch (error) {
        throw new Error(`${file} tcId ${test.tcId} (${test.result}; ${test.flags.join(', ')}; ${test.comment ?? ''})`, {
          cause: error,
        });
      }
      counts[outcome] = (counts[outcome] ?? 0) + 1;
      seen++;
    }
  }
  assert.equal(seen, vectors.numberOfTests);
  return counts;
}

/** Hex to bytes; Wycheproof writes integers with a sign byte, which `length` cuts or pads away. */
export function bytes(hex: string, length?: number): Uint8Array {
  const given = fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
  if (length === undefined || given.length === length) {
    return given;
  }
  const fitted = new Uint8Array(length);
  if (given.length > length) {
    assert.ok(given.subarray(0, given.length - length).every((byte) => byte === 0));
    fitted.set(given.subarray(given.length - length));
  } else {
    fitted.set(given, length - given.length);
  }
  return fitted;
}

/** Compares bytes whatever their class. */
export function assertBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(Buffer.from(actual).toString('hex'), Buffer.from(expected).toString('hex'));
}
