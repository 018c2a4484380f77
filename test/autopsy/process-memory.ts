/** The whole memory of another process, by /proc/PID/maps and /proc/PID/mem (Linux; the same user, or root). */

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

export interface Mapping {
  readonly start: number;
  readonly end: number;
  /** Such as 'rw-p'. */
  readonly permissions: string;
  /** A file, [heap], [stack]; empty for anonymous memory. */
  readonly name: string;
}

export function mappingsOf(pid: number): readonly Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+\s*(.*)$/.exec(line);
    if (match !== null) {
      const [, start, end, permissions, name] = match;
      mappings.push({ start: Number.parseInt(start, 16), end: Number.parseInt(end, 16), permissions, name });
    }
  }
  return mappings;
}

/** By a signal. */
export function isStopped(pid: number): boolean {
  // The name before it, in brackets, may hold anything.
  const status = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return status[status.lastIndexOf(')') + 2] === 'T';
}

/** Those in which anything can have been written: all but the kernel's own pages and files that are only read. */
export function isWritten({ permissions, name }: Mapping): boolean {
  const isFile = name.startsWith('/');
  const isKernels = name.startsWith('[v');
  return permissions[0] === 'r' && !isKernels && (!isFile || permissions[1] === 'w');
}

const BLOCK = 4 * 1024 * 1024;

/**
 * Calls `look` with each block of these mappings and its address; neighbouring blocks have `overlap` bytes in common. The
 * block's memory is used again for the next one. Returns the bytes that were read.
 */
export function readMemory(
  pid: number,
  mappings: readonly Mapping[],
  overlap: number,
  look: (block: Buffer, address: number, mapping: Mapping) => void,
): number {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const space = Buffer.alloc(BLOCK);
  let total = 0;
  try {
    for (const mapping of mappings) {
      for (let at = mapping.start; at < mapping.end; at += BLOCK - overlap) {
        const length = readAt(memory, space, at, Math.min(BLOCK, mapping.end - at));
        total += length;
        look(space.subarray(0, length), at, mapping);
        if (at + length >= mapping.end || length === 0) {
          break;
        }
      }
    }
  } finally {
    closeSync(memory);
  }
  return total;
}

/** A file, such as a core dump, in the same way. */
export function readFileInBlocks(path: string, overlap: number, look: (block: Buffer, offset: number) => void): number {
  const file = openSync(path, 'r');
  const space = Buffer.alloc(BLOCK);
  let total = 0;
  try {
    for (let at = 0; ; at += BLOCK - overlap) {
      const length = readAt(file, space, at, BLOCK);
      total = at + length;
      look(space.subarray(0, length), at);
      if (length < BLOCK) {
        return total;
      }
    }
  } finally {
    closeSync(file);
  }
}

/** As many bytes as there are: pages that are gone in between end it. */
function readAt(file: number, space: Buffer, position: number, length: number): number {
  let done = 0;
  while (done < length) {
    try {
      const read = readSync(file, space, done, length - done, position + done);
      if (read === 0) {
        break;
      }
      done += read;
    } catch {
      break;
    }
  }
  return done;
}
