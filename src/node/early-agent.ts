/**
 * Requests of an `https.Agent` as early data: those of safe methods whose every byte is there when the connection opens. A
 * server that answers one with 425 (Too Early) is asked once more, when its handshake is complete.
 *
 * RFC 8470 §4, §5.2.
 */

import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isSafeMethod } from './early-requests.ts';
import type { TLSSocket } from './tls-socket.ts';

const TOO_EARLY = 425;

export class EarlyAgent {
  /** Requests that may have gone out as early data, each on the connection that it opened. */
  readonly #sent = new WeakSet<ClientRequest>();
  /** Requests that are made once more. */
  readonly #retries = new WeakSet<ClientRequest>();

  /** For `earlyWrites`. */
  readonly allows = (socket: TLSSocket): boolean => {
    const request = (socket as unknown as { _httpMessage?: ClientRequest | null })._httpMessage;
    if (!request || this.#retries.has(request) || !isSafeMethod(request.method) || !request.writableEnded) {
      return false;
    }
    this.#sent.add(request);
    return true;
  };

  /** `options` are those of the request as its agent was given them. */
  watch(request: ClientRequest, options: object, agent: object): void {
    if (!isSafeMethod(request.method) || this.#retries.has(request)) {
      return;
    }
    const { emit } = request;
    // Not assigned as it is written: such a function V8 puts into the old generation, where it outlives the request.
    const watched = (event: string | symbol, ...args: unknown[]): boolean => {
      const [response] = args as [IncomingMessage | undefined];
      if (event !== 'response' || response?.statusCode !== TOO_EARLY || !this.#wasEarly(request)) {
        return emit.call(request, event, ...args);
      }
      response.resume();
      this.#retry(request, emit, { ...options, agent });
      return true;
    };
    request.emit = watched;
  }

  #wasEarly(request: ClientRequest): boolean {
    const socket = request.socket as unknown as TLSSocket | null;
    return socket?.mayfly?.earlyData === 'taken' && this.#sent.has(request);
  }

  /** What becomes of the second request is told as if it were the first, whose own end nobody hears of. */
  #retry(first: ClientRequest, emit: ClientRequest['emit'], options: object): void {
    const { method, path } = first;
    const second = httpsRequest({ ...options, method, path, headers: headersOf(first) });
    this.#retries.add(second);
    first.emit = () => false;
    first.destroy = (error?: Error) => {
      second.destroy(error);
      return first;
    };
    for (const event of ['response', 'upgrade', 'information', 'timeout', 'error', 'close']) {
      second.on(event, (...args: unknown[]) => {
        if (event === 'response') {
          (first as { res?: unknown }).res = args[0];
        }
        emit.call(first, event, ...args);
      });
    }
    second.end();
  }
}

function headersOf(request: ClientRequest): Record<string, string | number | string[]> {
  const headers: Record<string, string | number | string[]> = {};
  for (const name of request.getRawHeaderNames()) {
    const value = request.getHeader(name);
    if (value !== undefined) {
      headers[name] = value as string | number | string[];
    }
  }
  return headers;
}
