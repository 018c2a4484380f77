/**
 * Passes requests on to an upstream server that speaks plain HTTP: HTTP/1.1 and HTTP/2 in, HTTP/1.1 out, WebSocket
 * upgrades, streaming both ways. `undici` carries most requests; who decides what may cross is called from here.
 */

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Problem } from '../../problem.ts';
import { answer, type Exchange } from '../exchange.ts';
import { isRefusal, pathUnder, refuse, targetOf } from '../request-target.ts';
import { UpstreamBooks, type UpstreamStatus } from './books.ts';
import { forwardExpecting } from './expectation.ts';
import { answerFailure, isHangUp } from './failures.ts';
import { Forwarding } from './forwarding.ts';
import { requestHeaders } from './hop-headers.ts';
import type { UpstreamRequest } from './lane.ts';
import {
  CONNECT_TIMEOUT,
  DEFAULT_CONNECTIONS,
  QUEUE,
  READ_AHEAD,
  READ_AHEAD_MEMORY,
  SLOW_AFTER,
  UPGRADE_TIMEOUT,
  UPSTREAM_TIMEOUT,
} from './limits.ts';
import { Pace } from './pace.ts';
import { UpstreamPool } from './pool.ts';
import { bodyOf, hasBody, isClientStall } from './request-body.ts';
import type { WireExtras } from './request-wire.ts';
import { clientOf } from './shares.ts';
import { announcedTrailers, asksForTrailers, trailersOf } from './trailers.ts';
import { forwardUpgrade } from './upgrade.ts';
import type { WaitingRoomOptions } from './waiting-room.ts';
import { isWebSocketKey } from './websocket-key.ts';

export interface Proxy {
  handle(exchange: Exchange): void;
  /** For clients that wait for `100 Continue` before they send their body. */
  handleExpecting(exchange: Exchange): void;
  /** `head`: what the client said after its request. */
  upgrade(exchange: Exchange, socket: Duplex, head: Buffer): void;
  /** Undefined unless it is `counted`. */
  status(): UpstreamStatus | undefined;
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
  /** Milliseconds without a byte from the upstream server before it counts as dead. Default 120000. */
  readonly upstreamTimeout?: number;
  /** Milliseconds without a byte of a client, or taken by it. Default: as for the upstream server. */
  readonly clientTimeout?: number;
  /** Milliseconds in which a client is to move 16 KiB, or loses its place when others wait for one. Default 60000. */
  readonly slowAfter?: number;
  /** Bytes of an answer that are read before its client takes them. Default 262144. */
  readonly readAhead?: number;
  /** Bytes of all answers that wait for their clients. Default 67108864. */
  readonly readAheadMemory?: number;
  /** Milliseconds until a connection must be there. Default 10000. */
  readonly connectTimeout?: number;
  /** Connections to the upstream server at a time. Default 1024. */
  readonly connections?: number;
  /** Of these, with requests of one client address. Default: as many as are left, or 8. */
  readonly connectionsPerClient?: number;
  /** For requests beyond that. Default 1024 of them, 10000 milliseconds each. */
  readonly queue?: WaitingRoomOptions;
  /** Whether books are kept for `status`. Default false. */
  readonly counted?: boolean;
}

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
  const { connections: limit = DEFAULT_CONNECTIONS, queue = QUEUE } = options;
  const books = options.counted === true ? new UpstreamBooks() : undefined;
  const pace = new Pace({
    silence: timeout,
    patience: options.clientTimeout ?? timeout,
    window: options.slowAfter ?? SLOW_AFTER,
    ahead: options.readAhead ?? READ_AHEAD,
    memory: options.readAheadMemory ?? READ_AHEAD_MEMORY,
    wanted: () => pool.wanted(),
  });
  // Only who needs it pays for loading it.
  const pool: UpstreamPool = new UpstreamPool(await import('undici'), {
    origin: upstream.origin,
    timeout,
    connectTimeout,
    limit,
    share: options.connectionsPerClient,
    queue,
    onWanted: (of) => pace.makeRoom(of),
  });

  const failed = (exchange: Exchange, error: unknown): void => {
    const code = answerFailure(exchange, upstream.host, error);
    if (code !== undefined) {
      options.onFailure(code);
    } else if (isClientStall(error)) {
      books?.brokenBy(error.by);
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
    const client = clientOf(request.socket.remoteAddress);
    // Without a 100 nobody can know whether the body still comes.
    let wantsClose = waits || request.httpVersion === '1.0' || CLOSE.test(request.headers.connection ?? '');
    const asked: UpstreamRequest = {
      client,
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
      body: withBody && !waits ? bodyOf(exchange, { pace, client, inChunks: trailers !== undefined }) : null,
      extras: withBody || takesTrailers ? extrasOf(request, withBody, takesTrailers, trailers) : undefined,
    };
    let tries = 0;
    const handler = new Forwarding({
      exchange,
      client,
      closes: () => wantsClose || options.isDraining(),
      timeout,
      pace,
      books,
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
      pace,
      onContinue() {
        wantsClose = CLOSE.test(request.headers.connection ?? '');
      },
    });
  };

  return {
    handle: (exchange) => forward(exchange, false),
    handleExpecting: (exchange) => forward(exchange, true),
    upgrade(exchange, socket, head) {
      const { request } = exchange;
      const { headers, method, httpVersion } = request;
      // RFC 9110 §7.8: HTTP/1.0 knows no upgrade.
      if (headers.upgrade?.toLowerCase() !== 'websocket' || method !== 'GET' || httpVersion !== '1.1') {
        answer(exchange, 501, 'Of upgrades only those to WebSocket are passed on, by GET of HTTP/1.1.');
        return;
      }
      const key = headers['sec-websocket-key'];
      if (!isWebSocketKey(key)) {
        answer(exchange, 400, 'Sec-WebSocket-Key must be there once, with 16 bytes in base64.');
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
      const client = clientOf(request.socket.remoteAddress);
      const handler = new Forwarding({
        exchange,
        client,
        closes: () => true,
        timeout,
        pace,
        books,
        onFailure: (error) => failed(exchange, error),
      });
      forwardUpgrade(
        {
          pool,
          upstream,
          request: {
            client,
            method: 'GET',
            path: pathUnder(upstream.pathname, target.path),
            headers: requestHeaders(request, facts),
          },
          handler,
          connectTimeout,
          timeout: Math.min(timeout, UPGRADE_TIMEOUT),
          socket,
          key,
          head,
          books,
        },
        exchange,
      );
    },
    status: () =>
      books && {
        limit,
        busy: pool.busy,
        idle: pool.idle,
        waiting: pool.waiting,
        waitingLimit: queue.size,
        held: pace.held,
        heldLimit: pace.memory,
        ...books.status(),
      },
    close() {
      pool.close();
      pace.close();
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

const CLOSE = /(^|,)\s*close\s*(,|$)/i;
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
