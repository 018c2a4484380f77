/**
 * The server's side of handshakes: which certificate and protocols serve a client, who signs, and what is counted. One
 * driver serves all connections of a server; its contexts are made once and shared.
 */

import type { ClientHelloInfo, HandshakeSummary, Need } from '../actions.ts';
import { Connection } from '../connection.ts';
import type { ServerContext, ServerOptions } from '../connection-options.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import { TLSError } from '../errors.ts';
import type { ClientSession } from '../session/client-session.ts';
import type { ExternalSessionCache } from '../session/external-session-cache.ts';
import type { Driver } from './driver.ts';
import { ConnectionSessions } from './external-sessions.ts';
import { allocateOutput } from './output-buffer.ts';
import { type SecureContext, type SecureContextOptions, toSecureContext } from './secure-context.ts';
import { ServerCounters } from './server-counters.ts';
import { ServerSessions, type SessionOptions } from './sessions.ts';
import { parseAlpn, refuseUnsupported, SSL_OP_NO_TICKET } from './tls-options.ts';
import type { TLSSocket } from './tls-socket.ts';

export type SNICallback = (
  servername: string,
  callback: (error: Error | null, context?: SecureContext | SecureContextOptions | null) => void,
) => void;
export type ALPNCallback = (hello: { servername: string; protocols: string[] }) => string | undefined;

export interface ServerDriverOptions extends SecureContextOptions {
  readonly secureContext?: SecureContext;
  readonly ALPNProtocols?: readonly string[] | Uint8Array;
  /** Picks from the client's protocols; undefined refuses. Cannot stand beside `ALPNProtocols`. */
  readonly ALPNCallback?: ALPNCallback;
  /** Picks a context by name, now or later; none means the server's own. */
  readonly SNICallback?: SNICallback;
  /** Milliseconds. Default 120000. */
  readonly handshakeTimeout?: number;
  /**
   * TLS 1.2: also clients without extended master secret (RFC 7627). A man in the middle can tie their sessions to his own
   * (the triple handshake). Default false.
   */
  readonly allowLegacyMasterSecret?: boolean;
  /** TLS 1.2: renegotiations that a client may begin within ten minutes. Default 0: each costs the server more than it. */
  readonly clientRenegotiations?: number;
  /** Taken for the sake of `node:tls`: the server's order of suites decides in any case. */
  readonly honorCipherOrder?: boolean;
  /** Seconds that a session may be used, as in `node:tls`; `sessions.ticketLifetime` goes before it. */
  readonly sessionTimeout?: number;
  readonly sessions?: SessionOptions | ServerSessions;
  /** A connection that ends without close_notify ends as usual, as browsers and many clients do. Default true. */
  readonly allowTruncation?: boolean | ((socket: TLSSocket) => boolean);
}

/** What the driver tells its server. */
export interface ServerEvents {
  wantsKeyLog(): boolean;
  /** Keeps TLS 1.2 sessions by ID, in the place of the server's own cache. */
  sessionStore(): ExternalSessionCache | undefined;
  secured(socket: TLSSocket): void;
  failed(socket: TLSSocket, error: Error): void;
  keyLog(socket: TLSSocket, line: Buffer): void;
  closed(socket: TLSSocket): void;
}

export class ServerDriver implements Driver {
  readonly role = 'server' as const;
  readonly handshakeTimeout: number;
  readonly sessions: ServerSessions;
  readonly counters: ServerCounters = new ServerCounters();
  readonly #allowTruncation: boolean | ((socket: TLSSocket) => boolean);
  readonly #events: ServerEvents | undefined;
  readonly #alpnProtocols: readonly string[];
  readonly #alpnCallback: ALPNCallback | undefined;
  readonly #sniCallback: SNICallback | undefined;
  readonly #named: { readonly pattern: RegExp; readonly context: SecureContext }[] = [];
  /** What each SecureContext is to the core, with this server's protocols and sessions. */
  #contexts = new WeakMap<SecureContext, ServerContext>();
  /** The context of connections that were not served by the default one, for `sign` needs. */
  readonly #chosen = new WeakMap<TLSSocket, SecureContext>();
  readonly #external = new WeakMap<TLSSocket, ConnectionSessions>();
  readonly #allowLegacyMasterSecret: boolean;
  readonly #clientRenegotiations: number | undefined;
  #default: SecureContext;
  #options: ServerOptions | undefined;

  /** @throws TLSError as `createSecureContext`, and `TLS_ERR_CONFIG` */
  constructor(options: ServerDriverOptions = {}, events?: ServerEvents) {
    refuseUnsupported(options);
    this.#events = events;
    this.handshakeTimeout = checkTimeout(options.handshakeTimeout ?? 120_000);
    this.#allowTruncation = options.allowTruncation ?? true;
    this.#alpnProtocols = parseAlpn(options.ALPNProtocols);
    this.#alpnCallback = options.ALPNCallback;
    this.#sniCallback = options.SNICallback;
    this.#allowLegacyMasterSecret = options.allowLegacyMasterSecret === true;
    this.#clientRenegotiations = options.clientRenegotiations;
    if (this.#alpnCallback !== undefined && options.ALPNProtocols !== undefined) {
      throw new TLSError('TLS_ERR_CONFIG', 'ALPNCallback and ALPNProtocols cannot stand side by side');
    }
    const { sessions, sessionTimeout, secureOptions = 0 } = options;
    const noTickets = (secureOptions & SSL_OP_NO_TICKET) !== 0 ? { tickets: false, sessionIds: true } : {};
    this.sessions =
      sessions instanceof ServerSessions ? sessions : new ServerSessions({ ...noTickets, ...sessions }, sessionTimeout);
    this.#default = toSecureContext(options.secureContext ?? options);
  }

  /** New connections are served with this one from now on; sessions of the former one no longer resume. */
  setSecureContext(options: SecureContext | SecureContextOptions): void {
    this.#default = toSecureContext(options);
    this.#options = undefined;
  }

  /** Serves names that match `hostname`, where `*` stands for one label. The one added last goes first. */
  addContext(hostname: string, context: SecureContext | SecureContextOptions): void {
    if (typeof hostname !== 'string' || hostname === '') {
      throw new TLSError('TLS_ERR_CONFIG', 'addContext: a host name is missing');
    }
    const escaped = hostname.replace(/[.^$+?\-\\[\]{}()|]/g, '\\$&').replaceAll('*', '[^.]*');
    this.#named.unshift({ pattern: new RegExp(`^${escaped}$`, 'i'), context: toSecureContext(context) });
    this.#options = undefined;
  }

  allowsTruncation(socket: TLSSocket): boolean {
    return typeof this.#allowTruncation === 'function' ? this.#allowTruncation(socket) : this.#allowTruncation;
  }

  createConnection(socket: TLSSocket): Connection {
    const wantsKeyLog = this.#events?.wantsKeyLog() ?? false;
    if (this.#options === undefined || this.#options.exportKeyLog !== wantsKeyLog) {
      this.#options = this.#makeOptions(wantsKeyLog);
    }
    const sessions = this.#externalSessions(socket);
    if (sessions !== undefined) {
      this.#external.set(socket, sessions);
      return Connection.server({ ...this.#options, context: 'ask' });
    }
    return Connection.server(this.#options);
  }

  answer(socket: TLSSocket, need: Need): void {
    if (need.kind === 'context') {
      this.#chooseContext(socket, need);
    } else if (need.kind === 'sign') {
      this.#sign(socket, need);
    }
  }

  secured(socket: TLSSocket, summary: HandshakeSummary): void {
    this.counters.secured(summary);
    const storing = this.#external.get(socket)?.storing;
    if (storing === undefined) {
      this.#announce(socket);
      return;
    }
    // As in node:tls: the client may come back with its session as soon as it has seen data.
    storing.then(() => process.nextTick(() => this.#announce(socket)));
  }

  failedHandshake(socket: TLSSocket, error: Error): void {
    this.counters.failed(error);
    this.#events?.failed(socket, error);
  }

  remember(_socket: TLSSocket, _session: ClientSession): boolean {
    return false;
  }

  keyLog(socket: TLSSocket, line: Buffer): void {
    const withEnd = Buffer.concat([line, LINE_END]);
    socket.emit('keylog', withEnd);
    this.#events?.keyLog(socket, withEnd);
  }

  keyUpdated(): void {
    this.counters.keyUpdates++;
  }

  closed(socket: TLSSocket, error: Error | undefined): void {
    if (error !== undefined && !socket.secureConnecting) {
      this.counters.failed(error);
    }
    this.#events?.closed(socket);
  }

  ownCertificates(socket: TLSSocket): readonly Uint8Array[] {
    const context = this.#chosen.get(socket) ?? this.#default;
    return context.credentials[0]?.certificateChain ?? [];
  }

  #announce(socket: TLSSocket): void {
    if (!socket.destroyed) {
      socket.emit('secure');
      this.#events?.secured(socket);
    }
  }

  #makeOptions(exportKeyLog: boolean): ServerOptions {
    const asks = this.#named.length > 0 || this.#sniCallback !== undefined;
    const { versions, cipherSuites, cipherSuites12, namedGroups } = this.#default;
    return {
      provider: nodeProvider,
      now: Date.now,
      context: asks ? 'ask' : this.#contextOf(this.#default),
      exportKeyLog,
      allocate: allocateOutput,
      versions,
      allowLegacyMasterSecret: this.#allowLegacyMasterSecret,
      clientRenegotiations: this.#clientRenegotiations,
      ...(cipherSuites === undefined ? {} : { cipherSuites }),
      ...(cipherSuites12 === undefined ? {} : { cipherSuites12 }),
      ...(namedGroups === undefined ? {} : { namedGroups }),
    };
  }

  #contextOf(context: SecureContext): ServerContext {
    const known = this.#contexts.get(context);
    if (known !== undefined) {
      return known;
    }
    const callback = this.#alpnCallback;
    const made: ServerContext = {
      credentials: context.credentials,
      alpnProtocols: this.#alpnProtocols,
      ...(callback === undefined ? {} : { chooseProtocol: (hello) => chooseProtocol(callback, hello) }),
      ...(this.sessions.policy === undefined ? {} : { tickets: this.sessions.policy }),
      ...(this.sessions.byId === undefined ? {} : { sessionCache: this.sessions.byId }),
    };
    this.#contexts.set(context, made);
    return made;
  }

  #externalSessions(socket: TLSSocket): ConnectionSessions | undefined {
    const { sessions } = this;
    const { cache, onCacheError } = sessions.external;
    const onError = (error: unknown) => onCacheError?.(error);
    if (cache !== undefined) {
      return new ConnectionSessions({ keys: sessions, cache, onError });
    }
    const store = this.#events?.sessionStore();
    return store === undefined
      ? undefined
      : new ConnectionSessions({
          keys: sessions,
          cache: store,
          onError: (cause) => this.#giveUp(socket, asError(cause)),
        });
  }

  #chooseContext(socket: TLSSocket, need: ContextNeed): void {
    const hello = need.clientHello;
    const named = this.#named.find(({ pattern }) => hello.serverName !== '' && pattern.test(hello.serverName));
    const own = named?.context ?? this.#default;
    if (this.#sniCallback === undefined || hello.serverName === '') {
      this.#serve(socket, need, own);
      return;
    }
    let answered = false;
    const answer = (error: Error | null, context?: SecureContext | SecureContextOptions | null) => {
      if (answered) {
        return;
      }
      answered = true;
      if (error) {
        this.#giveUp(
          socket,
          new TLSError('TLS_ERR_UNRECOGNIZED_NAME', `SNICallback: ${error.message}`, { cause: error }),
        );
        return;
      }
      try {
        this.#serve(socket, need, context ? toSecureContext(context) : own);
      } catch (failure) {
        this.#giveUp(socket, failure as Error);
      }
    };
    try {
      this.#sniCallback(hello.serverName, answer);
    } catch (error) {
      answer(error as Error);
    }
  }

  #serve(socket: TLSSocket, need: ContextNeed, context: SecureContext): void {
    if (context !== this.#default) {
      this.#chosen.set(socket, context);
    }
    const sessions = this.#external.get(socket);
    if (sessions === undefined) {
      socket.answer(need, this.#contextOf(context));
      return;
    }
    const answer = () => {
      socket.answer(need, { ...this.#contextOf(context), sessionCache: sessions });
      sessions.erase();
    };
    const { sessionId } = need.clientHello;
    if (sessionId === undefined || sessionId.length === 0) {
      answer();
    } else {
      sessions.find(sessionId).then(() => process.nextTick(answer));
    }
  }

  #sign(socket: TLSSocket, need: Extract<Need, { kind: 'sign' }>): void {
    const { sign } = this.#chosen.get(socket) ?? this.#default;
    const fail = (cause: unknown) => {
      const detail = cause instanceof Error ? cause.message : String(cause);
      this.#giveUp(socket, new TLSError('TLS_ERR_SIGN_FAILED', `the sign function failed: ${detail}`, { cause }));
    };
    if (sign === undefined) {
      fail('none was given');
      return;
    }
    // The data is the core's: a signer that keeps it must not see it change.
    Promise.resolve()
      .then(() => sign(need.scheme, need.data.slice()))
      .then((signature) => {
        if (!ArrayBuffer.isView(signature)) {
          throw new TypeError('it must return the signature as bytes');
        }
        return signature;
      })
      .then((signature) => process.nextTick(() => socket.answer(need, signature)), fail);
  }

  #giveUp(socket: TLSSocket, error: Error): void {
    const wrapped = error instanceof TLSError ? error : new TLSError('TLS_ERR_CONFIG', error.message, { cause: error });
    socket.giveUp('internal_error', wrapped);
  }
}

type ContextNeed = Extract<Need, { kind: 'context' }>;

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}

function chooseProtocol(callback: ALPNCallback, hello: ClientHelloInfo): string | undefined {
  const protocols = [...hello.alpnProtocols];
  const chosen = callback({ servername: hello.serverName, protocols });
  if (chosen !== undefined && !hello.alpnProtocols.includes(chosen)) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `ALPNCallback: expected one of ${protocols.join(', ')} or undefined, got ${String(chosen)}`,
      { alert: 'internal_error' },
    );
  }
  return chosen;
}

function checkTimeout(ms: number): number {
  if (!Number.isFinite(ms) || ms < 0 || ms > 2 ** 31 - 1) {
    throw new TLSError('TLS_ERR_CONFIG', `handshakeTimeout: expected milliseconds from 0 to 2^31 - 1, got ${ms}`);
  }
  return ms;
}

const LINE_END = Buffer.from('\n');
