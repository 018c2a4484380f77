/**
 * Files of pre-shared keys (external PSKs), as `serve` and `connect` take them: one key a line. A key on the command line
 * would be seen by every user of the machine.
 *
 *     IDENTITY  KEY  client=NAME  server=NAME  [hash=sha256|sha384]      imported, bound to who is who (RFC 9258)
 *     IDENTITY  KEY  not-imported              [hash=sha256|sha384]      as it is, as OpenSSL's tools have it
 *     # a comment
 *
 * KEY is hexadecimal, 16 bytes or more. It goes from the file's bytes into bytes that are erased, and never through a string.
 */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { Secret } from '../bytes/secret.ts';
import type { ExternalPskOptions } from '../node/external-psks.ts';
import { checkExternalPsk } from '../session/external-psk.ts';
import { roleContext } from '../session/psk-importer.ts';
import { fileProblem, messageOf, Problem } from './problem.ts';

export interface FilePsk extends ExternalPskOptions {
  readonly identity: string;
  /** The caller's to erase. */
  readonly psk: Uint8Array;
  /** Absent for one that is not imported. */
  readonly importContext?: { readonly client: string; readonly server: string };
}

/**
 * All keys of the file, in its order; never none.
 * @throws Problem `file` it cannot be read, or others can read it; `bad_pem` what is in it is no such list
 */
export function readPskFile(path: string): readonly FilePsk[] {
  const bytes = readPrivate(path);
  const psks: FilePsk[] = [];
  try {
    let start = 0;
    for (let line = 1; start < bytes.length; line++) {
      const found = bytes.indexOf(LINE_FEED, start);
      const end = found < 0 ? bytes.length : found;
      const psk = readLine(bytes.subarray(start, end), (what) => wrong(path, what, line));
      psks.push(...(psk === undefined ? [] : [psk]));
      start = end + 1;
    }
    if (psks.length === 0) {
      throw wrong(path, 'holds no key');
    }
    return psks;
  } catch (error) {
    erasePsks(psks);
    throw error;
  } finally {
    bytes.fill(0);
  }
}

export function erasePsks(psks: readonly FilePsk[]): void {
  for (const { psk } of psks) {
    psk.fill(0);
  }
}

function readLine(line: Uint8Array, fail: (what: string) => Problem): FilePsk | undefined {
  const fields = split(line);
  if (fields.length === 0 || fields[0][0] === NUMBER_SIGN) {
    return undefined;
  }
  const [name, hex, ...rest] = fields;
  if (hex === undefined) {
    throw fail('has no key: expected IDENTITY KEY client=NAME server=NAME');
  }
  // Before anything of the rest, which might be a key that stands in the wrong place, becomes text.
  const psk = decodeHex(hex);
  if (psk === undefined) {
    throw fail('has a key that is not hexadecimal, two digits for each byte');
  }
  try {
    const identity = text(name);
    const options = readOptions(rest, fail);
    const read: FilePsk = { identity, psk, ...options };
    check(read, fail);
    return read;
  } catch (error) {
    psk.fill(0);
    throw error;
  }
}

function readOptions(
  fields: readonly Uint8Array[],
  fail: (what: string) => Problem,
): Pick<FilePsk, 'hash' | 'importContext'> {
  const given = new Map<string, string>();
  for (const field of fields) {
    const at = field.indexOf(EQUALS_SIGN);
    const key = text(at < 0 ? field : field.subarray(0, at));
    // The field itself is not told: it might be a key.
    if (!OPTIONS.includes(key) || given.has(key) || (key === 'not-imported') !== at < 0) {
      throw fail(`has a field that is none, or stands there twice: there are ${OPTIONS.join(', ')}`);
    }
    given.set(key, at < 0 ? '' : text(field.subarray(at + 1)));
  }
  const [client, server, hash] = [given.get('client'), given.get('server'), given.get('hash')];
  if (hash !== undefined && hash !== 'sha256' && hash !== 'sha384') {
    throw fail('has a hash that is not known: sha256 or sha384');
  }
  const isImported = !given.has('not-imported');
  if (isImported ? client === undefined || server === undefined : client !== undefined || server !== undefined) {
    throw fail('must say who is who by client=NAME and server=NAME, or else not-imported');
  }
  return {
    ...(hash === undefined ? {} : { hash }),
    ...(isImported ? { importContext: { client: client ?? '', server: server ?? '' } } : {}),
  };
}

/** What TLS itself demands, so that it is told with the line. */
function check({ identity, psk, hash, importContext }: FilePsk, fail: (what: string) => Problem): void {
  const externalPsk = Secret.copy('externalPsk', psk);
  try {
    checkExternalPsk({ identity: Buffer.from(identity), externalPsk, ...(hash === undefined ? {} : { hash }) });
    if (importContext !== undefined) {
      roleContext({ client: Buffer.from(importContext.client), server: Buffer.from(importContext.server) });
    }
  } catch (error) {
    throw fail(`is refused: ${messageOf(error)}`);
  } finally {
    externalPsk.erase();
  }
}

/** One descriptor for both looks: nobody can exchange the file in between. */
function readPrivate(path: string): Uint8Array {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const { mode, size } = fstatSync(file);
    // Windows has no such bits.
    if ((mode & 0o077) !== 0 && process.platform !== 'win32') {
      throw new Problem(
        'file',
        `${path} can be read by others (mode ${(mode & 0o777).toString(8)}), and who reads it can be either end`,
        'Make new keys if somebody may have read it, and chmod 600 it.',
      );
    }
    if (size > MAX_SIZE) {
      throw wrong(path, `has ${size} bytes, at most ${MAX_SIZE} are read`);
    }
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; ) {
      const count = readSync(file, bytes, at, size - at, null);
      at = count === 0 ? size : at + count;
    }
    return bytes;
  } catch (error) {
    throw error instanceof Problem ? error : fileProblem('read', path, error);
  } finally {
    if (file !== undefined) {
      closeSync(file);
    }
  }
}

function wrong(path: string, what: string, line?: number): Problem {
  return new Problem(
    'bad_pem',
    line === undefined ? `${path} ${what}` : `${path}, line ${line}, ${what}`,
    'Write a line such as: web1 KEY client=web1 server=db1, with a KEY of openssl rand -hex 32.',
  );
}

function split(line: Uint8Array): Uint8Array[] {
  const fields: Uint8Array[] = [];
  let start = -1;
  for (let at = 0; at <= line.length; at++) {
    const isSpace = at === line.length || line[at] === SPACE || line[at] === TAB || line[at] === CARRIAGE_RETURN;
    if (!isSpace && start < 0) {
      start = at;
    }
    if (isSpace && start >= 0) {
      fields.push(line.subarray(start, at));
      start = -1;
    }
  }
  return fields;
}

function decodeHex(digits: Uint8Array): Uint8Array | undefined {
  const bytes = new Uint8Array(digits.length >> 1);
  for (let i = 0; i < digits.length; i++) {
    const digit = digitOf(digits[i]);
    if (digit === undefined || digits.length % 2 !== 0) {
      bytes.fill(0);
      return undefined;
    }
    bytes[i >> 1] |= digit << (i % 2 === 0 ? 4 : 0);
  }
  return bytes;
}

function digitOf(code: number): number | undefined {
  const lower = code | 0x20;
  if (code >= 0x30 && code <= 0x39) {
    return code - 0x30;
  }
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : undefined;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

const OPTIONS = ['client', 'server', 'not-imported', 'hash'];
const [TAB, LINE_FEED, CARRIAGE_RETURN, SPACE, NUMBER_SIGN, EQUALS_SIGN] = [0x09, 0x0a, 0x0d, 0x20, 0x23, 0x3d];
/** Bytes: some thousands of keys. */
const MAX_SIZE = 2 ** 20;
