/** A proxy in this process, before any upstream server, and clients that look closely. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import {
  type ClientHttp2Stream,
  createServer as createHttp2Server,
  connect as http2Connect,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect, type Server as NetServer, type Socket, createServer as tcpServer } from 'node:net';
import { type Exchange, upgradeExchange } from '../../src/cli/serve/exchange.ts';
import type { UpstreamStatus } from '../../src/cli/serve/upstream/books.ts';
import { createProxy, type ProxyOptions } from '../../src/cli/serve/upstream/proxy.ts';
import type { Owner } from './support.ts';

/** Of a request to upgrade, and the answer to it. RFC 6455 §1.3. */
export const WEBSOCKET_KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
export const WEBSOCKET_ACCEPT = 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n';

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export async function portOf(t: Owner, server: NetServer): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    (server as Partial<Server>).closeAllConnections?.();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

export interface Front {
  readonly port: number;
  readonly failures: string[];
  readonly books: () => UpstreamStatus;
}

/** A proxy in this process, in front of it HTTP/1.1 or HTTP/2 without TLS: they are the same to it. */
export async function front(
  t: Owner,
  upstream: number,
  http: 1 | 2,
  upstreamTimeout?: number,
  options: Partial<ProxyOptions> = {},
  onExchange: (exchange: Exchange) => void = () => {},
): Promise<Front> {
  const failures: string[] = [];
  const proxy = await createProxy({
    upstream: new URL(`http://127.0.0.1:${upstream}`),
    port: () => 443,
    isDraining: () => false,
    onFailure: (code) => failures.push(code),
    upstreamTimeout,
    counted: true,
    ...options,
  });
  t.after(() => proxy.close());
  const by =
    (handle: (exchange: Exchange) => void) =>
    (incoming: unknown, response: unknown): void => {
      const exchange = { request: incoming, response } as Exchange;
      exchange.response.on('error', () => exchange.response.destroy());
      exchange.request.on('error', () => {});
      onExchange(exchange);
      handle(exchange);
    };
  const server = http === 1 ? createServer(by(proxy.handle)) : createHttp2Server(by(proxy.handle));
  server.on('checkContinue', by(proxy.handleExpecting));
  if (http === 1) {
    server.on('upgrade', (incoming, socket, head) => {
      const exchange = upgradeExchange(incoming, socket) as Exchange;
      onExchange(exchange);
      proxy.upgrade(exchange, socket, head);
    });
  }
  return {
    port: await portOf(t, server as NetServer),
    failures,
    books: () => proxy.status() as UpstreamStatus,
  };
}

export interface Open {
  write(chunk: Buffer | string): void;
  end(): void;
  leave(): void;
  /** The status, as soon as the headers are here. */
  readonly status: Promise<number>;
  readonly headers: () => Record<string, unknown>;
  readonly body: Promise<string>;
}

export function open1(port: number, method: string): Open {
  const asked = request({ port, host: '127.0.0.1', method, agent: false });
  asked.flushHeaders();
  asked.on('error', () => {});
  const response = once(asked, 'response').then(([given]) => given as IncomingMessage);
  let headers: Record<string, unknown> = {};
  return {
    write: (chunk) => asked.write(chunk),
    end: () => asked.end(),
    leave: () => asked.destroy(),
    status: response.then((given) => {
      headers = given.headers;
      return given.statusCode ?? 0;
    }),
    headers: () => headers,
    body: response.then(textOf),
  };
}

export function open2(t: Owner, port: number, method: string): Open {
  const session = http2Connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  t.after(() => session.destroy());
  const stream = session.request({ ':method': method, ':path': '/' }, { endStream: method === 'GET' });
  stream.on('error', () => {});
  let headers: Record<string, unknown> = {};
  return {
    write: (chunk) => stream.write(chunk),
    end: () => stream.end(),
    leave: () => stream.close(8),
    status: once(stream, 'response').then(([given]) => {
      headers = given;
      return given[':status'];
    }),
    headers: () => headers,
    body: textOf(stream),
  };
}

async function textOf(stream: IncomingMessage | ClientHttp2Stream): Promise<string> {
  let text = '';
  stream.setEncoding('latin1');
  stream.on('data', (chunk) => {
    text += chunk;
  });
  await once(stream, 'end');
  return text;
}

/** Everything that comes back until the connection ends, which what is said must ask for. */
export async function askInText(port: number, ...texts: string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('error', () => {});
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text;
  });
  const closed = once(socket, 'close');
  for (const text of texts) {
    socket.write(text, 'latin1');
    await new Promise(setImmediate);
  }
  await closed;
  return answer;
}

export interface Answer2 {
  readonly interim: IncomingHttpHeaders[];
  readonly status: number | undefined;
  readonly body: string;
  readonly isWhole: boolean;
}

export async function askInHttp2(port: number, headers: Record<string, string>, body?: string): Promise<Answer2> {
  const session = http2Connect(`http://127.0.0.1:${port}`);
  const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined });
  const interim: IncomingHttpHeaders[] = [];
  let status: number | undefined;
  let text = '';
  stream.on('headers', (given) => interim.push(given));
  stream.on('response', (given) => {
    status = given[':status'];
  });
  stream.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
  });
  stream.on('error', () => {});
  const closed = new Promise((resolve) => stream.once('close', resolve));
  if (body !== undefined) {
    stream.end(body);
  }
  await closed;
  session.destroy();
  return { interim, status, body: text, isWhole: stream.rstCode === 0 };
}

/** An upstream server that sees requests as they come, byte by byte. */
export interface TextServer {
  readonly port: number;
  /** What it does with a request. */
  behave: (socket: Socket, said: string) => unknown;
  /** All that it was told. */
  seen: string;
  connections: number;
}

export async function textServer(t: Owner): Promise<TextServer> {
  const server = tcpServer((socket) => {
    upstream.connections++;
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      const said = bytes.toString('latin1');
      upstream.seen += said;
      upstream.behave(socket, said);
    });
  });
  const port = await portOf(t, server);
  const upstream: TextServer = { port, behave: () => {}, seen: '', connections: 0 };
  return upstream;
}

/** An upstream server that says this, whatever it is asked. */
export function say(...texts: string[]): (socket: Socket) => Promise<void> {
  return async (socket) => {
    for (const text of texts) {
      socket.write(text, 'latin1');
      // Each by itself.
      await new Promise(setImmediate);
    }
  };
}
