/** Processes of this machine, by /proc: who the master of a server is, which workers it has, and which of them still live. */

import { closeSync, fstatSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { TLSError } from '../../errors.ts';

/** A process, told from a later one with the same id by when it started. */
export interface ProcessRef {
  readonly pid: number;
  /** Clock ticks since the machine started. */
  readonly startedAt: string;
}

/** Undefined when there is none. */
export function processOf(pid: number): ProcessRef | undefined {
  const stat = statOf(pid);
  return stat && { pid, startedAt: stat.startedAt };
}

export function isAlive({ pid, startedAt }: ProcessRef): boolean {
  return statOf(pid)?.startedAt === startedAt;
}

/** The command line as the process shows it: servers write their role there. */
export function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')[0];
  } catch {
    return '';
  }
}

export function childrenOf(parent: number): readonly ProcessRef[] {
  return readdirSync('/proc').flatMap((name) => {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : undefined;
    return stat?.parent === parent ? [{ pid: Number(name), startedAt: stat.startedAt }] : [];
  });
}

/**
 * The process that a pid file names; undefined when the file or the process is not there.
 * @param title what the process must show: a file that somebody else wrote must not have us signal whom they like
 * @throws TLSError `TLS_ERR_SERVER_NOT_TOLD` others may write the file, it holds no process id, or of another program
 */
export function masterOf(pidFile: string, title: RegExp): ProcessRef | undefined {
  const text = readPidFile(pidFile);
  if (text === undefined || text.trim() === '') {
    return undefined;
  }
  const pid = /^[1-9]\d{0,9}\s*$/.test(text) ? Number(text) : 0;
  if (pid < 2) {
    throw refused(`${pidFile} holds no process id`);
  }
  const master = processOf(pid);
  if (master !== undefined && !title.test(titleOf(pid))) {
    throw refused(`${pidFile} names process ${pid}, which is not the master of the server that is to be told`);
  }
  return master;
}

function readPidFile(path: string): string | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const { uid, mode, size } = fstatSync(file);
    if ((uid !== 0 && uid !== process.geteuid?.()) || (mode & 0o022) !== 0) {
      throw refused(`${path} can be written by others (owner ${uid}), who could have any process signalled`);
    }
    if (size > MAX_PID_FILE) {
      throw refused(`${path} has ${size} bytes, a pid file has at most ${MAX_PID_FILE}`);
    }
    return readFileSync(file, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return undefined;
    }
    throw error instanceof TLSError ? error : refused(`${path} cannot be read: ${(error as Error).message}`);
  } finally {
    if (file !== undefined) {
      closeSync(file);
    }
  }
}

/** `pid (name, which may hold anything) state parent …`: counted from behind the name. */
function statOf(pid: number): { readonly parent: number; readonly startedAt: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    // A zombie holds nothing any more.
    return fields[0] === 'Z' ? undefined : { parent: Number(fields[1]), startedAt: fields[19] };
  } catch {
    return undefined;
  }
}

function refused(detail: string): TLSError {
  return new TLSError('TLS_ERR_SERVER_NOT_TOLD', detail);
}

const MAX_PID_FILE = 64;
