/** `connect --early-get PATH`: one GET in early data, or where that cannot be, after the handshake. */

import type { TLSSocket } from '../../node/tls.ts';
import { Problem } from '../problem.ts';

export interface EarlyRequestReport {
  readonly path: string;
  /** 'not_sent': the session gives no leave, or none was offered. The request then went after the handshake. */
  readonly outcome: 'taken' | 'refused' | 'not_sent';
  /** Status line of the response; undefined for none in time. */
  readonly response: string | undefined;
}

/** @param host as the Host header has it. @throws Problem `usage` */
export function earlyRequestBytes(path: string, host: string): Uint8Array {
  if (!/^\/[\x21-\x7e]*$/.test(path)) {
    throw new Problem('usage', `--early-get: "${path}" is not a path`, 'Write one that begins with /, such as /.');
  }
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: mayfly\r\nConnection: close\r\n\r\n`);
}

/** Hears what becomes of the request on a socket that was told it as `earlyData`. */
export class EarlyRequest {
  readonly #path: string;
  readonly #socket: TLSSocket;
  #kept: 'refused' | 'not_sent' | undefined;
  #received = '';

  constructor(socket: TLSSocket, path: string) {
    this.#socket = socket;
    this.#path = path;
    socket.on('earlyDataRejected', (_bytes: Uint8Array, why: 'refused' | 'not_sent') => {
      this.#kept = why;
    });
    socket.on('data', (bytes: Buffer) => {
      if (this.#received.length < MAX_STATUS_LINE) {
        this.#received += bytes.toString('latin1', 0, MAX_STATUS_LINE);
      }
    });
  }

  /** The handshake is complete. Resolves when the status line is there, or does not come. */
  async answered(request: Uint8Array): Promise<EarlyRequestReport> {
    if (this.#kept !== undefined) {
      this.#socket.write(request);
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, RESPONSE_PATIENCE);
      const done = () => {
        clearTimeout(timer);
        resolve();
      };
      const look = () => {
        if (this.#received.includes('\n')) {
          done();
        }
      };
      this.#socket.on('data', look);
      this.#socket.once('close', done);
      this.#socket.resume();
      look();
    });
    const [line] = this.#received.split(/\r?\n/, 1);
    return { path: this.#path, outcome: this.#kept ?? 'taken', response: line === '' ? undefined : line };
  }
}

const MAX_STATUS_LINE = 512;
/** Milliseconds. */
const RESPONSE_PATIENCE = 3_000;
