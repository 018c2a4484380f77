/**
 * The client's side of handshakes: whom to trust, which name to ask for, which session to offer. One driver serves one
 * connect.
 */

import { isIP } from 'node:net';
import { checkServerIdentity as nodeCheck } from 'node:tls';
import type { HandshakeSummary, Need } from '../actions.ts';
import { parseCertificate } from '../certificates/certificate.ts';
import { type PeerCertificate, peerCertificateChain } from '../certificates/peer-certificate.ts';
import { Connection } from '../connection.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import type { PublicKey } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { type ClientSession, type ClientSession12, decodeClientSession } from '../session/client-session.ts';
import type { ClientSessions } from './client-sessions.ts';
import type { Driver } from './driver.ts';
import { allocateOutput } from './output-buffer.ts';
import { type SecureContext, type SecureContextOptions, toSecureContext } from './secure-context.ts';
import { parseAlpn, refuseUnsupported } from './tls-options.ts';
import type { TLSSocket } from './tls-socket.ts';
import { verifyServerChain } from './trust.ts';

export type CheckServerIdentity = (hostname: string, certificate: PeerCertificate) => Error | undefined;

export interface ClientDriverOptions extends SecureContextOptions {
  readonly host?: string;
  readonly port?: number;
  readonly secureContext?: SecureContext;
  /** The name to send and to verify. Default: `host`, where that is a name. */
  readonly servername?: string;
  /** False: any certificate is taken; what is wrong with it is told by `authorizationError`. Default true. */
  readonly rejectUnauthorized?: boolean;
  /** Takes the place of the check of names; the chain is checked in any case. */
  readonly checkServerIdentity?: CheckServerIdentity;
  readonly ALPNProtocols?: readonly string[] | Uint8Array;
  /** What `getSession()` or a 'session' event gave. */
  readonly session?: Uint8Array | null;
  /** Ours: sessions are taken from here and new ones are kept here. */
  readonly sessionCache?: ClientSessions;
  /**
   * TLS 1.2: also servers without extended master secret (RFC 7627). A man in the middle can tie their sessions to his own
   * (the triple handshake), so `exportKeyingMaterial` is refused there. Default false.
   */
  readonly allowLegacyMasterSecret?: boolean;
  /** TLS 1.2: renegotiations that the server may ask for within ten minutes; 0 declines all. Default 3. */
  readonly serverRenegotiations?: number;
  /** Milliseconds; 0 for never. Default 0, as in `node:tls`. */
  readonly handshakeTimeout?: number;
  /**
   * A connection that ends without close_notify ends as usual, or where the function says so. Default false: it fails,
   * since data may be missing.
   */
  readonly allowTruncation?: boolean | ((socket: TLSSocket) => boolean);
  /** Ours: tickets to ask for (RFC 9149). */
  readonly requestTickets?: { readonly newSession: number; readonly resumption: number };
}

export class ClientDriver implements Driver {
  readonly role = 'client' as const;
  readonly handshakeTimeout: number;
  readonly #options: ClientDriverOptions;
  readonly #context: SecureContext;
  readonly #alpnProtocols: readonly string[];
  readonly #strict: boolean;
  /** The name to verify. */
  readonly #hostname: string;
  /** The name to send; empty for none. */
  #serverName: string;
  #givenSession: Uint8Array | undefined;
  #offered: ClientSession | undefined;
  /** What the cache has of this connection: TLS 1.2 sessions, whose secrets are the cache's. */
  #kept: ClientSession12[] = [];
  #cacheKey: string | undefined;
  #problem: TLSError | Error | undefined;

  /** @throws TLSError as `createSecureContext`, and `TLS_ERR_CONFIG` */
  constructor(options: ClientDriverOptions = {}) {
    refuseUnsupported(options);
    this.#options = options;
    this.#context = toSecureContext(options.secureContext ?? options);
    if (this.#context.credentials.length > 0) {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'cert, key: client certificates are not supported yet');
    }
    this.#alpnProtocols = parseAlpn(options.ALPNProtocols);
    this.#strict = options.rejectUnauthorized !== false;
    this.#hostname = options.servername || options.host || 'localhost';
    this.#serverName = sendable(options.servername ?? options.host ?? '');
    this.#givenSession = options.session ?? undefined;
    this.handshakeTimeout = options.handshakeTimeout ?? 0;
  }

  setServername(name: string): void {
    this.#serverName = sendable(name);
  }

  setSession(session: Uint8Array): void {
    this.#givenSession = session;
  }

  allowsTruncation(socket: TLSSocket): boolean {
    const { allowTruncation = false } = this.#options;
    return typeof allowTruncation === 'function' ? allowTruncation(socket) : allowTruncation;
  }

  createConnection(socket: TLSSocket): Connection {
    const { versions, cipherSuites, cipherSuites12, namedGroups, offerTickets12 } = this.#context;
    const session = this.#sessionToOffer();
    this.#offered = session;
    return Connection.client({
      provider: nodeProvider,
      now: Date.now,
      serverName: this.#serverName,
      alpnProtocols: this.#alpnProtocols,
      exportKeyLog: socket.listenerCount('keylog') > 0,
      allocate: allocateOutput,
      versions,
      offerTickets12,
      allowLegacyMasterSecret: this.#options.allowLegacyMasterSecret === true,
      serverRenegotiations: this.#options.serverRenegotiations,
      ...(cipherSuites === undefined ? {} : { cipherSuites }),
      ...(cipherSuites12 === undefined ? {} : { cipherSuites12 }),
      ...(namedGroups === undefined ? {} : { namedGroups }),
      ...(session === undefined ? {} : { session }),
      ...(this.#options.requestTickets === undefined ? {} : { requestTickets: this.#options.requestTickets }),
    });
  }

  answer(socket: TLSSocket, need: Need): void {
    if (need.kind !== 'verifyCertificate') {
      return;
    }
    let answer: PublicKey | TLSError;
    try {
      answer = this.#verify(need.chain);
    } catch (error) {
      answer = asTLSError(error);
    }
    socket.answer(need, answer);
  }

  secured(socket: TLSSocket, summary: HandshakeSummary): void {
    this.#settleOffered(socket, summary);
    if (summary.resumed && !this.#strict) {
      this.#judgeResumed(summary.peerCertificates);
    }
    socket.authorized = this.#problem === undefined;
    socket.authorizationError = this.#problem === undefined ? null : codeOf(this.#problem);
    // A client knows the name it asked for, whatever the server acknowledges.
    socket.servername = this.#serverName === '' ? false : this.#serverName;
    socket.emit('secure');
    socket.emit('secureConnect');
  }

  failedHandshake(): void {}

  remember(socket: TLSSocket, session: ClientSession): boolean {
    const cache = this.#options.sessionCache;
    if (socket.listenerCount('session') > 0) {
      socket.emit('session', socket.getSession());
    }
    if (cache === undefined || this.#problem !== undefined) {
      return false;
    }
    cache.put(this.#key(cache), session);
    if (session.version === 'TLSv1.2') {
      this.#kept.push(session);
    }
    return true;
  }

  keyLog(socket: TLSSocket, line: Buffer): void {
    socket.emit('keylog', Buffer.concat([line, LINE_END]));
  }

  keyUpdated(): void {}

  closed(_socket: TLSSocket, error: Error | undefined): void {
    if (error instanceof TLSError && (error.alert !== undefined || error.code === 'TLS_ERR_ALERT_RECEIVED')) {
      // A session must not outlive a connection of it that failed (RFC 5246 §7.2).
      this.#dropKept();
    }
    this.#offered?.secret.erase('used');
    this.#offered = undefined;
  }

  ownCertificates(): readonly Uint8Array[] {
    return [];
  }

  #verify(chain: readonly Uint8Array[]): PublicKey | TLSError {
    try {
      const { publicKey } = verifyServerChain(
        this.#context.trust,
        chain,
        this.#hostname,
        !this.#options.checkServerIdentity,
      );
      this.#checkIdentity(chain);
      return publicKey;
    } catch (error) {
      if (this.#strict) {
        return asTLSError(error);
      }
      this.#problem = error as Error;
      return nodeProvider.importPublicKey(parseCertificate(chain[0]).publicKey.der);
    }
  }

  #checkIdentity(chain: readonly Uint8Array[]): void {
    const check = this.#options.checkServerIdentity;
    if (check === undefined) {
      return;
    }
    const certificate = peerCertificateChain(chain.map((der) => parseCertificate(der)));
    const refusal = check(this.#hostname, certificate as PeerCertificate);
    if (refusal) {
      throw refusal;
    }
  }

  /** A session made under a weaker policy must not carry the peer past a stricter one: its chain is judged again. */
  #sessionToOffer(): ClientSession | undefined {
    const cache = this.#options.sessionCache;
    const session = this.#givenSession === undefined ? cache?.take(this.#key(cache)) : this.#decode(this.#givenSession);
    if (session === undefined) {
      return undefined;
    }
    if (session.version === 'TLSv1.2') {
      this.#kept.push(session);
    }
    if (session.serverName !== this.#serverName || (this.#strict && !this.#trusts(session.peerCertificates))) {
      session.secret.erase('policy changed');
      return undefined;
    }
    return session;
  }

  /** What cannot be read is not offered, as in `node:tls`: a full handshake follows. */
  #decode(bytes: Uint8Array): ClientSession | undefined {
    try {
      return decodeClientSession(bytes);
    } catch {
      return undefined;
    }
  }

  #trusts(chain: readonly Uint8Array[]): boolean {
    try {
      verifyServerChain(this.#context.trust, chain, this.#hostname, !this.#options.checkServerIdentity);
      this.#checkIdentity(chain);
      return true;
    } catch {
      return false;
    }
  }

  #judgeResumed(chain: readonly Uint8Array[]): void {
    try {
      verifyServerChain(this.#context.trust, chain, this.#hostname, !this.#options.checkServerIdentity);
      this.#checkIdentity(chain);
    } catch (error) {
      this.#problem = error as Error;
    }
  }

  #key(cache: ClientSessions): string {
    this.#cacheKey ??= cache.key({
      host: this.#options.host ?? this.#hostname,
      port: Number(this.#options.port ?? 0),
      serverName: this.#serverName,
      alpnProtocols: this.#alpnProtocols,
      trustPolicy: `${this.#context.trust.roots.id} ${this.#strict} ${identityOf(this.#options.checkServerIdentity)}`,
    });
    return this.#cacheKey;
  }

  /** A TLS 1.2 session that was resumed and not renewed stays the socket's, as in `node:tls`. */
  #settleOffered(socket: TLSSocket, { resumed }: HandshakeSummary): void {
    const offered = this.#offered;
    this.#offered = undefined;
    if (offered === undefined) {
      return;
    }
    if (resumed && offered.version === 'TLSv1.2' && socket.keepSession(offered)) {
      return;
    }
    offered.secret.erase('used');
    if (!resumed) {
      this.#dropKept();
    }
  }

  #dropKept(): void {
    const cache = this.#options.sessionCache;
    for (const session of cache === undefined ? [] : this.#kept) {
      cache?.drop(this.#key(cache), session);
    }
    this.#kept = [];
  }
}

/** A name that may stand in server_name: not an address (RFC 6066 §3). */
function sendable(name: string): string {
  const absolute = name.endsWith('.') ? name.slice(0, -1) : name;
  return isIP(absolute) === 0 && !absolute.includes(':') ? absolute : '';
}

function asTLSError(error: unknown): TLSError {
  if (error instanceof TLSError) {
    return error;
  }
  const message = error instanceof Error ? error.message : String(error);
  return new TLSError('TLS_ERR_CERTIFICATE_NAME', message, { cause: error });
}

function codeOf(problem: Error): string {
  return (problem as NodeJS.ErrnoException).code ?? problem.message;
}

function identityOf(check: CheckServerIdentity | undefined): number {
  if (check === undefined || check === (nodeCheck as unknown)) {
    return 0;
  }
  let id = identities.get(check);
  if (id === undefined) {
    id = nextIdentity++;
    identities.set(check, id);
  }
  return id;
}

const identities = new WeakMap<CheckServerIdentity, number>();
let nextIdentity = 1;
const LINE_END = Buffer.from('\n');
