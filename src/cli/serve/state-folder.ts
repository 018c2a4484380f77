/** The folder in which Mayfly keeps what must outlive a run: the development CA. Only its owner may look inside. */

import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { errorCode, fileProblem, Problem } from '../problem.ts';

/** `$XDG_STATE_HOME/mayfly`, or `~/.local/state/mayfly`. A relative XDG_STATE_HOME is ignored, as its rules demand. */
export function stateFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment.XDG_STATE_HOME ?? '';
  return join(isAbsolute(base) ? base : join(environment.HOME || homedir(), '.local', 'state'), 'mayfly');
}

/**
 * Makes the folder with mode 0700, or makes sure that an existing one is ours alone.
 * @throws Problem `file`
 */
export function openStateFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const status = statSync(folder);
    if (process.getuid !== undefined && status.uid !== process.getuid()) {
      throw new Problem('file', `${folder} belongs to another user`, 'Set XDG_STATE_HOME to a folder of your own.');
    }
    if ((status.mode & 0o077) !== 0) {
      chmodSync(folder, 0o700);
    }
  } catch (error) {
    if (error instanceof Problem) {
      throw error;
    }
    const { message } = fileProblem('write', folder, error);
    const remedy = 'Set XDG_STATE_HOME to a folder of your own, or give a certificate with --cert and --key.';
    throw new Problem('file', message, remedy, error);
  }
}

/** The file's text, or undefined when there is none. Narrows the mode of one that others may read. */
export function readOwnFile(path: string): string | undefined {
  try {
    if ((statSync(path).mode & 0o077) !== 0) {
      chmodSync(path, 0o600);
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      return undefined;
    }
    throw fileProblem('read', path, error);
  }
}

/** Writes with mode 0600, whole or not at all: a reader never sees half a file. */
export function writeOwnFile(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, content, { mode: 0o600, flag: 'wx' });
    renameSync(temporary, path);
  } catch (error) {
    throw fileProblem('write', path, error);
  }
}
