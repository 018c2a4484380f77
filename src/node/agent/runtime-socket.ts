/**
 * HAProxy's runtime API: one line goes out, text comes back, and HAProxy hangs up. Keys travel both ways, so that both are
 * byte arrays which are erased; nothing of them becomes a string.
 */

import { lstatSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { TLSError } from '../../errors.ts';

export type RuntimeAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** @throws TLSError `TLS_ERR_CONFIG` neither an absolute path nor a port on loopback: keys would travel in clear */
export function parseRuntimeAddress(text: string): RuntimeAddress {
  if (text.startsWith('/')) {
    return { path: text };
  }
  const parts = /^(127(?:\.\d{1,3}){3}|\[::1\]|localhost):(\d{1,5})$/.exec(text);
  const port = Number(parts?.[2]);
  if (parts === null || port < 1 || port > 65_535) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `the stats socket must be an absolute path or a port on loopback, since keys travel there in clear: got ${JSON.stringify(text)}`,
    );
  }
  return { host: parts[1].replace(/[[\]]/g, ''), port };
}

/** Undefined: nobody listens there. Otherwise the answer, which the caller erases. */
export async function ask(address: RuntimeAddress, line: Uint8Array, timeout: number): Promise<Uint8Array | undefined> {
  if ('path' in address) {
    checkSocket(address.path);
  }
  const answer = new Uint8Array(MAX_ANSWER);
  const chunk = new Uint8Array(CHUNK);
  let length = 0;
  try {
    const end = await new Promise<string>((resolve) => {
      const socket = connect({
        ...address,
        onread: {
          buffer: chunk,
          callback(count: number) {
            if (length + count > MAX_ANSWER) {
              resolve(`its answer is longer than ${MAX_ANSWER} bytes`);
              socket.destroy();
              return false;
            }
            answer.set(chunk.subarray(0, count), length);
            length += count;
            chunk.fill(0);
            return true;
          },
        },
      });
      socket.setTimeout(timeout, () => {
        resolve(`no answer within ${timeout / 1000} s`);
        socket.destroy();
      });
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      socket.once('end', () => resolve(''));
      socket.once('close', () => resolve('it hung up in the middle of its answer'));
      socket.write(line);
    });
    if (end === 'ENOENT' || end === 'ECONNREFUSED') {
      return undefined;
    }
    if (end !== '') {
      throw failed(`HAProxy's stats socket ${describe(address)}: ${end}`);
    }
    return answer.slice(0, length);
  } finally {
    answer.fill(0);
    chunk.fill(0);
  }
}

export function describe(address: RuntimeAddress): string {
  return 'path' in address ? address.path : `${address.host}:${address.port}`;
}

/** Whoever can put a socket of their own into its place is told all keys. */
function checkSocket(path: string): void {
  try {
    const socket = lstatSync(path);
    const folder = lstatSync(dirname(path));
    const isOurs = socket.uid === 0 || socket.uid === process.geteuid?.();
    if (!socket.isSocket()) {
      throw failed(`${path} is no socket`);
    }
    if ((folder.mode & 0o002) !== 0 && ((folder.mode & 0o1000) === 0 || !isOurs)) {
      throw failed(`everybody can write to ${dirname(path)}, so that ${path} may be anybody's: move the stats socket`);
    }
  } catch (error) {
    if (error instanceof TLSError) {
      throw error;
    }
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw failed(`HAProxy's stats socket ${path}: ${(error as Error).message}`);
    }
  }
}

function failed(detail: string): TLSError {
  return new TLSError('TLS_ERR_SERVER_NOT_TOLD', detail);
}

/** Bytes: three keys, or the names of some hundred key files. */
const MAX_ANSWER = 65_536;
const CHUNK = 16_384;
