/**
 * `mayfly/http2`: Node's own HTTP/2 over Mayfly's TLS.
 *
 * Node's sessions run over any Duplex, which they wrap; what the wrapper does not know of the connection (that it is
 * encrypted, by which protocol, and with whom) is told to it here.
 */

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
import { TLSError } from '../errors.ts';
import { watchStreams } from './answering.ts';
import { guardEarlyRequests, socketOfSession } from './early-requests.ts';
import { httpOptions } from './http-options.ts';
import { guardWrapper, wrapperOf } from './http2-wrapper.ts';
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
  server.on('session', describeSession);
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
  const session = nodeConnect(authority, { ...httpClientOptions(given), createConnection: () => socket });
  if (socket instanceof TLSSocket) {
    guardWrapper(session, socket);
    // Known before the handshake too, as with a socket of node:tls.
    (session.socket as { encrypted?: boolean }).encrypted = true;
    holdConnect(session, socket);
  }
  if (onConnect !== undefined) {
    session.once('connect', () => onConnect(session, socket as TLSSocket));
  }
  return session;
}

/** A server's session on a connection that is there, of ours or another. */
export const performServerHandshake: typeof nodePerformServerHandshake = (socket, options) => {
  const session = nodePerformServerHandshake(socket, options);
  describeSession(session);
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

/**
 * Node takes a wrapped transport for connected and tells of it at once. 'connect' is held back until the handshake has
 * shown that the peer is the right one and speaks HTTP/2.
 */
function holdConnect(session: ClientHttp2Session, socket: TLSSocket): void {
  if (!socket.secureConnecting) {
    describe(session, socket);
    return;
  }
  const { emit } = session;
  let held = false;
  // Not assigned as it is written: such a function V8 puts into the old generation, where it outlives the session.
  const hold = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === 'connect') {
      held = true;
      return session.listenerCount('connect') > 0;
    }
    return emit.call(session, event, ...args);
  };
  session.emit = hold;
  socket.once('secureConnect', () => {
    session.emit = emit;
    if (socket.alpnProtocol !== 'h2') {
      const got = socket.alpnProtocol === false ? 'none' : socket.alpnProtocol;
      socket.destroy(
        new TLSError('TLS_ERR_NO_APPLICATION_PROTOCOL', `expected the protocol h2, the server chose ${got}`),
      );
      return;
    }
    describe(session, socket);
    if (held) {
      session.emit('connect', session, socket);
    }
  });
}

function describeSession(session: Http2Session): void {
  const socket = (session.socket as unknown as { stream?: unknown }).stream;
  if (socket instanceof TLSSocket) {
    if (socket.earlyData) {
      socketOfSession.set(session, socket);
    }
    guardWrapper(session, socket);
    watchStreams(session, socket);
    describe(session, socket);
  }
}

/** Gives the session, and the wrapper that it shows as its socket, what they cannot know. */
function describe(session: Http2Session, socket: TLSSocket): void {
  const protocol = socket.alpnProtocol === false ? undefined : socket.alpnProtocol;
  Object.defineProperties(session, {
    encrypted: { value: true, configurable: true },
    alpnProtocol: { value: protocol, configurable: true },
  });
  const shown = session.socket as unknown as Record<string, unknown>;
  shown.encrypted = true;
  shown.authorized = socket.authorized;
  shown.authorizationError = socket.authorizationError;
  shown.alpnProtocol = socket.alpnProtocol;
  shown.servername = socket.servername;
  shown.server = socket.server;
  shown.mayfly = socket.mayfly;
  shown._peername = {
    address: socket.remoteAddress,
    port: socket.remotePort,
    family: socket.remoteFamily,
  };
  // A net.Socket asks its handle for these, and the wrapper's has none.
  const { localAddress, localPort, localFamily } = socket;
  Object.defineProperties(wrapperOf(session), {
    localAddress: { value: localAddress, configurable: true },
    localPort: { value: localPort, configurable: true },
    localFamily: { value: localFamily, configurable: true },
  });
  for (const name of LENT_METHODS) {
    shown[name] = (socket[name] as (...args: unknown[]) => unknown).bind(socket);
  }
}

const LENT_METHODS = [
  'address',
  'getProtocol',
  'getCipher',
  'getPeerCertificate',
  'getCertificate',
  'getPeerX509Certificate',
  'getX509Certificate',
  'getEphemeralKeyInfo',
  'getSession',
  'isSessionReused',
  'exportKeyingMaterial',
] as const;
