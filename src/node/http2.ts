/** `mayfly/http2`: Node's own HTTP/2 over Mayfly's TLS. Node's sessions run over any Duplex, if it is wrapped. */

import {
  type ClientHttp2Session,
  type ClientSessionOptions,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
  type SecureServerOptions as NodeSecureServerOptions,
  connect as nodeConnect,
  createSecureServer as nodeCreateSecureServer,
  performServerHandshake as nodePerformServerHandshake,
} from 'node:http2';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { TLSError } from '../errors.ts';
import { watchStreams } from './answering.ts';
import { guardEarlyRequests, socketOfSession } from './early-requests.ts';
import { httpOptions } from './http-options.ts';
import { type Wrapper, wrap } from './http2-wrapper.ts';
import { makeTlsServer, type TlsServerOptions, type TlsServerSurface } from './tls-acceptor.ts';
import { type ConnectionOptions, connect as tlsConnect } from './tls-connect.ts';
import { TLSSocket } from './tls-socket.ts';

export {
  constants,
  createServer,
  getDefaultSettings,
  getPackedSettings,
  getUnpackedSettings,
  Http2ServerRequest,
  Http2ServerResponse,
  sensitiveHeaders,
} from 'node:http2';
/** As of Node's own, for `import http2 from`. */
export * as default from './http2.ts';

export type SecureServerOptions = TlsServerOptions & Omit<NodeSecureServerOptions, keyof TlsServerOptions>;
export type SecureClientOptions = ConnectionOptions & Omit<ClientSessionOptions, keyof ConnectionOptions>;
export type SecureServer = Http2SecureServer & TlsServerSurface;

type RequestListener = (request: Http2ServerRequest, response: Http2ServerResponse) => void;
type ConnectListener = (session: ClientHttp2Session, socket: TLSSocket) => void;

/**
 * Node's `Http2SecureServer`, whose connections are ours; with `allowHTTP1` it serves HTTP/1.1 too.
 * @throws TLSError `TLS_ERR_CONFIG`, `TLS_ERR_NOT_SUPPORTED`, `TLS_ERR_BAD_KEY`, `TLS_ERR_KEY_MISMATCH`
 */
export function createSecureServer(listener?: RequestListener): SecureServer;
export function createSecureServer(options: SecureServerOptions, listener?: RequestListener): SecureServer;
export function createSecureServer(
  options: SecureServerOptions | RequestListener = {},
  listener?: RequestListener,
): SecureServer {
  const given = typeof options === 'function' ? {} : options;
  const onRequest = typeof options === 'function' ? options : listener;
  const server = nodeCreateSecureServer(httpOptions(given) as NodeSecureServerOptions, onRequest);
  const protocols = given.allowHTTP1 === true ? ['h2', 'http/1.1'] : ['h2'];
  const withProtocols = given.ALPNProtocols === undefined && given.ALPNCallback === undefined;
  wrapConnections(server);
  server.on('session', watchSession);
  guardEarlyRequests(server);
  return makeTlsServer(server, {
    ...given,
    earlyRequests: true,
    ...(withProtocols ? { ALPNProtocols: protocols } : {}),
  });
}

/**
 * An HTTP/2 session with an `https:` origin.
 * @throws TLSError `TLS_ERR_CONFIG`, `TLS_ERR_NOT_SUPPORTED`
 */
export function connect(
  authority: string | URL,
  options: SecureClientOptions | ConnectListener = {},
  listener?: ConnectListener,
): ClientHttp2Session {
  const given = typeof options === 'function' ? {} : options;
  const onConnect = typeof options === 'function' ? options : listener;
  const url = typeof authority === 'string' ? new URL(authority) : authority;
  if (url.protocol !== 'https:') {
    throw new TLSError('TLS_ERR_CONFIG', `expected an origin that begins with https:, got ${url.protocol}`);
  }
  const own = (given as { createConnection?: (authority: URL, options: object) => Duplex }).createConnection;
  const socket = own === undefined ? openSocket(url, given) : own(url, given);
  const transport = socket instanceof TLSSocket ? wrapForHandshake(socket) : socket;
  const session = nodeConnect(authority, { ...httpClientOptions(given), createConnection: () => transport });
  if (socket instanceof TLSSocket) {
    showSocket(session, socket);
  }
  if (onConnect !== undefined) {
    session.once('connect', onConnect as never);
  }
  return session;
}

/** As Node's own, which `promisify` takes too. */
Object.defineProperty(connect, promisify.custom, {
  value: (authority: string | URL, options?: SecureClientOptions): Promise<ClientHttp2Session> =>
    new Promise((resolve, reject) => {
      const session = connect(authority, options, () => {
        session.removeListener('error', reject);
        resolve(session);
      });
      session.once('error', reject);
    }),
});

/** A server's session on a connection that is there, of ours or another. */
export const performServerHandshake: typeof nodePerformServerHandshake = (socket, options) => {
  const session = nodePerformServerHandshake(socket instanceof TLSSocket ? wrap(socket) : socket, options);
  watchSession(session);
  return session;
};

function openSocket(url: URL, options: SecureClientOptions): TLSSocket {
  const host = (options.host ?? url.hostname).replace(/^\[|\]$/g, '');
  return tlsConnect({
    ALPNProtocols: ['h2'],
    // A stream that was cut short lacks its END_STREAM: HTTP/2 notices by itself.
    allowTruncation: true,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...options,
    host,
    port: Number(options.port ?? (url.port || 443)),
  } as ConnectionOptions);
}

function httpClientOptions(options: object): ClientSessionOptions {
  return httpOptions(options) as ClientSessionOptions;
}

/** A session is set up, and asks for what it was asked for, once the handshake has shown that the peer is the right one. */
function wrapForHandshake(socket: TLSSocket): Wrapper {
  const wrapper = wrap(socket);
  if (socket.secureConnecting) {
    socket.once('secureConnect', () => {
      if (socket.alpnProtocol !== 'h2') {
        const got = socket.alpnProtocol === false ? 'none' : socket.alpnProtocol;
        socket.destroy(
          new TLSError('TLS_ERR_NO_APPLICATION_PROTOCOL', `expected the protocol h2, the server chose ${got}`),
        );
        return;
      }
      wrapper.emit('connect');
    });
  }
  return wrapper;
}

/** Node's own listener takes connections of HTTP/2 wrapped, and all others as they are. */
function wrapConnections(server: Http2SecureServer): void {
  const listeners = server.rawListeners('secureConnection');
  server.removeAllListeners('secureConnection');
  server.on('secureConnection', (socket: TLSSocket) => {
    const { alpnProtocol } = socket;
    const given = alpnProtocol === false || alpnProtocol === 'http/1.1' ? socket : wrap(socket);
    for (const listener of listeners) {
      listener.call(server, given);
    }
  });
}

function watchSession(session: Http2Session): void {
  const { stream: socket } = session.socket as unknown as { readonly stream?: unknown };
  if (socket instanceof TLSSocket) {
    if (socket.earlyData) {
      socketOfSession.set(session, socket);
    }
    watchStreams(session, socket);
    showSocket(session, socket);
  }
}

/** 'connect' tells of the socket, not of the wrapper. */
function showSocket(session: Http2Session, socket: TLSSocket): void {
  const { emit } = session;
  // Not assigned as it is written: such a function V8 puts into the old generation, where it outlives the session.
  const shown = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event !== 'connect') {
      return emit.call(session, event, ...args);
    }
    session.emit = emit;
    return emit.call(session, event, session, socket);
  };
  session.emit = shown;
}
