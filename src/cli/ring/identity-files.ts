/** Writes identity files, never over another one, and exchanges what is in one without ever leaving half of it. */

import {
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { toHex } from '../../bytes/bytes.ts';
import { nodeProvider } from '../../node/fleet.ts';
import { fileProblem, Problem } from '../problem.ts';

/** What a host is called: its file’s name. */
export function hostOf(path: string): string {
  return basename(path, extname(path));
}

export interface NewFile {
  readonly path: string;
  readonly text: string;
  readonly mode: number;
}

/** @throws Problem `file` one of them is there already */
export function refuseExisting(paths: readonly string[]): void {
  const taken = paths.find((path) => existsSync(path));
  if (taken !== undefined) {
    throw new Problem(
      'file',
      `${taken} is there already`,
      'Nothing is written over here: remove it, or choose another path.',
    );
  }
}

/** All of them or none. @throws Problem `file` */
export function writeNew(files: readonly NewFile[]): void {
  const written: string[] = [];
  for (const { path, text, mode } of files) {
    try {
      const file = openSync(path, 'wx', mode);
      written.push(path);
      try {
        writeFileSync(file, text);
      } finally {
        closeSync(file);
      }
    } catch (error) {
      for (const half of written) {
        unlinkSync(half);
      }
      throw fileProblem('write', path, error);
    }
  }
}

/**
 * Keeps owner and mode; who reads it finds the old content or the new. What runs of this that were killed have left beside it
 * is removed, as there is an identity in it.
 * @throws Problem `file` it cannot be written, or another run exchanged it meanwhile
 */
export function exchange(path: string, text: string): void {
  let beside: string | undefined;
  try {
    const target = realpathSync(path);
    // One of a run that goes on just now may be among them: that one then fails, as its turn is over.
    for (const left of leftBeside(target)) {
      rmSync(left, { force: true });
    }
    const { mode, uid, gid } = statSync(target);
    // A name of its own: under one that is known, who takes the place of a run that hangs would have his half put in place.
    const name = `${target}${MARK}${toHex(randomBytes(4))}`;
    const file = openSync(name, 'wx', 0o600);
    beside = name;
    try {
      // All of it: one write may take less where the disk is nearly full.
      writeFileSync(file, text);
      fchownSync(file, uid, gid);
      fchmodSync(file, mode & 0o777);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(beside, target);
  } catch (error) {
    if (beside !== undefined) {
      rmSync(beside, { force: true });
    }
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && syscall === 'rename') {
      throw new Problem('file', `${path} was exchanged by another run meanwhile`, 'See what it holds now.');
    }
    throw fileProblem('write', beside ?? path, error);
  }
}

/** What runs of `exchange` that were killed have left of this file: the identity is in it, whole or in part. */
export function leftBeside(path: string): readonly string[] {
  let target: string;
  let names: readonly string[];
  try {
    target = realpathSync(path);
    names = readdirSync(dirname(target));
  } catch {
    // It is no path, or its folder does not tell what is in it.
    return [];
  }
  const start = `${basename(target)}${MARK}`;
  return names
    .filter((name) => name.startsWith(start) && /^[0-9a-f]{8}$/.test(name.slice(start.length)))
    .map((name) => join(dirname(target), name));
}

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  nodeProvider.random(bytes);
  return bytes;
}

/** Then 8 random hex digits. */
const MARK = '.adopting-';
