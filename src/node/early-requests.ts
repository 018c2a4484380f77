/**
 * HTTP requests that came as early data: those of safe methods are served at once and say `Early-Data: 1` in their headers,
 * all others wait until the handshake is complete, when they are no recording any more.
 *
 * RFC 8470 §3, §5.1; safe methods: RFC 9110 §9.2.1.
 */

import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from './tls-socket.ts';

/** May be done twice, or by somebody who only has a recording. */
export function isSafeMethod(method: string | undefined): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
}

/** Under which socket an HTTP/2 session runs that began with early data: it shows a stand-in for it. */
export const socketOfSession = new WeakMap<object, TLSSocket>();

/** Comes before all listeners of `server` for requests. */
export function guardEarlyRequests(server: EventEmitter): void {
  const { emit } = server;
  server.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    if (!mayBeEarly(event, args)) {
      return emit.call(server, event, ...args);
    }
    const early = earlyRequest(event, args);
    if (early === undefined || early.socket?.earlyData !== true) {
      return emit.call(server, event, ...args);
    }
    if (early.safe) {
      early.mark();
      return emit.call(server, event, ...args);
    }
    early.socket.once('secure', () => {
      if (!early.gone()) {
        emit.call(server, event, ...args);
      }
    });
    return true;
  };
}

/** Nearly everything is not, and must cost nothing. */
function mayBeEarly(event: string | symbol, args: readonly unknown[]): boolean {
  if (event === 'stream') {
    const { session } = args[0] as ServerHttp2Stream;
    return session !== undefined && socketOfSession.get(session)?.earlyData === true;
  }
  return requestEvents.has(event) && (args[0] as { socket?: { earlyData?: unknown } }).socket?.earlyData === true;
}

interface EarlyRequest {
  readonly socket: TLSSocket | undefined;
  readonly safe: boolean;
  mark(): void;
  gone(): boolean;
}

function earlyRequest(event: string | symbol, args: readonly unknown[]): EarlyRequest | undefined {
  if (event === 'stream') {
    return ofStream(args as StreamArguments);
  }
  if (requestEvents.has(event)) {
    const request = args[0] as IncomingMessage;
    // Those of HTTP/2 have been here as streams.
    return request.httpVersionMajor >= 2 ? undefined : ofRequest(event, request);
  }
  return undefined;
}

function ofRequest(event: string | symbol, request: IncomingMessage): EarlyRequest {
  const isPlain = event === 'request' || event === 'checkContinue' || event === 'checkExpectation';
  return {
    socket: request.socket as unknown as TLSSocket,
    // An upgrade leads to a protocol of which nothing is known.
    safe: isPlain && isSafeMethod(request.method),
    mark: () => {
      if (request.headers[EARLY_DATA] === undefined) {
        request.headers[EARLY_DATA] = '1';
        request.rawHeaders.push('Early-Data', '1');
      }
    },
    gone: () => request.destroyed || request.socket.destroyed,
  };
}

type StreamArguments = [ServerHttp2Stream, Record<string, unknown>, number, string[] | undefined];

function ofStream([stream, headers, , rawHeaders]: StreamArguments): EarlyRequest {
  const session = stream.session as ServerHttp2Session | undefined;
  return {
    socket: session === undefined ? undefined : socketOfSession.get(session),
    safe: isSafeMethod(headers[':method'] as string | undefined),
    mark: () => {
      if (headers[EARLY_DATA] === undefined) {
        headers[EARLY_DATA] = '1';
        rawHeaders?.push(EARLY_DATA, '1');
      }
    },
    gone: () => stream.destroyed,
  };
}

const EARLY_DATA = 'early-data';
const requestEvents: ReadonlySet<string | symbol> = new Set([
  'request',
  'checkContinue',
  'checkExpectation',
  'upgrade',
  'connect',
]);
