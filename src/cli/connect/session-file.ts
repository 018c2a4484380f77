/**
 * The file in which `connect --session` keeps tickets for its next run.
 *
 *     "mayfly sessions 1\n"  origin "\n"  { length uint32, session bytes }*
 *
 * It holds secrets: mode 0600, binary, never more than a few sessions, and a session is taken out before it is used, so
 * that no ticket is ever offered twice (RFC 9846 §C.4).
 */

import { readFileSync, statSync } from 'node:fs';
import type { Output } from '../output.ts';
import { errorCode, fileProblem, Problem } from '../problem.ts';
import { writeOwnFile } from '../serve/state-folder.ts';

export interface SessionFile {
  /** What the sessions are bound to: host, port, name. Another origin's are not offered. */
  readonly origin: string;
  /** Oldest first. */
  readonly sessions: readonly Uint8Array[];
}

const MAGIC = 'mayfly sessions 1\n';
const MAX_SESSIONS = 8;
/** A ticket is at most 64 KiB, and the certificate chain that goes with it a few more. */
const MAX_FILE_BYTES = 4_194_304;

/**
 * The file's sessions; undefined when there is no file yet.
 * @throws Problem `file`, `bad_pem` when it is something else
 */
export function readSessionFile(path: string, output: Output): SessionFile | undefined {
  let bytes: Buffer;
  let mode: number;
  try {
    const status = statSync(path);
    if (status.size > MAX_FILE_BYTES) {
      throw notOurs(path);
    }
    mode = status.mode & 0o777;
    bytes = readFileSync(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      return undefined;
    }
    throw error instanceof Problem ? error : fileProblem('read', path, error);
  }
  const file = decode(bytes, path);
  if ((mode & 0o077) !== 0 && process.platform !== 'win32') {
    const octal = mode.toString(8);
    output.warn(`${path} could be read by others (mode ${octal}): what it held may be known. It becomes 600 now.`);
  }
  return file;
}

/** @throws Problem `file` */
export function writeSessionFile(path: string, file: SessionFile): void {
  const kept = file.sessions.slice(-MAX_SESSIONS);
  const head = Buffer.from(`${MAGIC}${file.origin}\n`);
  const bytes = new Uint8Array(head.length + kept.reduce((sum, session) => sum + 4 + session.length, 0));
  const view = new DataView(bytes.buffer);
  bytes.set(head);
  let at = head.length;
  for (const session of kept) {
    view.setUint32(at, session.length);
    bytes.set(session, at + 4);
    at += 4 + session.length;
  }
  try {
    writeOwnFile(path, bytes);
  } finally {
    bytes.fill(0);
  }
}

function decode(bytes: Buffer, path: string): SessionFile {
  const originEnd = bytes.indexOf('\n', MAGIC.length);
  if (bytes.subarray(0, MAGIC.length).toString('latin1') !== MAGIC || originEnd < 0) {
    throw notOurs(path);
  }
  const sessions: Uint8Array[] = [];
  for (let at = originEnd + 1; at < bytes.length; ) {
    const length = at + 4 <= bytes.length ? bytes.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    if (at + 4 + length > bytes.length || sessions.length >= MAX_SESSIONS) {
      throw notOurs(path);
    }
    sessions.push(new Uint8Array(bytes.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  const origin = bytes.subarray(MAGIC.length, originEnd).toString('utf8');
  bytes.fill(0);
  return { origin, sessions };
}

function notOurs(path: string): Problem {
  return new Problem(
    'bad_pem',
    `${path} is not a session file of mayfly`,
    'Give the path of one, or of a file that does not exist yet.',
  );
}
