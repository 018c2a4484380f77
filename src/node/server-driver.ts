/**
 * The server's side of handshakes: which certificate and protocols serve a client, who signs, and what is counted. One
 * driver serves all connections of a server; its contexts are made once and shared.
 */

import type { HandshakeSummary, HandshakeWarning, Need } from '../actions.ts';
import { ownBuffer } from '../bytes/bytes.ts';
import type { ParsedCertificate } from '../certificates/certificate.ts';
import { Connection } from '../connection.ts';
import type { KeyRenewal, ServerContext, ServerOptions } from '../connection-options.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import { schemesInTls12 } from '../crypto/signatures.ts';
import { TLSError } from '../errors.ts';
import type { ClientSession } from '../session/client-session.ts';
import { askForStatus } from './certificate-status.ts';
import { ClientVerifier } from './client-verification.ts';
import type { Driver, EarlyDelivery, LateRequest, LateRequestOptions } from './driver.ts';
import { checkPskVersions, ServerPsks } from './external-psks.ts';
import { ConnectionSessions } from './external-sessions.ts';
import { asHangUp } from './hang-up.ts';
import { allocateOutput } from './output-buffer.ts';
import { OwnContexts } from './own-contexts.ts';
import { type SecureContext, type SecureContextOptions, toSecureContext } from './secure-context.ts';
import { ServerCounters } from './server-counters.ts';
import {
  asTlsError,
  checkTimeout,
  type ServerDriverOptions,
  type ServerEvents,
  servedSuites12,
} from './server-driver-options.ts';
import { type EffectivePolicy, ServerPolicy } from './server-policy.ts';
import { ServerSessions } from './sessions.ts';
import { answerSign } from './signing.ts';
import { parseAlpn, refuseUnsupported, SSL_OP_NO_TICKET } from './tls-options.ts';
import type { TLSSocket } from './tls-socket.ts';
import { VirtualHosts } from './virtual-hosts.ts';

export class ServerDriver implements Driver {
  readonly role = 'server' as const;
  readonly handshakeTimeout: number;
  readonly sessions: ServerSessions;
  readonly policy: EffectivePolicy;
  readonly keyRenewal: KeyRenewal | undefined;
  readonly counters: ServerCounters = new ServerCounters();
  readonly #allowTruncation: boolean | ((socket: TLSSocket) => boolean);
  readonly #events: ServerEvents | undefined;
  readonly #alpnProtocols: readonly string[];
  readonly #own: OwnContexts;
  readonly #hosts: VirtualHosts;
  /** What each SecureContext is to the core, with this server's protocols and sessions. */
  #contexts = new WeakMap<SecureContext, ServerContext>();
  /** The context of connections that were not served by the default one, for `sign` needs. */
  readonly #chosen = new WeakMap<TLSSocket, SecureContext>();
  readonly #external = new WeakMap<TLSSocket, ConnectionSessions>();
  /** Sockets that were handed out with early data. */
  readonly #handedOut = new WeakSet<TLSSocket>();
  readonly #clients: ClientVerifier;
  readonly #psks: ServerPsks;
  readonly #allowLegacyMasterSecret: boolean;
  readonly #clientRenegotiations: number | undefined;
  readonly #policy: ServerPolicy;
  #options: ServerOptions | undefined;

  /** @throws TLSError as `createSecureContext`, and `TLS_ERR_CONFIG` */
  constructor(options: ServerDriverOptions = {}, events?: ServerEvents) {
    refuseUnsupported(options);
    if ((options as { encryptedClientHello?: unknown }).encryptedClientHello !== undefined) {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'encryptedClientHello is for clients: a server cannot decrypt it');
    }
    this.#events = events;
    this.handshakeTimeout = checkTimeout(options.handshakeTimeout ?? 120_000);
    this.#allowTruncation = options.allowTruncation ?? true;
    this.#alpnProtocols = parseAlpn(options.ALPNProtocols);
    this.#own = new OwnContexts(options.ALPNCallback || undefined);
    this.#allowLegacyMasterSecret = options.allowLegacyMasterSecret === true;
    this.#clientRenegotiations = options.clientRenegotiations;
    if (this.#own.callback !== undefined && options.ALPNProtocols !== undefined) {
      throw new TLSError('TLS_ERR_CONFIG', 'ALPNCallback and ALPNProtocols cannot stand side by side');
    }
    const { sessions, sessionTimeout, secureOptions = 0 } = options;
    this.#policy = new ServerPolicy(options);
    this.keyRenewal = this.#policy.keyRenewal;
    const noTickets = (secureOptions & SSL_OP_NO_TICKET) !== 0 ? { tickets: false, sessionIds: true } : {};
    this.sessions =
      sessions instanceof ServerSessions
        ? sessions
        : new ServerSessions({ ...this.#policy.sessions, ...noTickets, ...sessions }, sessionTimeout);
    const context = toSecureContext(options.secureContext ?? options);
    servedSuites12(context);
    checkPskVersions(options, context.versions);
    this.#hosts = new VirtualHosts(context, options.SNICallback || undefined);
    this.#clients = new ClientVerifier(options);
    this.#psks = new ServerPsks({ ...options, dangerouslyAllowPskKe: this.#policy.pskKe });
    if (this.#psks.some && this.#clients.checkOf(this.#hosts.default)?.policy.required === true) {
      throw new TLSError(
        'TLS_ERR_CONFIG',
        'PSKs cannot stand beside client certificates that are required: see rejectUnauthorized',
      );
    }
    const { clientCertificates } = this.#hosts.default;
    if (
      options.requestCert !== undefined &&
      (clientCertificates?.requestCert ?? options.requestCert) !== options.requestCert
    ) {
      throw new TLSError('TLS_ERR_CONFIG', 'requestCert: the server and its secureContext say opposite things');
    }
    this.policy = this.#policy.settle(this.#hosts.default, this.sessions);
  }

  /**
   * New connections are served with this one from now on. The `open` ones stay as they are, those in handshake too. Sessions
   * resume as before where the certificates are the same; with others, each client makes one full handshake.
   */
  setSecureContext(options: SecureContext | SecureContextOptions, open: Iterable<TLSSocket> = []): void {
    const context = toSecureContext(options);
    servedSuites12(context);
    this.#policy.limit(context);
    for (const socket of open) {
      if (!this.#chosen.has(socket)) {
        this.#chosen.set(socket, this.#hosts.default);
      }
    }
    this.#hosts.default = context;
    this.#options = undefined;
  }

  /** See `VirtualHosts.add`. */
  addContext(hostname: string, context: SecureContext | SecureContextOptions): void {
    this.#hosts.add(hostname, context);
    this.#options = undefined;
  }

  /** @throws TLSError `TLS_ERR_WRONG_STATE`, `TLS_ERR_CONFIG`, and as `createSecureContext` */
  setKeyCert(socket: TLSSocket, given: SecureContext | SecureContextOptions): void {
    if (!this.#asks(socket)) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'setKeyCert() is for an ALPNCallback or SNICallback of the server');
    }
    this.#own.setKeyCert(socket, given);
  }

  allowsTruncation(socket: TLSSocket): boolean {
    return typeof this.#allowTruncation === 'function' ? this.#allowTruncation(socket) : this.#allowTruncation;
  }

  createConnection(socket: TLSSocket): Connection {
    this.#clients.asks(socket, this.#clients.checkOf(this.#hosts.default));
    const wantsKeyLog = this.#events?.wantsKeyLog() ?? false;
    if (this.#options === undefined || this.#options.exportKeyLog !== wantsKeyLog) {
      this.#options = this.#makeOptions(wantsKeyLog);
    }
    const sessions = this.#externalSessions(socket);
    if (sessions !== undefined) {
      this.#external.set(socket, sessions);
    }
    return Connection.server(this.#asks(socket) ? { ...this.#options, context: 'ask' } : this.#options);
  }

  answer(socket: TLSSocket, need: Need): void {
    if (need.kind === 'context') {
      this.#hosts.choose(
        { serverName: need.clientHello.serverName, socket },
        (context) => this.#serve(socket, need, context),
        (error) => socket.giveUp('internal_error', error),
      );
    } else if (need.kind === 'sign') {
      answerSign(socket, need, this.#keyCertOf(socket).sign);
    } else if (need.kind === 'claimTicket') {
      this.sessions.claim(need.ticketId, need.expiresAt).then((claim) => {
        process.nextTick(() => socket.answer(need, claim));
      });
    } else if (need.kind === 'verifyCertificate') {
      socket.answer(need, this.#clients.verdict(socket, need.chain));
    } else if (need.kind === 'externalPsk') {
      this.#psks.answer(socket, need);
    } else if (need.kind === 'certificateStatus') {
      askForStatus(
        (callback) => this.#events?.certificateStatus(need.certificateChain, callback),
        (response) => socket.answer(need, response),
        (error) => socket.giveUp('internal_error', error),
      );
    }
  }

  /** Where clients are asked for certificates nothing is done for one that may be a recording. */
  earlyDataTaken(socket: TLSSocket): EarlyDelivery {
    const asksForCertificate = this.#clients.checkOf(this.#chosen.get(socket) ?? this.#hosts.default) !== undefined;
    const delivery = asksForCertificate ? 'held' : (this.#events?.early(socket) ?? 'held');
    if (delivery === 'stream') {
      this.#handedOut.add(socket);
    }
    return delivery;
  }

  earlyData(): undefined {}

  secured(socket: TLSSocket, summary: HandshakeSummary): void {
    const problem = this.#clients.settle(socket, summary);
    if (problem !== undefined) {
      this.failedHandshake(socket, problem);
      socket.giveUp('access_denied', problem);
      return;
    }
    this.counters.secured(summary);
    const storing = this.#external.get(socket)?.storing;
    if (storing === undefined) {
      this.#announce(socket);
      return;
    }
    // As in node:tls: the client may come back with its session as soon as it has seen data.
    socket.heldBack = true;
    storing.then(() => process.nextTick(() => this.#announce(socket)));
  }

  reauthenticated(socket: TLSSocket, summary: HandshakeSummary): void {
    const problem = this.#clients.settle(socket, summary);
    if (problem !== undefined) {
      socket.giveUp('access_denied', problem);
    }
  }

  lateRequest(socket: TLSSocket, options: LateRequestOptions): LateRequest {
    const { requestCert, rejectUnauthorized, ca } = options;
    if (requestCert === undefined && rejectUnauthorized === undefined && ca === undefined) {
      return { made() {} };
    }
    const served = this.#chosen.get(socket) ?? this.#hosts.default;
    const check = this.#clients.lateCheck(socket, served, options);
    const { clientAuthentication: _, ...context } = this.#contextFor(socket, served);
    const sessionCache = this.#external.get(socket) ?? context.sessionCache;
    return {
      policy: check?.policy,
      context: {
        ...context,
        ...(sessionCache === undefined ? {} : { sessionCache }),
        ...(check === undefined ? {} : { clientAuthentication: check.policy }),
      },
      made: () => this.#clients.asks(socket, check),
    };
  }

  failedHandshake(socket: TLSSocket, error: Error): boolean {
    this.counters.failed(error);
    this.#events?.failed(socket, asHangUp(error));
    return this.#events !== undefined;
  }

  remember(_socket: TLSSocket, _session: ClientSession): boolean {
    return false;
  }

  sessionEnded(): void {}

  keyLog(socket: TLSSocket, line: Buffer): void {
    const withEnd = ownBuffer(line, LINE_END);
    socket.emit('keylog', withEnd);
    this.#events?.keyLog(socket, withEnd);
  }

  keyUpdated(): void {
    this.counters.keyUpdates++;
  }

  warned(socket: TLSSocket, warning: HandshakeWarning): void {
    socket.emit('tlsWarning', warning);
    this.#events?.warned(socket, warning);
  }

  closed(socket: TLSSocket, error: Error | undefined): void {
    if (error !== undefined && !socket.secureConnecting) {
      this.counters.failed(error);
    }
    this.#events?.closed(socket);
  }

  trustedPath(socket: TLSSocket, chain: readonly Uint8Array[]): readonly ParsedCertificate[] | undefined {
    return this.#clients.pathOf(socket, chain);
  }

  ownCertificates(socket: TLSSocket): readonly Uint8Array[] {
    const { credentials } = this.#keyCertOf(socket);
    const scheme = socket.mayfly?.signatureScheme;
    // Of several, the one that signed; a resumption has none that did.
    const signer = credentials.find(({ schemes }) => scheme !== undefined && schemesInTls12(schemes).includes(scheme));
    return (signer ?? credentials[0])?.certificateChain ?? [];
  }

  #announce(socket: TLSSocket): void {
    if (socket.heldBack) {
      socket.heldBack = false;
      socket.endUnread();
    }
    if (!socket.destroyed) {
      socket.emit('secure');
      if (!this.#handedOut.has(socket)) {
        this.#events?.secured(socket);
      }
    }
  }

  #makeOptions(exportKeyLog: boolean): ServerOptions {
    const { cipherSuites, certificateCompression } = this.#hosts.default;
    const { versions, namedGroups } = this.#policy.limit(this.#hosts.default);
    const { keyRenewal } = this;
    const { usageLimit } = this.#policy;
    const cipherSuites12 = servedSuites12(this.#hosts.default);
    return {
      provider: nodeProvider,
      now: Date.now,
      context: this.#hosts.differ ? 'ask' : this.#contextOf(this.#hosts.default),
      exportKeyLog,
      allocate: allocateOutput,
      versions,
      allowLegacyMasterSecret: this.#allowLegacyMasterSecret,
      clientRenegotiations: this.#clientRenegotiations,
      compressCertificates: certificateCompression,
      acceptCompressedCertificates: certificateCompression ?? [],
      ...(cipherSuites === undefined ? {} : { cipherSuites }),
      ...(cipherSuites12 === undefined ? {} : { cipherSuites12 }),
      ...(namedGroups === undefined ? {} : { namedGroups }),
      ...(keyRenewal === undefined ? {} : { keyRenewal }),
      ...(usageLimit === undefined ? {} : { usageLimit }),
    };
  }

  #contextOf(context: SecureContext): ServerContext {
    const known = this.#contexts.get(context);
    if (known !== undefined) {
      return known;
    }
    const check = this.#clients.checkOf(context);
    const events = this.#events;
    const made: ServerContext = {
      credentials: this.#psks.required ? [] : context.credentials,
      alpnProtocols: this.#alpnProtocols,
      // Listeners come and go.
      get askCertificateStatus() {
        return events?.wantsCertificateStatus() ?? false;
      },
      ...(check === undefined ? {} : { clientAuthentication: check.policy }),
      ...(this.#psks.some ? { externalPsks: 'ask' } : {}),
      ...(this.#psks.pskKe === undefined ? {} : { dangerouslyAllowPskKe: this.#psks.pskKe }),
      ...(this.sessions.policy === undefined ? {} : { tickets: this.sessions.policy }),
      ...(this.sessions.byId === undefined ? {} : { sessionCache: this.sessions.byId }),
      cachedSessions: this.sessions.lifetimes,
    };
    this.#contexts.set(context, made);
    return made;
  }

  #contextFor(socket: TLSSocket, context: SecureContext, sessionCache?: ConnectionSessions): ServerContext {
    const own = this.#own.of(socket, { context, shared: this.#contextOf(context), sessionCache });
    return this.#psks.required ? { ...own, credentials: [] } : own;
  }

  #keyCertOf(socket: TLSSocket): SecureContext {
    return this.#own.keyCertOf(socket) ?? this.#chosen.get(socket) ?? this.#hosts.default;
  }

  /** What serves it is told once its hello is there. */
  #asks(socket: TLSSocket): boolean {
    return (
      this.#hosts.differ ||
      this.#own.callback !== undefined ||
      // Nobody but who made it has it yet, and may call setKeyCert.
      this.#events === undefined ||
      this.#external.has(socket)
    );
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
          onError: (cause) => socket.giveUp('internal_error', asTlsError(cause)),
        });
  }

  #serve(socket: TLSSocket, need: ContextNeed, context: SecureContext): void {
    // Also where it is the default: another may have been that when the connection began.
    if (context !== this.#hosts.default || this.#chosen.has(socket)) {
      this.#chosen.set(socket, context);
    }
    this.#clients.asks(socket, this.#clients.checkOf(context));
    const sessions = this.#external.get(socket);
    if (sessions === undefined) {
      socket.answer(need, this.#contextFor(socket, context));
      return;
    }
    const answer = () => {
      socket.answer(need, this.#contextFor(socket, context, sessions));
      sessions.erase();
    };
    const { sessionId } = need.clientHello;
    if (sessionId === undefined || sessionId.length === 0) {
      answer();
    } else {
      sessions.find(sessionId).then(() => process.nextTick(answer));
    }
  }
}

type ContextNeed = Extract<Need, { kind: 'context' }>;

const LINE_END = Buffer.from('\n');
