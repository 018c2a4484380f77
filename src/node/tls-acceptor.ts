/**
 * What makes a `net.Server` a TLS server: transports from its 'connection' event become TLSSockets, and those whose
 * handshake succeeds are handed out as 'secureConnection'. Shared by tls, https and http2.
 */

import { type BlockList, type Server as NetServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { HandshakeWarning } from '../actions.ts';
import { ownBuffer } from '../bytes/bytes.ts';
import { TLSError } from '../errors.ts';
import type { ExternalSessionCache } from '../session/external-session-cache.ts';
import { isOurTurn } from './answering.ts';
import type { EarlyDelivery } from './driver.ts';
import { SessionEvents } from './external-sessions.ts';
import { ownPlace, Roster } from './roster.ts';
import type { SecureContext, SecureContextOptions } from './secure-context.ts';
import type { ServerCounters } from './server-counters.ts';
import { ServerDriver } from './server-driver.ts';
import type { OcspCallback, ServerDriverOptions, ServerEvents } from './server-driver-options.ts';
import type { EffectivePolicy } from './server-policy.ts';
import type { ServerSessions } from './sessions.ts';
import { TLSSocket } from './tls-socket.ts';

export interface TlsServerOptions extends ServerDriverOptions {
  readonly allowHalfOpen?: boolean;
  /** Bytes. */
  readonly highWaterMark?: number;
  readonly noDelay?: boolean;
  readonly keepAlive?: boolean;
  readonly keepAliveInitialDelay?: number;
  /** Addresses that are not served, where this Node has it. */
  readonly blockList?: BlockList;
  /** Sockets are handed out paused: nothing is read before `resume()`. */
  readonly pauseOnConnect?: boolean;
  /** Ours, of HTTP servers: sockets with early data are handed out at once, as requests of safe methods may be in it. */
  readonly earlyRequests?: boolean;
  /**
   * Milliseconds after which a connection on which nothing came or went is closed; 0 for never. Default 120000. Not while an
   * answer of HTTP takes its time; and never after `socket.setTimeout(0)` of who has the socket: a listener of
   * 'secureConnection', or of 'upgrade' and 'connect'.
   */
  readonly idleTimeout?: number;
}

/** In no particular order. */
export interface OpenSockets extends Iterable<TLSSocket> {
  readonly size: number;
}

/** What every server of Mayfly has beside the names of Node's own. */
export interface TlsServerSurface {
  readonly sessions: ServerSessions;
  readonly counters: ServerCounters;
  /** What the server does in fact, with the options that went before its `policy`; `policy.explain()` says what that means. */
  readonly policy: EffectivePolicy;
  /** The open connections, in handshake and after. */
  readonly secureSockets: OpenSockets;
  addContext(hostname: string, context: SecureContext | SecureContextOptions): void;
  /**
   * Renews the certificates: new connections are served with these. Those that are open, or in handshake, stay as they are,
   * and so do the ticket keys. A session is bound to the leaf certificates that it was made under: where these have changed,
   * each client makes one full handshake ('policy_changed' in `counters.refusals`), and resumes again from then on.
   * Throws, and changes nothing, when they cannot be used.
   */
  setSecureContext(options: SecureContext | SecureContextOptions): void;
  getTicketKeys(): never;
  setTicketKeys(keys: unknown): never;
}

/** What `net.Server` is told: its sockets must not answer an end by themselves. */
export function transportOptions(options: TlsServerOptions): object {
  const { noDelay = true, keepAlive, keepAliveInitialDelay, blockList } = options;
  return { allowHalfOpen: true, noDelay, keepAlive, keepAliveInitialDelay, blockList };
}

/**
 * Takes over the 'connection' event of `server` and gives it the methods of a TLS server.
 * @throws TLSError `TLS_ERR_CONFIG`, `TLS_ERR_NOT_SUPPORTED`, `TLS_ERR_BAD_KEY`, `TLS_ERR_KEY_MISMATCH`
 */
export function makeTlsServer<T extends NetServer>(server: T, options: TlsServerOptions): T & TlsServerSurface {
  const acceptor = new Acceptor(server, options);
  server.removeAllListeners('connection');
  server.on('connection', (raw) => acceptor.accept(raw));
  server.on('close', () => acceptor.serverClosed());
  const { driver } = acceptor;
  const surface: TlsServerSurface = {
    sessions: driver.sessions,
    counters: driver.counters,
    policy: driver.policy,
    secureSockets: acceptor.sockets,
    addContext: (hostname, context) => driver.addContext(hostname, context),
    setSecureContext: (context) => driver.setSecureContext(context, acceptor.sockets),
    getTicketKeys: refuseTicketKeys,
    setTicketKeys: refuseTicketKeys,
  };
  return Object.assign(server, surface, CLUSTER_SURFACE);
}

/** What Node's own servers hand to the primary of a cluster for the workers to come: the first one's ticket keys. Ours have none. */
const CLUSTER_SURFACE = { _getServerData: () => ({}), _setServerData: () => {} };

class Acceptor implements ServerEvents {
  readonly driver: ServerDriver;
  readonly sockets = new Roster<TLSSocket>();
  readonly #server: NetServer;
  readonly #options: TlsServerOptions;
  readonly #idleTimeout: number;
  readonly #sessionEvents: SessionEvents;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(server: NetServer, options: TlsServerOptions) {
    this.#server = server;
    this.#options = options;
    this.#sessionEvents = new SessionEvents(server);
    this.driver = new ServerDriver(options, this);
    this.#idleTimeout = checkIdleTimeout(this.driver.policy.idleTimeout);
  }

  accept(raw: Duplex): void {
    const { driver } = this;
    driver.counters.accepted++;
    driver.counters.open++;
    if (raw instanceof Socket) {
      // One that another server accepted may lack what ours are given.
      raw.allowHalfOpen = true;
      if ((raw as Socket & { server?: unknown }).server !== this.#server && this.#options.noDelay !== false) {
        raw.setNoDelay(true);
      }
    }
    const socket = new TLSSocket(raw, {
      isServer: true,
      driver,
      server: this.#server,
      allowHalfOpen: this.#options.allowHalfOpen,
      highWaterMark: this.#options.highWaterMark,
    });
    if (this.#options.pauseOnConnect === true) {
      socket.pause();
    }
    if (!socket.destroyed) {
      socket[ownPlace] = this.sockets.enter(socket);
      this.#watch();
    }
  }

  wantsKeyLog(): boolean {
    return this.#server.listenerCount('keylog') > 0;
  }

  sessionStore(): ExternalSessionCache | undefined {
    return this.#sessionEvents.wanted ? this.#sessionEvents : undefined;
  }

  wantsCertificateStatus(): boolean {
    return this.#server.listenerCount('OCSPRequest') > 0;
  }

  certificateStatus([certificate, issuer]: readonly Uint8Array[], callback: OcspCallback): void {
    const issuerBuffer = issuer === undefined ? null : ownBuffer(issuer);
    this.#server.emit('OCSPRequest', ownBuffer(certificate), issuerBuffer, callback);
  }

  early(socket: TLSSocket): EarlyDelivery {
    const server = this.#server;
    const { earlyRequests = false } = this.#options;
    if (!earlyRequests && server.listenerCount('earlyConnection') === 0) {
      return 'held';
    }
    // From here on a failure is the listener's to hear.
    socket.secureConnecting = false;
    if (earlyRequests) {
      server.emit('secureConnection', socket);
      return 'stream';
    }
    server.emit('earlyConnection', socket);
    return socket.listenerCount('earlyData') > 0 ? 'events' : 'held';
  }

  secured(socket: TLSSocket): void {
    this.#server.emit('secureConnection', socket);
  }

  failed(socket: TLSSocket, error: Error): void {
    // Listeners of 'tlsClientError' often destroy the socket with this error, which nobody else hears.
    socket.on('error', ignore);
    this.#server.emit('tlsClientError', error, socket);
  }

  keyLog(socket: TLSSocket, line: Buffer): void {
    this.#server.emit('keylog', line, socket);
  }

  warned(socket: TLSSocket, warning: HandshakeWarning): void {
    this.#server.emit('tlsWarning', warning, socket);
  }

  closed(socket: TLSSocket): void {
    this.driver.counters.open--;
    this.sockets.leave(socket[ownPlace]);
    if (this.sockets.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    }
  }

  serverClosed(): void {
    this.driver.sessions.close();
  }

  /** One timer for all connections: setting one anew for each read and write would cost more than looking. */
  #watch(): void {
    if (this.#idleTimeout > 0 && this.#sweeper === undefined) {
      this.#sweeper = setInterval(() => this.#sweep(), Math.max(1, this.#idleTimeout / SWEEPS));
      this.#sweeper.unref();
    }
  }

  #sweep(): void {
    for (const socket of this.sockets) {
      socket.idleSweeps++;
      if (socket.idleSweeps > SWEEPS && !socket.secureConnecting && !isOurTurn(socket)) {
        this.driver.counters.idleClosed++;
        closeIdle(socket);
      }
    }
  }
}

/** With close_notify; without, where the peer has stopped to read. */
function closeIdle(socket: TLSSocket): void {
  if (socket.writableLength > 0 || socket.writableEnded) {
    socket.destroy();
  } else {
    socket.destroySoon();
  }
}

function refuseTicketKeys(): never {
  throw new TLSError(
    'TLS_ERR_NOT_SUPPORTED',
    'ticket keys are never handed out or taken: server.sessions.rotate() makes a new one, sessions.keys shares a ring',
  );
}

function checkIdleTimeout(ms: number): number {
  if (!Number.isFinite(ms) || ms < 0 || ms > 2 ** 31 - 1) {
    throw new TLSError('TLS_ERR_CONFIG', `idleTimeout: expected milliseconds from 0 to 2^31 - 1, got ${ms}`);
  }
  return ms;
}

function ignore(): void {}

/** Looks per idle time-out: a connection is closed at most a quarter late. */
const SWEEPS = 4;
