/** Durations as people write them: `5s`, `90s`, `15m`, `1h`, `1h30m`; and the way back. */

import { Problem } from './problem.ts';

const unitMilliseconds: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * The duration in milliseconds.
 * @throws Problem `usage` when it is not one, or is not above zero
 */
export function parseDuration(text: string, flag: string): number {
  const parts = [...text.trim().matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  const consumed = parts.map((part) => part[0]).join('');
  const total = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * unitMilliseconds[unit], 0);
  if (consumed === '' || consumed !== text.trim() || !Number.isFinite(total) || total <= 0) {
    throw new Problem('usage', `${flag}: "${text}" is not a duration`, 'Write one such as 5s, 90s, 15m or 1h.');
  }
  return Math.round(total);
}

/** The shortest exact writing, e.g. `1h30m`. */
export function formatDuration(milliseconds: number): string {
  let rest = Math.max(0, Math.round(milliseconds));
  if (rest < 1_000) {
    return `${rest}ms`;
  }
  const parts: string[] = [];
  for (const unit of ['d', 'h', 'm', 's']) {
    const count = Math.floor(rest / unitMilliseconds[unit]);
    rest -= count * unitMilliseconds[unit];
    if (count > 0) {
      parts.push(`${count}${unit}`);
    }
  }
  return parts.join('');
}
