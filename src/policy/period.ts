/** Lengths of time as options take them: seconds, or a text such as '90s', '15m', '1h'. */

import { TLSError } from '../errors.ts';

/**
 * Milliseconds from a number of seconds or a text such as '90s', '15m', '1h'.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function parsePeriod(name: string, value: number | string): number {
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value.trim()) : null;
  const ms = match === null ? Number(value) * 1_000 : Number(match[1]) * UNITS[match[2]];
  if (!Number.isFinite(ms) || ms <= 0 || (typeof value === 'string' && value.trim() === '')) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `${name}: expected seconds or a text such as '90s', '15m', '1h', got ${value}`,
    );
  }
  return Math.round(ms);
}

/** `1h30m`, `2h`, `90s` as `1m30s`; the shortest exact writing. */
export function periodText(milliseconds: number): string {
  let rest = Math.round(milliseconds);
  if (rest < 1_000) {
    return `${rest}ms`;
  }
  let text = '';
  for (const unit of ['d', 'h', 'm', 's']) {
    const count = Math.floor(rest / UNITS[unit]);
    rest -= count * UNITS[unit];
    text += count > 0 ? `${count}${unit}` : '';
  }
  return text;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
