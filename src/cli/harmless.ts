/**
 * What strangers say, harmless for whoever reads it next: a terminal, a log, a program that takes it line by line.
 *
 * Names, paths, answers and errors of others pass through here on their way out, also where each of them should have been seen
 * to before: one place that was forgotten must not be enough.
 */

import { escapeUnprintable } from '../certificates/distinguished-name.ts';

/** One line of bounded length, whatever an error of somebody else's says. */
export function harmlessLine(text: string): string {
  const line = text
    .slice(0, MAX_LINE + 1)
    .replace(/\s*[\r\n]+\s*/g, ' ')
    .trim();
  const escaped = escapeUnprintable(line);
  return text.length > MAX_LINE ? `${escaped.slice(0, MAX_LINE)}…` : escaped;
}

/** Lines for people, with the colours that they may have. */
export function harmlessLines(text: string): string {
  return text
    .split(OURS)
    .map((part, i) => (i % 2 === 1 ? part : escapeUnprintable(part)))
    .join('');
}

/**
 * The JSON of a value, in one line unless `indent` is given. JSON leaves DEL, C1 and what cannot be seen as they are: in
 * strings, where alone they are, an escape says the same.
 */
export function harmlessJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).split('\n').map(escapeUnprintable).join('\n');
}

const MAX_LINE = 2_000;
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
const OURS = /(\u001b\[[\d;]*m|[\n\t])/;
