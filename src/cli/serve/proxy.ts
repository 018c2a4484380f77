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
import { forwardExpecting } from './expectation.ts';
import { Forwarding } from './forwarding.ts';
import { requestHeaders } from './hop-headers.ts';
import { bodyOf, hasBody } from './request-body.ts';
import { isRefusal, pathUnder, type Refusal, targetOf } from './request-target.ts';
import { UpstreamPool, type UpstreamRequest } from './upstream-pool.ts';

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
  const pool = new UpstreamPool(await import('undici'), { origin: upstream.origin, timeout: upstreamTimeout });
  const upgrades = createProxyServer({ target: upstream, agent: false, xfwd: false, upgradeTimeout: UPGRADE_TIMEOUT });

  const failed = (exchange: Exchange, error: unknown): void => {
    const code = failureCode(error);
    options.onFailure(code);
    const [status, text] = TIMEOUTS.has(code) ? [504, 'in time'] : [502, `(${reason(code, error)})`];
    answer(exchange, status, `The upstream server ${upstream.host} did not answer ${text}.`);
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
    const method = request.method as string;
    // Without a 100 nobody can know whether the body still comes.
    let wantsClose = waits || request.httpVersion === '1.0' || CLOSE.test(request.headers.connection ?? '');
    const asked: UpstreamRequest = {
      method,
      path: pathUnder(upstream.pathname, target.path),
      headers: requestHeaders(request, { host: target.host, port: options.port(), hasBody: withBody }),
      // undici ends a connection after HEAD, as some servers answer it with a body. Such a body ends it anyway.
      reset: method === 'HEAD' && !withBody ? false : null,
      body: withBody && !waits ? bodyOf(exchange) : null,
    };
    let tries = 0;
    const handler = new Forwarding({
      exchange,
      closes: () => wantsClose || options.isDraining(),
      timeout: upstreamTimeout,
      onFailure(error, wasIdle) {
        // RFC 9110 §9.2.2, RFC 9112 §9.3.1: the upstream server had closed the connection before it saw the request.
        if (wasIdle && tries++ === 0 && !withBody && IDEMPOTENT.has(method) && HANG_UPS.has(failureCode(error))) {
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
      upstream,
      request: asked,
      handler,
      timeout: upstreamTimeout,
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
      if (request.headers.upgrade?.toLowerCase() !== 'websocket' || request.method !== 'GET') {
        refuseUpgrade(socket, '501 Not Implemented', 'Only WebSocket upgrades are passed on.');
        return;
      }
      const target = targetOf(request, upstream.pathname);
      if (isRefusal(target)) {
        refuseUpgrade(socket, '400 Bad Request', target.text);
        return;
      }
      request.url = target.path;
      prepareUpgrade(request, target.host, options.port());
      upgrades.ws(request, socket as never, {}, head).catch((error: unknown) => {
        const code = failureCode(error);
        options.onFailure(code);
        refuseUpgrade(socket, '502 Bad Gateway', `The upstream server did not answer (${reason(code, error)}).`);
      });
    },
    close() {
      pool.close();
    },
  };
}

/** With the headers that may cross, and those that ask for the upgrade. */
function prepareUpgrade(request: IncomingMessage, host: string | undefined, port: number | undefined): void {
  const crossing = requestHeaders(request, { host, port, hasBody: false });
  const headers: IncomingHttpHeaders = {};
  for (let i = 0; i < crossing.length; i += 2) {
    headers[crossing[i]] = crossing[i + 1];
  }
  request.headers = { ...headers, connection: 'upgrade', upgrade: 'websocket' };
}

/** Before the request goes anywhere. */
function refuse(exchange: Exchange, { status, text }: Refusal): void {
  if (status === 204) {
    exchange.response.writeHead(204).end();
    return;
  }
  // Where its body ends may be in doubt: nothing more is read.
  answer(exchange, status, text, exchange.request.httpVersionMajor < 2 ? { connection: 'close' } : {});
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
const TIMEOUTS: ReadonlySet<string> = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);
const HANG_UPS: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
