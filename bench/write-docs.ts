/**
 * Puts the result of a run into docs/performance.md (that of the ring into docs/fleet.md), between the comments that mark
 * its place:
 *
 *     <!-- bench table v20 -->
 *     …
 *     <!-- end -->
 *
 * The table beside `node:tls` has a place for each major version of Node, everything else one.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Mode } from './arguments.ts';
import { machineFacts } from './machine.ts';
import { projectRoot } from './project.ts';

/** Before the run, which takes minutes: throws unless each of its results has a place. */
export function checkPlaces(modes: readonly Mode[]): void {
  for (const mode of modes) {
    findPlace(mode);
  }
}

export function writeDocs(mode: Mode, markdown: string): void {
  const { cpu, cores, node, openssl } = machineFacts();
  const { path, text, from, to } = findPlace(mode);
  const machine = `${cpu}, ${cores} cores, Node ${node}, OpenSSL ${openssl}.`;
  writeFileSync(path, `${text.slice(0, from)}\n${machine}\n\n${markdown.trim()}\n${text.slice(to)}`);
}

interface Place {
  readonly path: string;
  readonly text: string;
  /** Between these two. */
  readonly from: number;
  readonly to: number;
}

function findPlace(mode: Mode): Place {
  const begin = `<!-- bench ${mode}${mode === 'table' ? ` ${process.version.split('.')[0]}` : ''} -->`;
  const path = join(projectRoot, 'docs', mode === 'ring' ? 'fleet.md' : 'performance.md');
  const text = readFileSync(path, 'utf8');
  const at = text.indexOf(begin);
  const to = text.indexOf(END, at);
  if (at < 0 || to < 0) {
    throw new Error(`${relative(projectRoot, path)} has no place marked ${begin}`);
  }
  return { path, text, from: at + begin.length, to };
}

const END = '<!-- end -->';
