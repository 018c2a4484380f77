/**
 * A request to the upstream server on a connection of its own, by Node's HTTP client: for what undici does not do. It has its
 * place among the connections that there may be, from before it opens until it is closed.
 */

import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { plainRequest } from '../../../node/plain.ts';
import type { Controller, UpstreamHandler, UpstreamRequest } from './lane.ts';
import type { UpstreamPool } from './pool.ts';
import { isFramed, RequestWire } from './request-wire.ts';

export interface OwnOptions {
  readonly pool: UpstreamPool;
  readonly upstream: URL;
  readonly request: Pick<UpstreamRequest, 'client' | 'method' | 'path' | 'headers'>;
  readonly handler: UpstreamHandler;
  /** Milliseconds until the connection must be there. */
  readonly connectTimeout: number;
  /** Milliseconds without a byte from the upstream server, or to it. */
  readonly timeout: number;
}

export interface OwnEvents {
  /** There is a place for it: to be sent. */
  onOpen(outgoing: ClientRequest, abort: (reason: Error) => void): void;
  /** The upstream server changes to another protocol: the handler is not told of anything any more. */
  onUpgrade?(answer: IncomingMessage, socket: Socket, head: Buffer): void;
  /** There is a final status, or an error: nothing more is to be sent. */
  onSettled?(): void;
  /** Whose fault it is that nothing comes. Undefined: nobody's. */
  onSilence?(): Error | undefined;
}

export function sendAlone({ pool, handler, ...options }: OwnOptions, events: OwnEvents): void {
  const { client } = options.request;
  let isOver = false;
  let outgoing: ClientRequest | undefined;
  let incoming: IncomingMessage | undefined;
  let wire: RequestWire | undefined;
  let connecting: NodeJS.Timeout | undefined;
  const finish = (error?: Error): void => {
    if (isOver) {
      return;
    }
    isOver = true;
    clearTimeout(connecting);
    events.onSettled?.();
    if (error === undefined) {
      handler.onResponseEnd(incoming?.trailers);
    } else {
      handler.onResponseError(error, false);
    }
  };
  let leave = (): void => {};
  const abort = (reason: Error): void => {
    leave();
    finish(reason);
    outgoing?.destroy();
  };
  const controller: Controller = { pause: () => incoming?.pause(), resume: () => incoming?.resume(), abort };
  const begin = (): void => {
    let request: ClientRequest;
    try {
      request = requestTo(options);
    } catch (error) {
      // A header that Node's client does not send.
      pool.release(client);
      finish(error as Error);
      return;
    }
    outgoing = request;
    releaseAfter(request, () => pool.release(client));
    connecting = setTimeout(() => abort(timedOut('UND_ERR_CONNECT_TIMEOUT')), options.connectTimeout);
    request.once('socket', (socket) => {
      // RFC 9112 §2.2: a head that leaves before the body would be UTF-8, what is not ASCII in it encoded twice.
      socket.setDefaultEncoding('latin1');
      socket.once('connect', () => clearTimeout(connecting));
      const watched = new RequestWire(socket, { hasBody: true, takesTrailers: false, trailers: undefined });
      wire = watched;
      socket.once('close', () => watched.restore());
    });
    request.on('information', ({ statusCode, headers }) => {
      if (!isOver) {
        handler.onResponseStart(controller, statusCode, headers);
      }
    });
    if (events.onUpgrade !== undefined) {
      request.once('upgrade', (answer, socket, head) => {
        isOver = true;
        clearTimeout(connecting);
        wire?.restore();
        events.onUpgrade?.(answer, socket, head);
      });
    }
    request.once('response', (response) => {
      if (isOver) {
        response.destroy();
        return;
      }
      if (response.statusCode === 101) {
        // RFC 9110 §7.8: without Connection and Upgrade it says nothing.
        abort(otherProtocol());
        return;
      }
      incoming = response;
      if (wire !== undefined) {
        wire.isAnswered = true;
      }
      events.onSettled?.();
      handler.onResponseStart(controller, response.statusCode ?? 0, response.headers, response.statusMessage);
      response.on('data', (chunk: Buffer) => isOver || handler.onResponseData(controller, chunk));
      response.once('error', finish);
      response.once('close', () => {
        const isWhole = response.complete && (wire?.refusal === undefined || isFramed(response.headers));
        finish(isWhole ? undefined : hangUp());
        request.destroy();
      });
    });
    request.on('error', finish);
    request.on('timeout', () => {
      // Who holds the answer back has a time limit of its own.
      if (incoming?.isPaused() === true) {
        request.socket?.setTimeout(options.timeout);
        return;
      }
      abort(events.onSilence?.() ?? timedOut('UND_ERR_HEADERS_TIMEOUT'));
    });
    request.once('close', () => incoming ?? finish(hangUp()));
    events.onOpen(request, abort);
  };
  handler.onRequestStart(controller);
  if (!isOver) {
    leave = pool.reserve({ client, onPlace: begin, onRefused: finish });
  }
}

function requestTo({ upstream, request, timeout }: Omit<OwnOptions, 'pool' | 'handler'>): ClientRequest {
  return plainRequest({
    agent: false,
    hostname: upstream.hostname.replace(/^\[|\]$/g, ''),
    port: upstream.port || 80,
    method: request.method,
    path: request.path,
    headers: request.headers,
    timeout,
  });
}

/** When its connection is closed, or it never came to have one. */
function releaseAfter(request: ClientRequest, release: () => void): void {
  request.once('socket', (socket) => socket.once('close', release));
  request.once('close', () => request.socket ?? release());
}

function hangUp(): Error {
  return Object.assign(new Error('the upstream server hung up'), { code: 'ECONNRESET' });
}

/** Told of a 101 that was not asked for. */
export function otherProtocol(): Error {
  return new Error('it changed to a protocol that was not asked for');
}

function timedOut(code: string): Error {
  return Object.assign(new Error('the upstream server takes too long'), { code });
}
