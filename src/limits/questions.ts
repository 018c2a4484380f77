/** What questions about limits are made of, checked. */

import { TLSError } from '../errors.ts';
import { type Fraction, parseAdvantage } from './exact.ts';

/** @throws TLSError `TLS_ERR_CONFIG` no probability above 0 and below 1 */
export function toFraction(advantage: Fraction | string): Fraction {
  if (typeof advantage === 'string') {
    return parseAdvantage(advantage);
  }
  if (!(advantage.denominator > 0n && advantage.numerator > 0n && advantage.numerator < advantage.denominator)) {
    throw new TLSError('TLS_ERR_CONFIG', 'advantage: expected a probability above 0 and below 1');
  }
  return advantage;
}

/** @throws TLSError `TLS_ERR_CONFIG` */
export function check(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new TLSError('TLS_ERR_CONFIG', `${name} must be a whole number from ${min} to ${max}, got ${value}`);
  }
  return value;
}
