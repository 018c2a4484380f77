/** The table of the example: written over on a terminal, now and then elsewhere; or one JSON object per line. */

import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import pc from 'picocolors';
import type { Scene } from './scene.ts';
import type { Sight } from './watch.ts';

export interface Board {
  /** @param isLast shown in any case */
  show(sight: Sight, isLast?: boolean): void;
  tell(step: string, text: string): void;
}

export function jsonBoard(write: (text: string) => void): Board {
  const line = (event: string, fields: object) => write(`${JSON.stringify({ event, ...fields })}\n`);
  return {
    show: (sight) => line('sight', sight),
    tell: (step, text) => line('step', { step, text }),
  };
}

/** @param head what stands above the table */
export function textBoard(scene: Scene, head: readonly string[], out: NodeJS.WriteStream): Board {
  const began = Date.now();
  const stories: string[] = [];
  let shownAt = Number.NEGATIVE_INFINITY;
  if (!out.isTTY) {
    out.write(`${head.join('\n')}\n`);
  }
  return {
    show(sight, isLast = false) {
      if (out.isTTY) {
        const text = [...head, ...lines(scene, sight), ''];
        const room = out.rows - 1 - text.reduce((sum, line) => sum + rowsOf(line, out.columns), 0);
        out.write(`\x1b[H\x1b[2J${[...text, ...lastOf(stories, room, out.columns)].join('\n')}\n`);
      } else if (isLast || sight.time - shownAt >= QUIET) {
        shownAt = sight.time;
        out.write(`${lines(scene, sight).join('\n')}\n`);
      }
    },
    tell(_step, text) {
      const story = `  ${pc.dim(`${((Date.now() - began) / 1000).toFixed(0).padStart(3)} s`)}  ${text}`;
      stories.push(story);
      if (!out.isTTY) {
        out.write(`\n${story}\n`);
        shownAt = Number.NEGATIVE_INFINITY;
      }
    },
  };
}

/** As many of the last ones as there is room for. */
function lastOf(stories: readonly string[], room: number, columns: number): readonly string[] {
  let rows = 0;
  const first = stories.findLastIndex((story) => {
    rows += rowsOf(story, columns);
    return rows > room;
  });
  return stories.slice(first + 1);
}

function rowsOf(line: string, columns: number): number {
  return Math.max(1, Math.ceil(stripVTControlCharacters(line).length / columns));
}

function lines(scene: Scene, sight: Sight): string[] {
  const { hosts, tally, lately } = sight;
  const head = ['Server', 'Status page', 'Full', 'Resumed', 'Seals with', 'Made', 'Next epoch', 'Ratchet'];
  const rows = hosts.map((host) => [
    host.name,
    host.statusUrl,
    String(host.full),
    String(host.resumed),
    host.isUp ? (host.sealingKey ?? pc.yellow('no key yet')) : pc.red('away'),
    host.sealingKeyAge === undefined ? '' : `${Math.round(host.sealingKeyAge / 1000)} s ago`,
    host.isUp ? (host.nextEpochPresent ? pc.green('is here') : 'not yet') : '',
    host.ratchetDepth === 0 ? '' : pc.yellow(String(host.ratchetDepth)),
  ]);
  const opened = tally.opened.map((row, index) => [`${hosts[index].name} sealed`, ...row.map(String)]);
  const alarms = [...new Set(hosts.flatMap((host) => host.alarms))];
  const now = lately.full + lately.resumed;
  const all = sum(tally.full) + sum(tally.resumed);
  return [
    '',
    ...table(head, rows),
    '',
    ...table(['Tickets', ...hosts.map(({ name }) => `${name} opened`)], opened),
    '',
    fact(scene.redisName, sight.isRedisUp ? pc.green(scene.redisUrl) : pc.red('away')),
    fact('Epoch', `${sight.epoch}, ${Math.ceil(sight.epochLeft / 1000)} s left`),
    fact('Now', now === 0 ? 'nobody came' : `${lately.resumed} of ${now} handshakes resumed`),
    fact(
      'In all',
      `${sum(tally.resumed)} of ${all} resumed (${ratio(sum(tally.resumed), all)}), ${tally.failed} failed`,
    ),
    fact('Refused', refusals(sight)),
    fact('Alarms', alarms.length === 0 ? pc.green('none') : pc.red(alarms.join(', '))),
  ];
}

function refusals({ hosts }: Sight): string {
  const counts = new Map<string, number>();
  for (const [reason, count] of hosts.flatMap((host) => Object.entries(host.refusals))) {
    counts.set(reason, (counts.get(reason) ?? 0) + count);
  }
  return [...counts].map(([reason, count]) => `${count} ${reason.replaceAll('_', ' ')}`).join(', ') || 'no session';
}

function table(head: readonly string[], rows: readonly string[][]): string[] {
  const none = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'];
  const made = new Table({
    head: head.map((text) => pc.bold(text)),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
    chars: {
      ...Object.fromEntries(
        [...none, 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'].map((n) => [n, '']),
      ),
      left: '  ',
    },
  });
  made.push(...rows);
  return made
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}

const fact = (title: string, text: string) => `  ${pc.bold(title.padEnd(9))}${text}`;
const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
const ratio = (part: number, all: number) => `${((100 * part) / Math.max(1, all)).toFixed(1)} %`;

/** Milliseconds between two tables where they cannot be written over. */
const QUIET = 10_000;
