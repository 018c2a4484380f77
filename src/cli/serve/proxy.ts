/**
 * Passes requests on to an upstream server that speaks plain HTTP: HTTP/1.1 and HTTP/2 in, HTTP/1.1 out, WebSocket
 * upgrades, streaming both ways. `httpxy` moves the bytes; which headers may cross is decided here (RFC 9110 §7.6.1).
 */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createProxyServer } from 'httpxy';
import { plainAgent } from '../../node/plain.ts';
import { errorCode, messageOf, Problem } from '../problem.ts';
import { answer, type Exchange } from './exchange.ts';

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
}

/** Milliseconds without a byte from the upstream server before it counts as dead. */
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

export function createProxy(options: ProxyOptions): Proxy {
  // A pool of our own: the library would open a new connection for each HTTP/2 request.
  const agent = plainAgent({ keepAlive: true, maxFreeSockets: 64 });
  const library = createProxyServer({
    target: options.upstream,
    agent,
    xfwd: false,
    proxyTimeout: UPSTREAM_TIMEOUT,
    upgradeTimeout: UPGRADE_TIMEOUT,
  });
  const wantsClose = new WeakSet<object>();

  library.on('proxyRes', (upstreamResponse, request) => {
    removeHopByHop(upstreamResponse.headers);
    if (request.httpVersionMajor < 2) {
      const close = options.isDraining() || wantsClose.has(request);
      upstreamResponse.headers.connection = close ? 'close' : 'keep-alive';
    }
  });

  return {
    handle(exchange) {
      const { request, response } = exchange;
      if (/(^|,)\s*close\s*(,|$)/i.test(request.headers.connection ?? '') || request.httpVersion === '1.0') {
        wantsClose.add(request);
      }
      prepare(request, options.port());
      library.web(request, response).catch((error: unknown) => {
        if (response.destroyed) {
          return;
        }
        options.onFailure(errorCode(error) ?? 'UPSTREAM');
        const where = options.upstream.host;
        answer(exchange, 502, `The upstream server ${where} did not answer (${reason(error)}).`);
      });
    },
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy());
      if (request.headers.upgrade?.toLowerCase() !== 'websocket' || request.method !== 'GET') {
        refuseUpgrade(socket, '501 Not Implemented', 'Only WebSocket upgrades are passed on.');
        return;
      }
      prepare(request, options.port());
      request.headers.connection = 'upgrade';
      request.headers.upgrade = 'websocket';
      library.ws(request, socket as never, {}, head).catch((error: unknown) => {
        options.onFailure(errorCode(error) ?? 'UPSTREAM');
        refuseUpgrade(socket, '502 Bad Gateway', `The upstream server did not answer (${reason(error)}).`);
      });
    },
    close() {
      agent.destroy();
    },
  };
}

/** Replaces what the client said of itself by what we know, and drops what belongs to its connection only. */
function prepare(request: IncomingMessage, port: number | undefined): void {
  const { headers } = request;
  const authority = headers[':authority'];
  const host = typeof authority === 'string' ? authority : headers.host;
  removeHopByHop(headers);
  delete headers.forwarded;
  // Our own server has answered it already.
  delete headers.expect;
  // HTTP/2 frames bodies by itself: without a length the body needs a frame on the HTTP/1.1 side, or a client could
  // pass a second request off as the body of its first (request smuggling).
  const stream = (request as { stream?: { endAfterHeaders?: boolean } }).stream;
  if (request.httpVersionMajor >= 2 && headers['content-length'] === undefined && stream?.endAfterHeaders !== true) {
    headers['transfer-encoding'] = 'chunked';
  }
  // A client cannot be believed about its own address: the chain starts here.
  headers['x-forwarded-for'] = request.socket.remoteAddress ?? '';
  headers['x-forwarded-proto'] = 'https';
  headers['x-forwarded-port'] = String(port ?? 443);
  if (host === undefined) {
    delete headers['x-forwarded-host'];
    return;
  }
  headers['x-forwarded-host'] = host;
  headers.host = host;
}

const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'http2-settings',
];

/** RFC 9110 §7.6.1. Transfer-Encoding stays: Node's HTTP frames the body anew on the other side by it. */
function removeHopByHop(headers: IncomingHttpHeaders): void {
  const named = (headers.connection ?? '').split(',').map((token) => token.trim().toLowerCase());
  for (const name of [...named, ...hopByHop]) {
    if (name !== 'transfer-encoding' && name !== 'content-length' && name !== 'host') {
      delete headers[name];
    }
  }
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

function reason(error: unknown): string {
  const code = errorCode(error);
  return code === 'ECONNREFUSED'
    ? 'connection refused'
    : code === 'ECONNRESET'
      ? 'it hung up'
      : (code ?? messageOf(error));
}
