/** The plain (unencrypted) parts of Node's networking that the commands need, for the status page above all. */

import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  type RequestListener,
  type RequestOptions,
  request,
  type Server,
  ServerResponse,
} from 'node:http';
import { connect, createServer as createTcpServer, isIP, type Socket, type Server as TcpServer } from 'node:net';

export type { Server as PlainServer } from 'node:http';
export type { Server as TcpServer, Socket as TcpSocket } from 'node:net';
export { isIP };

/** A plain HTTP server, for loopback only. */
export function plainServer(handler: RequestListener): Server {
  return createServer(handler);
}

/** A plain HTTP request, of which the caller sends the head and the body. */
export function plainRequest(options: RequestOptions): ClientRequest {
  return request(options);
}

/** A response to a request to upgrade, which comes without one. Not for keeping: the connection ends with it. */
export function plainResponse(incoming: IncomingMessage): ServerResponse {
  const response = new ServerResponse(incoming);
  response.shouldKeepAlive = false;
  return response;
}

/** A TCP server that hands each accepted socket on, e.g. to a TLS server's `connection` event. */
export function tcpServer(onSocket: (socket: Socket) => void): TcpServer {
  return createTcpServer(onSocket);
}

/** A TCP connection. */
export function tcpConnect(host: string, port: number): Socket {
  return connect({ host, port, noDelay: true });
}
