/**
 * The client's side of handshakes: whom to trust, which name to ask for, which session to offer. One driver serves one
 * connect.
 */

import { isIP } from 'node:net';
import { checkServerIdentity as nodeCheck } from 'node:tls';
import type { HandshakeSummary, HandshakeWarning, Need } from '../actions.ts';
import { plainBytes, toHex } from '../bytes/bytes.ts';
import { type ParsedCertificate, parseCertificate } from '../certificates/certificate.ts';
import { checkStaple, mustStaple } from '../certificates/ocsp-check.ts';
import { type PeerCertificate, peerCertificateChain } from '../certificates/peer-certificate.ts';
import { Connection } from '../connection.ts';
import type { ClientOptions, KeyRenewal, ProtocolVersion } from '../connection-options.ts';
import type { FfdheGroup } from '../crypto/dhe-groups.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import type { PublicKey } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { type ClientSession, type ClientSession12, decodeClientSession } from '../session/client-session.ts';
import { type ExternalPsk, wireIdentities } from '../session/external-psk.ts';
import type { ClientSessions } from './client-sessions.ts';
import { authoritiesOf } from './client-verification.ts';
import type { Driver, EarlyDelivery, LateRequest, LateRequestOptions } from './driver.ts';
import { clientPsks, erasePsks, type PskOptions } from './external-psks.ts';
import type { Turn } from './handshake-turns.ts';
import { allocateOutput } from './output-buffer.ts';
import { type SecureContext, type SecureContextOptions, toSecureContext } from './secure-context.ts';
import { clientKeyRenewal } from './server-policy.ts';
import { answerSign } from './signing.ts';
import { parseAlpn, parseMinDhSize, refuseUnsupported } from './tls-options.ts';
import type { TLSSocket } from './tls-socket.ts';
import { verifyServerChain } from './trust.ts';

export type CheckServerIdentity = (hostname: string, certificate: PeerCertificate) => Error | undefined;

export interface ClientDriverOptions extends SecureContextOptions, PskOptions {
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
  /**
   * As in `node:tls`, for suites with DHE that `ciphers` names: bits of the prime, up to 8192. Only groups of RFC 7919 are
   * taken, of which none is below 2048; a number above 3072 has one of the larger ones offered. Default 2048.
   */
  readonly minDHSize?: number;
  /** Milliseconds; 0 for never. Default 0, as in `node:tls`. */
  readonly handshakeTimeout?: number;
  /** Ours: when the connection renews its keys before the usage limit. Default after 1 h in TLS 1.3; false for never. */
  readonly keyRenewal?: KeyRenewal | false;
  /**
   * A connection that ends without close_notify ends as usual, or where the function says so. Default false: it fails,
   * since data may be missing.
   */
  readonly allowTruncation?: boolean | ((socket: TLSSocket) => boolean);
  /**
   * As in `node:tls`: asks for a stapled OCSP response, which comes as 'OCSPResponse' (null for none) and is not judged: see
   * `stapling` for that. Default false.
   */
  readonly requestOCSP?: boolean;
  /**
   * Ours: asks for a stapled OCSP response and judges it. 'check': one that comes must be the issuer's, fresh, and say that
   * the certificate is good, and one must come where the certificate says so itself (RFC 7633). 'require': one must come.
   * Sessions count as what they were made under: one from the cache was made under this option; one given as `session` does
   * not resume where a staple must come. Default: none is asked for.
   */
  readonly stapling?: 'check' | 'require';
  /** Ours: asks for certificate timestamps by TLS; see `signedCertificateTimestamps` of the socket. Default false. */
  readonly requestSCTs?: boolean;
  /** Ours, TLS 1.3: tells the server the names of `ca`, so that it can choose among its certificates. Default false. */
  readonly announceAuthorities?: boolean;
  /**
   * Ours, with `sessionCache`: while a first handshake with the same server is under way, wait for its tickets, at most a
   * second, and resume. Default false; agents do it.
   */
  readonly shareHandshakes?: boolean;
  /**
   * Ours, TLS 1.3 alone: Encrypted Client Hello (RFC 9849). The server's ECHConfigList, as its DNS record has it; or 'grease'
   * for an extension that only looks like it. A server that does not decrypt the hello ends the connection with
   * `TLS_ERR_ECH_REJECTED`, and 'echRejected' tells what to try instead. Default: neither.
   */
  readonly encryptedClientHello?: Uint8Array | 'grease';
  /** Ours: tickets to ask for (RFC 9149). */
  readonly requestTickets?: { readonly newSession: number; readonly resumption: number };
  /**
   * Ours: sent with the first flight where the session allows it (0-RTT, TLS 1.3). It is not forward secret, and whoever
   * records it can send it again. What the server did not take comes back with 'earlyDataRejected', before 'secureConnect'.
   */
  readonly earlyData?: Uint8Array;
  /** Ours: whether what was written before the handshake goes out as early data; else, or where refused, after it. */
  readonly earlyWrites?: (socket: TLSSocket) => boolean;
}

export class ClientDriver implements Driver {
  readonly role = 'client' as const;
  readonly handshakeTimeout: number;
  readonly keyRenewal: KeyRenewal | undefined;
  readonly #options: ClientDriverOptions;
  readonly #context: SecureContext;
  readonly #ffdheGroups12: readonly FfdheGroup[] | undefined;
  readonly #alpnProtocols: readonly string[];
  readonly #authorities: readonly Uint8Array[] | undefined;
  readonly #strict: boolean;
  /** The name to verify. */
  readonly #hostname: string;
  /** The name to send; empty for none. */
  #serverName: string;
  #givenSession: Uint8Array | undefined;
  #offered: ClientSession | undefined;
  #turn: Turn | undefined;
  /** Found while it was our turn to look. */
  #found: ClientSession | undefined;
  /** What the cache has of this connection: TLS 1.2 sessions, whose secrets are the cache's. */
  #kept: ClientSession12[] = [];
  #cacheKey: string | undefined;
  #pskNames = '';
  /** What the server asked for and was sent. */
  #ownCertificates: readonly Uint8Array[] = [];
  #problem: TLSError | Error | undefined;

  /** @throws TLSError as `createSecureContext`, and `TLS_ERR_CONFIG` */
  constructor(options: ClientDriverOptions = {}) {
    refuseUnsupported(options);
    this.#options = options;
    this.#context = toSecureContext(options.secureContext ?? options);
    this.#ffdheGroups12 = parseMinDhSize(options.minDHSize);
    this.#alpnProtocols = parseAlpn(options.ALPNProtocols);
    this.#strict = options.rejectUnauthorized !== false;
    this.#authorities = options.announceAuthorities === true ? authorityNames(this.#context) : undefined;
    checkStapling(options.stapling);
    this.#hostname = options.servername || options.host || 'localhost';
    this.#serverName = sendable(options.servername ?? options.host ?? '');
    this.#givenSession = options.session ?? undefined;
    this.handshakeTimeout = options.handshakeTimeout ?? 0;
    this.keyRenewal = clientKeyRenewal(options.keyRenewal);
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

  waits(go: () => void): boolean {
    const { sessionCache: cache, shareHandshakes } = this.#options;
    if (shareHandshakes !== true || cache === undefined || this.#givenSession !== undefined || !this.#namePsks()) {
      return false;
    }
    this.#turn ??= cache.turns.enter(this.#key(cache));
    this.#found = this.#sessionToOffer();
    if (this.#found === undefined) {
      return this.#turn.waits(go);
    }
    this.#turn.begin();
    return false;
  }

  createConnection(socket: TLSSocket): Connection {
    const { versions, cipherSuites, cipherSuites12, namedGroups, offerTickets12, credentials } = this.#context;
    const { certificateCompression } = this.#context;
    const { requestOCSP, stapling, requestSCTs, encryptedClientHello } = this.#options;
    const externalPsks = clientPsks(this.#options);
    this.#pskNames = namesOf(externalPsks);
    const session = this.#found ?? this.#sessionToOffer();
    this.#found = undefined;
    this.#offered = session;
    const { externalPskRequired = false, dangerouslyAllowPskKe = false } = this.#options;
    const options: ClientOptions = {
      provider: nodeProvider,
      now: Date.now,
      serverName: this.#serverName,
      alpnProtocols: this.#alpnProtocols,
      exportKeyLog: socket.listenerCount('keylog') > 0,
      allocate: allocateOutput,
      versions: externalPskRequired || encryptedClientHello instanceof Uint8Array ? only13(versions) : versions,
      ...(encryptedClientHello === undefined ? {} : { encryptedClientHello: plainOrGrease(encryptedClientHello) }),
      externalPsks,
      externalPskRequired,
      dangerouslyAllowPskKe: dangerouslyAllowPskKe !== false,
      offerTickets12,
      allowLegacyMasterSecret: this.#options.allowLegacyMasterSecret === true,
      serverRenegotiations: this.#options.serverRenegotiations,
      ffdheGroups12: this.#ffdheGroups12,
      statusRequest: requestOCSP === true || stapling !== undefined,
      signedCertificateTimestamp: requestSCTs === true,
      certificateAuthorities: this.#authorities,
      compressCertificates: certificateCompression,
      acceptCompressedCertificates: certificateCompression ?? [],
      // Absent and not empty: an empty list would have us offer what we cannot do (RFC 9846 §4.3.6).
      ...(credentials.length === 0 ? {} : { credentials }),
      ...(cipherSuites === undefined ? {} : { cipherSuites }),
      ...(cipherSuites12 === undefined ? {} : { cipherSuites12 }),
      ...(namedGroups === undefined ? {} : { namedGroups }),
      ...(session === undefined ? {} : { session }),
      ...(this.keyRenewal === undefined ? {} : { keyRenewal: this.keyRenewal }),
      earlyData: this.earlyData(socket) !== undefined,
      ...(this.#options.requestTickets === undefined ? {} : { requestTickets: this.#options.requestTickets }),
    };
    try {
      return Connection.client(options);
    } finally {
      erasePsks(externalPsks);
    }
  }

  answer(socket: TLSSocket, need: Need): void {
    if (need.kind === 'sign') {
      answerSign(socket, need, this.#context.sign);
      return;
    }
    if (need.kind !== 'verifyCertificate') {
      return;
    }
    if (this.#options.requestOCSP === true) {
      const { ocspResponse } = need;
      socket.emit('OCSPResponse', ocspResponse === undefined ? null : Buffer.from(ocspResponse));
    }
    let answer: PublicKey | TLSError;
    try {
      answer = this.#verify(need);
    } catch (error) {
      answer = asTLSError(error);
    }
    socket.answer(need, answer);
  }

  earlyDataTaken(): EarlyDelivery {
    return 'held';
  }

  earlyData(socket: TLSSocket): Uint8Array | 'writes' | undefined {
    const { earlyData, earlyWrites } = this.#options;
    return earlyData ?? (earlyWrites?.(socket) === true ? 'writes' : undefined);
  }

  secured(socket: TLSSocket, summary: HandshakeSummary): void {
    this.#settleOffered(socket, summary);
    this.#turn?.complete();
    // Who began with an external PSK has shown no certificate, and needs none.
    if (summary.resumed && !this.#strict && summary.authenticatedBy !== 'externalPsk') {
      this.#judgeResumed(summary.peerCertificates);
    }
    this.reauthenticated(socket, summary);
    // A client knows the name it asked for, whatever the server acknowledges.
    socket.servername = this.#serverName === '' ? false : this.#serverName;
    socket.emit('secure');
    socket.emit('secureConnect');
  }

  reauthenticated(socket: TLSSocket, { ownCertificates }: HandshakeSummary): void {
    this.#ownCertificates = ownCertificates ?? this.#ownCertificates;
    socket.authorized = this.#problem === undefined;
    socket.authorizationError = this.#problem === undefined ? null : codeOf(this.#problem);
  }

  /** What a client trusts is set when it connects. */
  lateRequest(_socket: TLSSocket, { rejectUnauthorized = this.#strict }: LateRequestOptions): LateRequest {
    if (rejectUnauthorized !== this.#strict) {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'renegotiate: a client cannot change rejectUnauthorized');
    }
    return { made() {} };
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
    this.#turn?.broughtSession();
    if (session.version === 'TLSv1.2') {
      this.#kept.push(session);
    }
    return true;
  }

  sessionEnded(): void {
    this.#dropKept();
  }

  keyLog(socket: TLSSocket, line: Buffer): void {
    socket.emit('keylog', Buffer.concat([line, LINE_END]));
  }

  keyUpdated(): void {}

  warned(socket: TLSSocket, warning: HandshakeWarning): void {
    socket.emit('tlsWarning', warning);
  }

  closed(_socket: TLSSocket, error: Error | undefined): void {
    if (error instanceof TLSError && (error.alert !== undefined || error.code === 'TLS_ERR_ALERT_RECEIVED')) {
      // Also where the server has proved nothing (see `sessionEnded`): a session over which it fails would keep us out for
      // as long as it lives, and whoever can put an alert into a handshake gains no more than a full handshake.
      this.#dropKept();
    }
    this.#offered?.secret.erase('used');
    this.#offered = undefined;
    this.#found?.secret.erase('closed');
    this.#found = undefined;
    this.#turn?.end();
  }

  ownCertificates(): readonly Uint8Array[] {
    return this.#ownCertificates;
  }

  #verify({ chain, ocspResponse, serverName }: VerifyNeed): PublicKey | TLSError {
    this.#problem = undefined;
    // A server that did not open our hello speaks for the public name of its configuration (RFC 9849 §6.1.7).
    const isPublic = serverName !== this.#serverName;
    const hostname = isPublic ? serverName : this.#hostname;
    try {
      const { publicKey, path } = verifyServerChain(
        this.#context.trust,
        chain,
        hostname,
        !this.#options.checkServerIdentity,
      );
      this.#checkIdentity(chain, hostname);
      this.#checkStaple(path, ocspResponse);
      return publicKey;
    } catch (error) {
      // What an unknown server says of configurations is not for use, whatever the host does without.
      if (this.#strict || isPublic) {
        return asTLSError(error);
      }
      this.#problem = error as Error;
      return nodeProvider.importPublicKey(parseCertificate(chain[0]).publicKey.der);
    }
  }

  #checkStaple(path: readonly ParsedCertificate[], ocspResponse: Uint8Array | undefined): void {
    const { stapling } = this.#options;
    if (stapling !== undefined) {
      checkStaple({ path, ocspResponse, now: Date.now(), required: stapling === 'require' });
    }
  }

  #checkIdentity(chain: readonly Uint8Array[], hostname = this.#hostname): void {
    const check = this.#options.checkServerIdentity;
    if (check === undefined) {
      return;
    }
    const certificate = peerCertificateChain(chain.map((der) => parseCertificate(der)));
    const refusal = check(hostname, certificate as PeerCertificate);
    if (refusal) {
      throw refusal;
    }
  }

  /** What tells our sessions apart must be known before one is looked for; false where it is not until the hello is made. */
  #namePsks(): boolean {
    const { pskCallback, externalPsks } = this.#options;
    if (pskCallback || typeof externalPsks === 'function') {
      return false;
    }
    try {
      const psks = clientPsks(this.#options);
      this.#pskNames = namesOf(psks);
      erasePsks(psks);
      return true;
    } catch {
      // `createConnection` says what is wrong with them.
      return false;
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
    if (session.version === 'TLSv1.3' && (session.externalPskFingerprint?.length ?? 0) > 0) {
      // It stands and falls with the PSK, as the core sees to.
      return session;
    }
    const lacksStaple = this.#givenSession !== undefined && this.#mustStaple(session.peerCertificates);
    const isOther = session.serverName !== this.#serverName || lacksStaple;
    if (isOther || (this.#strict && !this.#trusts(session.peerCertificates))) {
      session.secret.erase('policy changed');
      return undefined;
    }
    return session;
  }

  /** A session does not tell whether its full handshake came with one. */
  #mustStaple([leaf]: readonly Uint8Array[]): boolean {
    const { stapling } = this.#options;
    const says = () => leaf !== undefined && mustStaple(parseCertificate(leaf));
    return stapling === 'require' || (stapling === 'check' && says());
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
      // With whom we can be: to the server a session is proof of it.
      trustPolicy: `${this.#context.trust.roots.id} ${this.#strict} ${identityOf(this.#options.checkServerIdentity)} ${this.#options.stapling ?? ''} ${this.#context.identity} ${this.#pskNames}`,
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

function only13(versions: readonly ProtocolVersion[]): readonly ProtocolVersion[] {
  const left = versions.filter((version) => version === 'TLSv1.3');
  if (left.length === 0) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      'externalPskRequired and encryptedClientHello are of TLS 1.3 alone, and TLS 1.3 is ruled out',
    );
  }
  return left;
}

function plainOrGrease(given: Uint8Array | 'grease'): Uint8Array | 'grease' {
  return given === 'grease' ? given : plainBytes(given);
}

/** By which sessions are told apart: one that began with a PSK is of no use without it. */
function namesOf(psks: readonly ExternalPsk[]): string {
  return psks.flatMap((psk) => wireIdentities(psk).map(toHex)).join(' ');
}

type VerifyNeed = Extract<Need, { kind: 'verifyCertificate' }>;

function authorityNames({ trust }: SecureContext): readonly Uint8Array[] {
  const { names } = authoritiesOf(trust);
  if (names.length === 0) {
    const why = trust.isDefault ? 'it needs a `ca`, as Node has far too many roots' : 'the names of `ca` are too long';
    throw new TLSError('TLS_ERR_CONFIG', `announceAuthorities: ${why}`);
  }
  return names;
}

function checkStapling(stapling: unknown): void {
  if (stapling !== undefined && stapling !== 'check' && stapling !== 'require') {
    throw new TLSError('TLS_ERR_CONFIG', `stapling: expected 'check' or 'require', got ${JSON.stringify(stapling)}`);
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
