/** How wide what is written for people may be, and paragraphs that fit. */

import { stripVTControlCharacters } from 'node:util';

const WIDEST = 110;
const NARROWEST = 60;

/** Columns; what goes into a file or a pipe is not made wider than people like to read. */
export function terminalWidth(): number {
  return Math.max(NARROWEST, Math.min(process.stdout.columns ?? WIDEST, WIDEST));
}

/** Columns that a table may have: in a file or a pipe as many as it needs, for whoever reads it by columns. */
export function tableWidth(): number {
  return process.stdout.columns ?? Number.POSITIVE_INFINITY;
}

/** A paragraph over as many lines as it takes: `first` before the first line, spaces of the same width before the others. */
export function paragraph(text: string, first = '', widest = WIDEST): string[] {
  const room = Math.min(terminalWidth(), widest);
  const lines = [first];
  const indent = stripVTControlCharacters(first).length;
  let width = indent;
  for (const word of text.split(' ')) {
    const length = stripVTControlCharacters(word).length;
    if (width > indent && width + 1 + length > room) {
      lines.push(' '.repeat(indent));
      width = indent;
    }
    lines[lines.length - 1] += width > indent ? ` ${word}` : word;
    width += (width > indent ? 1 : 0) + length;
  }
  return lines;
}

/** For a shell, where a path needs it. */
export function quote(path: string): string {
  return /^[\w@%+=:,./~-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
