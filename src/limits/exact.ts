/**
 * Exact arithmetic for the limits: fractions of integers, as the bounds are of the order of 2^-60 and their differences
 * must not drown in rounding. Only what is shown to people is rounded.
 */

import { TLSError } from '../errors.ts';

export interface Fraction {
  readonly numerator: bigint;
  /** Above zero. */
  readonly denominator: bigint;
}

/** 2^exponent, for a whole exponent. */
export function powerOfTwo(exponent: number): Fraction {
  const power = 2n ** BigInt(Math.abs(exponent));
  return exponent < 0 ? { numerator: 1n, denominator: power } : { numerator: power, denominator: 1n };
}

/** The largest integer that is not above it. */
export function floorOf({ numerator, denominator }: Fraction): bigint {
  return numerator / denominator;
}

/** Times an integer. */
export function times({ numerator, denominator }: Fraction, factor: bigint): Fraction {
  return { numerator: numerator * factor, denominator };
}

/** The largest integer whose square is not above `n`, which is not negative. Newton's method, from above. */
export function squareRoot(n: bigint): bigint {
  if (n < 2n) {
    return n;
  }
  let root = 1n << BigInt((bitLength(n) + 1) >> 1);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) {
      return root;
    }
    root = next;
  }
}

/** log2 of a fraction above zero, right to about 12 digits: for people. */
export function log2({ numerator, denominator }: Fraction): number {
  return log2OfInteger(numerator) - log2OfInteger(denominator);
}

/** As a number, for values that are shown or timed: right to about 15 digits. */
export function toNumber({ numerator, denominator }: Fraction): number {
  const scale = Math.max(0, 64 - bitLength(numerator) + bitLength(denominator));
  return Number((numerator << BigInt(scale)) / denominator) / 2 ** scale;
}

/**
 * An attacker's advantage, a probability above 0 and below 1, from a text such as `2^-57`, `1e-17` or `0.001`.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function parseAdvantage(text: string): Fraction {
  const wrong = () =>
    new TLSError('TLS_ERR_CONFIG', `advantage: expected a probability such as 2^-57 or 1e-17, got "${text}"`);
  const power = /^2\^-(\d{1,3})$/.exec(text.trim());
  if (power !== null && Number(power[1]) > 0) {
    return powerOfTwo(-Number(power[1]));
  }
  const decimal = /^(\d*)(?:\.(\d+))?(?:e-(\d{1,3}))?$/i.exec(text.trim());
  if (decimal === null) {
    throw wrong();
  }
  const [, whole, part = '', exponent = '0'] = decimal;
  const numerator = BigInt(`${whole}${part}` || '0');
  const denominator = 10n ** BigInt(part.length + Number(exponent));
  if (numerator <= 0n || numerator >= denominator) {
    throw wrong();
  }
  return { numerator, denominator };
}

function log2OfInteger(n: bigint): number {
  const surplus = Math.max(0, bitLength(n) - 60);
  return Math.log2(Number(n >> BigInt(surplus))) + surplus;
}

function bitLength(n: bigint): number {
  return n.toString(2).length;
}
