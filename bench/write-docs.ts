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

export function writeDocs(mode: Mode, markdown: string): void {
  const { cpu, cores, node, openssl } = machineFacts();
  const begin = `<!-- bench ${mode}${mode === 'table' ? ` ${node.split('.')[0]}` : ''} -->`;
  const path = join(projectRoot, 'docs', mode === 'ring' ? 'fleet.md' : 'performance.md');
  const text = readFileSync(path, 'utf8');
  const from = text.indexOf(begin);
  const to = text.indexOf(END, from);
  if (from < 0 || to < 0) {
    throw new Error(`${relative(projectRoot, path)} has no place marked ${begin}`);
  }
  const machine = `${cpu}, ${cores} cores, Node ${node}, OpenSSL ${openssl}.`;
  writeFileSync(path, `${text.slice(0, from + begin.length)}\n${machine}\n\n${markdown.trim()}\n${text.slice(to)}`);
}

const END = '<!-- end -->';
