/**
 * Passes requests on to an upstream server that speaks plain HTTP: HTTP/1.1 and HTTP/2 in, HTTP/1.1 out, WebSocket
 * upgrades, streaming both ways. `undici` carries requests, `httpxy` upgrades; which headers may cross is decided here
 * (RFC 9110 §7.6.1).
 */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createProxyServer } from 'httpxy';
import { errorCode, messageOf, Problem } from '../problem.ts';
import { answer, type Exchange } from './exchange.ts';
import { bodyOf, Forwarding, hasBody } from './forwarding.ts';
import { requestHeaders } from './hop-headers.ts';

export interface Proxy {
  handle(exchange: Exchange): void;
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
  /** Milliseconds without a byte from the upstream server before it counts as dead. Default 120000. */
  readonly upstreamTimeout?: number;
}

const UPSTREAM_TIMEOUT = 120_000;
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
  const { upstream, upstreamTimeout = UPSTREAM_TIMEOUT } = options;
  // Only who needs it pays for loading it.
  const { Pool } = await import('undici');
  const pool = new Pool(upstream.origin, { headersTimeout: upstreamTimeout, bodyTimeout: upstreamTimeout });
  const upgrades = createProxyServer({ target: upstream, agent: false, xfwd: false, upgradeTimeout: UPGRADE_TIMEOUT });

  const failed = (exchange: Exchange, error: unknown): void => {
    const code = failureCode(error);
    options.onFailure(code);
    const [status, text] = code === HEADERS_TIMEOUT ? [504, 'in time'] : [502, `(${reason(code, error)})`];
    answer(exchange, status, `The upstream server ${upstream.host} did not answer ${text}.`);
  };

  return {
    handle(exchange) {
      const { request } = exchange;
      const withBody = hasBody(exchange);
      const wantsClose = request.httpVersion === '1.0' || CLOSE.test(request.headers.connection ?? '');
      const forwarding = new Forwarding({
        exchange,
        closes: () => wantsClose || options.isDraining(),
        onFailure: (error) => failed(exchange, error),
      });
      pool.dispatch(
        {
          method: request.method as string,
          path: upstreamPath(upstream, request.url ?? '/'),
          headers: requestHeaders(request, options.port(), withBody),
          body: withBody ? bodyOf(exchange) : null,
        },
        forwarding,
      );
    },
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy());
      if (request.headers.upgrade?.toLowerCase() !== 'websocket' || request.method !== 'GET') {
        refuseUpgrade(socket, '501 Not Implemented', 'Only WebSocket upgrades are passed on.');
        return;
      }
      prepareUpgrade(request, options.port());
      upgrades.ws(request, socket as never, {}, head).catch((error: unknown) => {
        const code = failureCode(error);
        options.onFailure(code);
        refuseUpgrade(socket, '502 Bad Gateway', `The upstream server did not answer (${reason(code, error)}).`);
      });
    },
    close() {
      pool.destroy().catch(() => {});
    },
  };
}

/** The path of the upstream URL goes before the request's. */
function upstreamPath(upstream: URL, url: string): string {
  const path = url[0] === '/' ? url : `/${url}`;
  const base = upstream.pathname;
  if (base === '/') {
    return path;
  }
  return path === '/' ? base : (base.endsWith('/') ? base.slice(0, -1) : base) + path;
}

/** With the headers that may cross, and those that ask for the upgrade. */
function prepareUpgrade(request: IncomingMessage, port: number | undefined): void {
  const crossing = requestHeaders(request, port, false);
  const headers: IncomingHttpHeaders = {};
  for (let i = 0; i < crossing.length; i += 2) {
    headers[crossing[i]] = crossing[i + 1];
  }
  request.headers = { ...headers, connection: 'upgrade', upgrade: 'websocket' };
}

function refuseUpgrade(socket: Duplex, status: string, text: string): void {
  if (socket.destroyed || !socket.writable) {
    return;
  }
  const body = `${status.slice(0, 3)} ${text}\n`;
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** As the status page and the metrics name it. */
function failureCode(error: unknown): string {
  const code = errorCode(error) ?? 'UPSTREAM';
  // The other side closed: without an error of the system's.
  return code === 'UND_ERR_SOCKET' ? 'ECONNRESET' : code;
}

function reason(code: string, error: unknown): string {
  return REASONS[code] ?? (code === 'UPSTREAM' ? messageOf(error) : code);
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'it hung up',
};
const CLOSE = /(^|,)\s*close\s*(,|$)/i;
const HEADERS_TIMEOUT = 'UND_ERR_HEADERS_TIMEOUT';
