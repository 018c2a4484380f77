/** What the tests of limits have in common. */

import fc from 'fast-check';
import { type Fraction, powerOfTwo } from '../../src/limits/exact.ts';

/** a/b ≤ c/d, by cross-multiplication. */
export function isAtMost(a: Fraction, b: Fraction): boolean {
  return a.numerator * b.denominator <= b.numerator * a.denominator;
}

export const anyAdvantage: fc.Arbitrary<Fraction> = fc.oneof(
  fc.integer({ min: 1, max: 120 }).map((k) => powerOfTwo(-k)),
  fc.record({ numerator: fc.bigInt(1n, 2n ** 60n), denominator: fc.bigInt(2n ** 61n, 2n ** 140n) }),
);
