/**
 * What undici leaves out when it sends a request, and how it takes it when the upstream server stops to read the body:
 *
 *   Connection: keep-alive, TE          for TE: trailers
 *   0 CRLF *( field-line CRLF ) CRLF    for trailers of the request
 *
 * RFC 9110 §10.1.4; RFC 9112 §7.1.2. And §9.6: a server that has answered may reset the connection while the body is still on
 * its way. The write that fails must not keep us from reading that answer.
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { Field } from './trailers.ts';

export interface WireExtras {
  readonly hasBody: boolean;
  /** `TE: trailers` is among the headers. */
  readonly takesTrailers: boolean;
  /** Asked for when the body is at its end. */
  readonly trailers: (() => readonly Field[]) | undefined;
}

type Callback = (error?: Error | null) => void;

/** For one request on a connection. */
export class RequestWire {
  /** A head has come: it is its framing, and the time limit between its bytes, that tells when the answer ends. */
  isAnswered = false;
  /** Why the upstream server takes no more. */
  refusal: Error | undefined;
  readonly #socket: Socket;
  #patience: NodeJS.Timeout | undefined;

  constructor(socket: Socket, { hasBody, takesTrailers, trailers }: WireExtras) {
    this.#socket = socket;
    if (takesTrailers || trailers !== undefined) {
      this.#edit(takesTrailers, trailers);
    }
    if (hasBody) {
      this.#shield();
    }
  }

  /** The connection is as it was. */
  restore(): void {
    clearTimeout(this.#patience);
    const patched: Partial<Pick<Socket, 'write' | '_write' | '_writev'>> = this.#socket;
    delete patched.write;
    delete patched._write;
    delete patched._writev;
  }

  #edit(takesTrailers: boolean, trailers: WireExtras['trailers']): void {
    const { write } = this.#socket;
    let isHead = true;
    // Not assigned as it is written, here and below: such a function V8 puts into the old generation, where it outlives the request.
    const edited = (chunk: unknown, ...rest: unknown[]): boolean => {
      let data = chunk;
      if (isHead) {
        isHead = false;
        data = takesTrailers ? String(chunk).replace(CONNECTION, '$&, TE') : chunk;
      } else if (chunk === LAST_CHUNK && trailers !== undefined) {
        // Pieces of the body are no strings.
        const lines = trailers().map(([name, value]) => `${name}: ${value}\r\n`);
        data = `${LAST_CHUNK.slice(0, -2)}${lines.join('')}\r\n`;
      }
      return write.call(this.#socket, data as string, ...(rest as [BufferEncoding]));
    };
    this.#socket.write = edited;
  }

  #shield(): void {
    const socket = this.#socket;
    const { _write, _writev } = socket;
    const shielded: Socket['_write'] = (chunk, encoding, callback) =>
      _write.call(socket, chunk, encoding, this.#guarded(callback));
    socket._write = shielded;
    if (_writev !== undefined && _writev !== null) {
      const shieldedMany: typeof _writev = (chunks, callback) => _writev.call(socket, chunks, this.#guarded(callback));
      socket._writev = shieldedMany;
    }
  }

  /** A write that fails for a reset is one that takes long: what is there to read says what becomes of the connection. */
  #guarded(callback: Callback): Callback {
    return (error) => {
      if (!error || !RESETS.has((error as NodeJS.ErrnoException).code ?? '')) {
        callback(error);
        return;
      }
      this.refusal = error;
      this.#patience = setTimeout(() => this.isAnswered || callback(error), PATIENCE);
    };
  }
}

/** Whether an answer says itself where it ends. */
export function isFramed(headers: IncomingHttpHeaders): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

const CONNECTION = /\r\nconnection: (?:keep-alive|close)(?=\r\n)/;
/** As undici writes it, after a chunk. */
const LAST_CHUNK = '\r\n0\r\n\r\n';
const RESETS: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);
/** Milliseconds. What the upstream server said before it left is here already. */
const PATIENCE = 1000;
