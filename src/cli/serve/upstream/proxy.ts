/**
 * Passes requests on to an upstream server that speaks plain HTTP: HTTP/1.1 and HTTP/2 in, HTTP/1.1 out, WebSocket
 * upgrades, streaming both ways. `undici` carries most requests; who decides what may cross is called from here.
 */

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Problem } from '../../problem.ts';
import { answer, type Exchange } from '../exchange.ts';
import { forwardExpecting } from './expectation.ts';
import { answerFailure, isHangUp } from './failures.ts';
import { Forwarding } from './forwarding.ts';
import { requestHeaders } from './hop-headers.ts';
import type { UpstreamRequest } from './lane.ts';
import { UpstreamPool } from './pool.ts';
import { bodyOf, hasBody } from './request-body.ts';
import { isRefusal, pathUnder, type Refusal, targetOf } from './request-target.ts';
import type { WireExtras } from './request-wire.ts';
import { announcedTrailers, asksForTrailers, trailersOf } from './trailers.ts';
import { forwardUpgrade, upgradeExchange } from './upgrade.ts';
import type { WaitingRoomOptions } from './waiting-room.ts';

export interface Proxy {
  handle(exchange: Exchange): void;
  /** For clients that wait for `100 Continue` before they send their body. */
  handleExpecting(exchange: Exchange): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Closes the idle connections to the upstream server. */
  close(): void;
}

export interface ProxyOptions {
  readonly upstream: URL;
  /** The port that clients connected to. */
  readonly port: () => number | undefined;
  /** True once the server drains: HTTP/1.1 clients are then told to close. */
  readonly isDraining: () => boolean;
  /** Called for each request that the upstream server did not answer. */
  readonly onFailure: (code: string) => void;
  /** Milliseconds without a byte from the upstream server before it counts as dead, and of a client that is to read. Default 120000. */
  readonly upstreamTimeout?: number;
  /** Milliseconds until a connection must be there. Default 10000. */
  readonly connectTimeout?: number;
  /** Connections to the upstream server at a time. Default 1024. */
  readonly connections?: number;
  /** For requests beyond that. Default 1024 of them, 10000 milliseconds each. */
  readonly queue?: WaitingRoomOptions;
}

/** `--upstream-connections`, for each process: less than what the system lets a process open, or a server take. */
export const DEFAULT_CONNECTIONS = 1024;
const UPSTREAM_TIMEOUT = 120_000;
const CONNECT_TIMEOUT = 10_000;
const QUEUE: WaitingRoomOptions = { size: 1024, patience: 10_000 };
/** Milliseconds for the upstream server to answer a WebSocket upgrade. */
const UPGRADE_TIMEOUT = 30_000;

/** @throws Problem `usage` */
export function parseUpstream(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.protocol !== 'http:' || url.username !== '' || url.search !== '' || url.hash !== '') {
    throw new Problem(
      'usage',
      `--upstream: "${text}" is not an http:// URL that requests can be passed on to`,
      'Write it like http://127.0.0.1:3000: TLS ends here, the way to the upstream server is plain.',
    );
  }
  return url;
}

export async function createProxy(options: ProxyOptions): Promise<Proxy> {
  const { upstream, upstreamTimeout: timeout = UPSTREAM_TIMEOUT, connectTimeout = CONNECT_TIMEOUT } = options;
  // Only who needs it pays for loading it.
  const pool = new UpstreamPool(await import('undici'), {
    origin: upstream.origin,
    timeout,
    connectTimeout,
    limit: options.connections ?? DEFAULT_CONNECTIONS,
    queue: options.queue ?? QUEUE,
  });

  const failed = (exchange: Exchange, error: unknown): void => {
    const code = answerFailure(exchange, upstream.host, error);
    if (code !== undefined) {
      options.onFailure(code);
    }
  };

  const forward = (exchange: Exchange, expects: boolean): void => {
    const { request } = exchange;
    const target = targetOf(request, upstream.pathname);
    if (isRefusal(target)) {
      refuse(exchange, target);
      return;
    }
    const withBody = hasBody(exchange);
    const waits = expects && withBody;
    const takesTrailers = asksForTrailers(request.headers);
    const trailers = withBody ? trailersToCome(request) : undefined;
    const method = request.method as string;
    // Without a 100 nobody can know whether the body still comes.
    let wantsClose = waits || request.httpVersion === '1.0' || CLOSE.test(request.headers.connection ?? '');
    const asked: UpstreamRequest = {
      method,
      path: pathUnder(upstream.pathname, target.path),
      headers: requestHeaders(request, {
        host: target.host,
        port: options.port(),
        hasBody: withBody,
        takesTrailers,
        trailers,
      }),
      // undici ends a connection after HEAD, as some servers answer it with a body. Such a body ends it anyway.
      reset: method === 'HEAD' && !withBody ? false : null,
      body: withBody && !waits ? bodyOf(exchange, { timeout, inChunks: trailers !== undefined }) : null,
      extras: withBody || takesTrailers ? extrasOf(request, withBody, takesTrailers, trailers) : undefined,
    };
    let tries = 0;
    const handler = new Forwarding({
      exchange,
      closes: () => wantsClose || options.isDraining(),
      timeout,
      onFailure(error, wasIdle) {
        // RFC 9110 §9.2.2, RFC 9112 §9.3.1: the upstream server had closed the connection before it saw the request.
        if (wasIdle && tries++ === 0 && !withBody && IDEMPOTENT.has(method) && isHangUp(error)) {
          pool.dispatch(asked, handler, true);
        } else {
          failed(exchange, error);
        }
      },
    });
    if (!waits) {
      pool.dispatch(asked, handler);
      return;
    }
    forwardExpecting({
      exchange,
      pool,
      upstream,
      request: asked,
      extras: asked.extras,
      handler,
      connectTimeout,
      timeout,
      onContinue() {
        wantsClose = CLOSE.test(request.headers.connection ?? '');
      },
    });
  };

  return {
    handle: (exchange) => forward(exchange, false),
    handleExpecting: (exchange) => forward(exchange, true),
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy());
      const exchange = upgradeExchange(request, socket);
      if (exchange === undefined) {
        socket.destroy();
        return;
      }
      if (request.headers.upgrade?.toLowerCase() !== 'websocket' || request.method !== 'GET') {
        answer(exchange, 501, 'Only WebSocket upgrades are passed on.');
        return;
      }
      const target = targetOf(request, upstream.pathname);
      if (isRefusal(target)) {
        refuse(exchange, target);
        return;
      }
      const facts = {
        host: target.host,
        port: options.port(),
        hasBody: false,
        takesTrailers: false,
        trailers: undefined,
      };
      const handler = new Forwarding({
        exchange,
        closes: () => true,
        timeout,
        onFailure: (error) => failed(exchange, error),
      });
      forwardUpgrade(
        {
          pool,
          upstream,
          request: {
            method: 'GET',
            path: pathUnder(upstream.pathname, target.path),
            headers: requestHeaders(request, facts),
          },
          handler,
          connectTimeout,
          timeout: Math.min(timeout, UPGRADE_TIMEOUT),
          socket,
          head,
        },
        exchange,
      );
    },
    close() {
      pool.close();
    },
  };
}

/** Those that a request announces, where its framing has room for them. */
function trailersToCome({ headers, httpVersionMajor }: IncomingMessage): string | undefined {
  return httpVersionMajor >= 2 || headers['transfer-encoding'] !== undefined ? announcedTrailers(headers) : undefined;
}

function extrasOf(
  request: IncomingMessage,
  withBody: boolean,
  takesTrailers: boolean,
  trailers: string | undefined,
): WireExtras {
  return {
    hasBody: withBody,
    takesTrailers,
    trailers: trailers === undefined ? undefined : () => trailersOf(request, trailers),
  };
}

/** Before the request goes anywhere. */
function refuse(exchange: Exchange, { status, text }: Refusal): void {
  if (status === 204) {
    exchange.response.writeHead(204).end();
    return;
  }
  // Where its body ends may be in doubt: nothing more is read.
  const isHttp1 = exchange.request.headers[':method'] === undefined;
  answer(exchange, status, text, isHttp1 ? { connection: 'close' } : {});
}

const CLOSE = /(^|,)\s*close\s*(,|$)/i;
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
