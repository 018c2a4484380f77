/** Writes identity files, never over another one, and exchanges what is in one without ever leaving half of it. */

import {
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, extname } from 'node:path';
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

/** Keeps owner and mode; who reads it finds the old content or the new. @throws Problem `file` */
export function exchange(path: string, text: string): void {
  let beside: string | undefined;
  try {
    const target = realpathSync(path);
    const { mode, uid, gid } = statSync(target);
    const file = openSync(`${target}.new`, 'wx', 0o600);
    beside = `${target}.new`;
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
    if (beside !== undefined && existsSync(beside)) {
      unlinkSync(beside);
    }
    throw fileProblem('write', beside ?? path, error);
  }
}
