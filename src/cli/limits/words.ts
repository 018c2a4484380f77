/** Rates, sizes and long times, as people write and read them. */

import type { Rate } from '../../limits/key-limits.ts';
import { MAX_PACKET } from '../../limits/quic-limits.ts';
import { Problem } from '../problem.ts';
import { tableWidth } from '../terminal.ts';

/** @throws Problem `usage` */
export function parseRate(text: string): Rate {
  const match = /^(\d+(?:\.\d+)?)\s*([kMGT]i?)?(bit|bits|b|B|records|rec)\/s$/.exec(text.trim());
  const value = match === null ? 0 : Number(match[1]) * multiple(match[2]);
  if (match === null || !(value > 0) || !Number.isFinite(value)) {
    throw new Problem(
      'usage',
      `--rate: "${text}" is not a rate`,
      'Write one such as 1Gbit/s, 20MB/s or 5000records/s.',
    );
  }
  const unit = match[3];
  if (unit.startsWith('rec')) {
    return { unit: 'records', perSecond: value };
  }
  return { unit: 'bytes', perSecond: unit === 'B' ? value : value / 8 };
}

/** Bytes; `16K` is 16,384. @throws Problem `usage` */
export function parseRecordSize(text: string): number {
  const match = /^(\d{1,6})\s*(K|KiB|B)?$/.exec(text.trim());
  const bytes = match === null ? 0 : Number(match[1]) * (match[2]?.startsWith('K') ? 1024 : 1);
  if (bytes < 1 || bytes > 16_384) {
    throw new Problem(
      'usage',
      `--record-size: "${text}" is not a size`,
      'A record holds from 1 to 16,384 bytes (16K).',
    );
  }
  return bytes;
}

/** Bytes. @throws Problem `usage` */
export function parsePacketSize(text: string): number {
  const bytes = /^\d{1,5}$/.test(text.trim()) ? Number(text) : 0;
  if (bytes < 1 || bytes > MAX_PACKET) {
    throw new Problem(
      'usage',
      `--packet-size: "${text}" is not a size`,
      `A packet of QUIC holds from 1 to ${MAX_PACKET.toLocaleString('en')} bytes.`,
    );
  }
  return bytes;
}

/** `about 52 min`'s second part: two or three digits, in the largest unit that fits. */
export function longTime(seconds: number): string {
  const [size, name] = UNITS.find(([size]) => seconds >= size) ?? [1, 's'];
  const count = seconds / size;
  if (seconds < 1) {
    return `${Number(seconds.toPrecision(2))} s`;
  }
  const shown = count >= 100 ? Math.round(count) : Number(count.toPrecision(2));
  return count >= 1e6 ? `${tenToThe(count)} ${name}` : `${shown.toLocaleString('en')} ${name}`;
}

/** `361 GiB`. */
export function bytesText(bytes: bigint): string {
  let unit = 0;
  let value = Number(bytes);
  while (value >= 1024 && unit < SIZES.length - 1) {
    value /= 1024;
    unit++;
  }
  const shown = value >= 1e6 ? tenToThe(value) : `${value >= 100 ? Math.round(value) : Number(value.toPrecision(2))}`;
  return `${shown} ${SIZES[unit]}`;
}

/** `2^24.50`. */
export function powerText(exponent: number): string {
  const text = exponent.toFixed(2).replace(/\.?0+$/, '');
  return `2^${text === '-0' ? '0' : text}`;
}

export function log2Of(n: bigint): number {
  return n === 0n ? Number.NEGATIVE_INFINITY : Math.log2(Number(n));
}

/** Columns side by side, two spaces apart. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );
}

/** The same where it fits; else each row over several lines, under its first cell. `indent`: columns before each line. */
export function fittingTable(rows: readonly (readonly string[])[], indent: number): string[] {
  const lines = table(rows);
  const [titles, ...others] = rows;
  const space = ' '.repeat(indent);
  if (Math.max(...lines.map((line) => line.length)) + indent <= tableWidth()) {
    return lines.map((line) => space + line);
  }
  const stacked = others.flatMap(([name, ...cells]) => [
    `${space}${name}`,
    ...table(cells.map((cell, i) => [titles[i + 1], cell])).map((line) => `${space}  ${line}`),
  ]);
  return stacked;
}

function multiple(prefix: string | undefined): number {
  const base = prefix?.endsWith('i') ? 1024 : 1000;
  return prefix === undefined ? 1 : base ** ('kMGT'.indexOf(prefix[0]) + 1);
}

function tenToThe(value: number): string {
  return `10^${Math.floor(Math.log10(value))}`;
}

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB'];
const UNITS: readonly (readonly [number, string])[] = [
  [31_557_600, 'years'],
  [86_400, 'days'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
];
