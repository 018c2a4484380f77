/**
 * The client's side of handshakes: what it asks for and what it does with the answers. One driver serves one connect. Whom it
 * trusts is in server-verification.ts, which session it offers in connect-sessions.ts.
 */

import { isIP } from 'node:net';
import type { HandshakeSummary, HandshakeWarning, Need } from '../actions.ts';
import { ownBuffer, plainBytes, toHex } from '../bytes/bytes.ts';
import type { ParsedCertificate } from '../certificates/certificate.ts';
import { Connection } from '../connection.ts';
import type { ClientOptions, KeyRenewal, ProtocolVersion } from '../connection-options.ts';
import type { FfdheGroup } from '../crypto/dhe-groups.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import { TLSError } from '../errors.ts';
import type { ClientSession } from '../session/client-session.ts';
import { type ExternalPsk, wireIdentities } from '../session/external-psk.ts';
import type { ClientDriverOptions } from './client-driver-options.ts';
import type { ClientSessions } from './client-sessions.ts';
import { authoritiesOf } from './client-verification.ts';
import { ConnectSessions } from './connect-sessions.ts';
import type { Driver, EarlyDelivery, LateRequest, LateRequestOptions } from './driver.ts';
import { checkPskVersions, clientPsks, erasePsks } from './external-psks.ts';
import type { ConnectTarget } from './hang-up.ts';
import { allocateOutput } from './output-buffer.ts';
import { type SecureContext, toSecureContext } from './secure-context.ts';
import { clientKeyRenewal } from './server-policy.ts';
import { ServerVerifier } from './server-verification.ts';
import { answerSign } from './signing.ts';
import { parseAlpn, parseMinDhSize, refuseUnsupported } from './tls-options.ts';
import type { TLSSocket } from './tls-socket.ts';

export class ClientDriver implements Driver {
  readonly role = 'client' as const;
  readonly handshakeTimeout: number;
  readonly keyRenewal: KeyRenewal | undefined;
  readonly #options: ClientDriverOptions;
  readonly #context: SecureContext;
  readonly #ffdheGroups12: readonly FfdheGroup[] | undefined;
  readonly #alpnProtocols: readonly string[];
  readonly #authorities: readonly Uint8Array[] | undefined;
  readonly #verifier: ServerVerifier;
  readonly #sessions: ConnectSessions;
  /** The name to send; empty for none. */
  #serverName: string;
  /** The name that was sent, or that we meant to send encrypted. */
  #asked = '';
  #pskNames = '';
  /** What the server asked for and was sent. */
  #ownCertificates: readonly Uint8Array[] = [];

  /** @throws TLSError as `createSecureContext`, and `TLS_ERR_CONFIG` */
  constructor(options: ClientDriverOptions = {}) {
    refuseUnsupported(options);
    this.#options = options;
    this.#context = toSecureContext(options.secureContext ?? options);
    checkPskVersions(options, this.#context.versions);
    this.#ffdheGroups12 = parseMinDhSize(options.minDHSize);
    this.#alpnProtocols = parseAlpn(options.ALPNProtocols);
    this.#authorities = options.announceAuthorities === true ? authorityNames(this.#context) : undefined;
    const hostname = options.servername || options.host || 'localhost';
    this.#serverName = sendable(options.servername ?? options.host ?? '');
    this.#verifier = new ServerVerifier(this.#context.trust, hostname, options);
    const sessions = {
      cache: options.sessionCache,
      verifier: this.#verifier,
      share: options.shareHandshakes === true,
      key: (cache: ClientSessions) => this.#cacheKey(cache, options.host ?? hostname),
      serverName: () => this.#serverName,
    };
    this.#sessions = new ConnectSessions(sessions, options.session ?? undefined);
    this.handshakeTimeout = options.handshakeTimeout ?? 0;
    this.keyRenewal = clientKeyRenewal(options.keyRenewal);
  }

  get target(): ConnectTarget {
    return this.#options;
  }

  setServername(name: string): void {
    this.#serverName = sendable(name);
  }

  setSession(session: Uint8Array): void {
    this.#sessions.give(session);
  }

  setKeyCert(): never {
    throw new TLSError('TLS_ERR_WRONG_STATE', 'setKeyCert() is for servers: a client is given `cert` and `key`');
  }

  allowsTruncation(socket: TLSSocket): boolean {
    const { allowTruncation = false } = this.#options;
    return typeof allowTruncation === 'function' ? allowTruncation(socket) : allowTruncation;
  }

  waits(go: () => void): boolean {
    return this.#sessions.mayWait && this.#namePsks() && this.#sessions.waits(go);
  }

  createConnection(socket: TLSSocket): Connection {
    const { versions, cipherSuites, cipherSuites12, namedGroups, offerTickets12, credentials } = this.#context;
    const { certificateCompression, signatureSchemes } = this.#context;
    const { requestOCSP, stapling, requestSCTs, encryptedClientHello } = this.#options;
    const externalPsks = clientPsks(this.#options);
    this.#pskNames = namesOf(externalPsks);
    const session = this.#sessions.take();
    this.#asked = this.#serverName;
    const { externalPskRequired = false, dangerouslyAllowPskKe = false } = this.#options;
    const options: ClientOptions = {
      provider: nodeProvider,
      now: Date.now,
      serverName: this.#serverName,
      alpnProtocols: this.#alpnProtocols,
      exportKeyLog: socket.listenerCount('keylog') > 0,
      allocate: allocateOutput,
      versions: externalPskRequired || encryptedClientHello instanceof Uint8Array ? only13(versions) : versions,
      encryptedClientHello: encryptedClientHello === undefined ? undefined : plainOrGrease(encryptedClientHello),
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
      credentials: credentials.length === 0 ? undefined : credentials,
      cipherSuites,
      cipherSuites12,
      namedGroups,
      ...(signatureSchemes === undefined ? {} : { acceptedSchemes: signatureSchemes }),
      session,
      keyRenewal: this.keyRenewal,
      earlyData: this.earlyData(socket) !== undefined,
      requestTickets: this.#options.requestTickets,
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
      socket.emit('OCSPResponse', ocspResponse === undefined ? null : ownBuffer(ocspResponse));
    }
    socket.answer(need, this.#verifier.verdict(need, this.#asked));
  }

  earlyDataTaken(): EarlyDelivery {
    return 'held';
  }

  earlyData(socket: TLSSocket): Uint8Array | 'writes' | undefined {
    const { earlyData, earlyWrites } = this.#options;
    return earlyData ?? (earlyWrites?.(socket) === true ? 'writes' : undefined);
  }

  secured(socket: TLSSocket, summary: HandshakeSummary): void {
    this.#sessions.settle(socket, summary);
    // Who began with an external PSK has shown no certificate, and needs none.
    if (summary.resumed && !this.#verifier.strict && summary.authenticatedBy !== 'externalPsk') {
      this.#verifier.judgeResumed(summary.peerCertificates);
    }
    this.reauthenticated(socket, summary);
    // A client knows the name it asked for, whatever the server acknowledges.
    socket.servername = this.#serverName === '' ? false : this.#serverName;
    socket.emit('secure');
    socket.emit('secureConnect');
  }

  reauthenticated(socket: TLSSocket, { ownCertificates }: HandshakeSummary): void {
    this.#ownCertificates = ownCertificates ?? this.#ownCertificates;
    const { problem } = this.#verifier;
    socket.authorized = problem === undefined;
    socket.authorizationError = problem === undefined ? null : codeOf(problem);
  }

  /** What a client trusts is set when it connects. */
  lateRequest(_socket: TLSSocket, { rejectUnauthorized = this.#verifier.strict }: LateRequestOptions): LateRequest {
    if (rejectUnauthorized !== this.#verifier.strict) {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'renegotiate: a client cannot change rejectUnauthorized');
    }
    return { made() {} };
  }

  failedHandshake(): boolean {
    return false;
  }

  remember(socket: TLSSocket, session: ClientSession): boolean {
    if (socket.listenerCount('session') > 0) {
      socket.emit('session', socket.getSession());
    }
    return this.#verifier.problem === undefined && this.#sessions.keep(session);
  }

  sessionEnded(): void {
    this.#sessions.drop();
  }

  keyLog(socket: TLSSocket, line: Buffer): void {
    socket.emit('keylog', ownBuffer(line, LINE_END));
  }

  keyUpdated(): void {}

  warned(socket: TLSSocket, warning: HandshakeWarning): void {
    socket.emit('tlsWarning', warning);
  }

  closed(_socket: TLSSocket, error: Error | undefined): void {
    if (error instanceof TLSError && error.code === 'TLS_ERR_CERTIFICATE_REVOKED') {
      // A resumption asks nobody whether the certificate is still good: what is left would go on past the revocation.
      this.#sessions.forget();
    } else if (error instanceof TLSError && (error.alert !== undefined || error.code === 'TLS_ERR_ALERT_RECEIVED')) {
      // Also where the server has proved nothing (see `sessionEnded`): a session over which it fails would keep us out for
      // as long as it lives, and whoever can put an alert into a handshake gains no more than a full handshake.
      this.#sessions.drop();
    }
    this.#sessions.end();
  }

  eraseKeys(): void {
    this.#sessions.erase();
  }

  trustedPath(_socket: TLSSocket, chain: readonly Uint8Array[]): readonly ParsedCertificate[] | undefined {
    return this.#verifier.pathOf(chain);
  }

  ownCertificates(): readonly Uint8Array[] {
    return this.#ownCertificates;
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

  #cacheKey(cache: ClientSessions, host: string): string {
    const { path } = this.#options;
    // Nothing else tells the servers of two pipes apart; and unlike a host's name its case counts.
    const pipe = path ? JSON.stringify(path) : '';
    return cache.key({
      host,
      port: Number(this.#options.port ?? 0),
      serverName: this.#serverName,
      alpnProtocols: this.#alpnProtocols,
      // With whom we can be: to the server a session is proof of it.
      trustPolicy: `${this.#verifier.policyName} ${this.#context.identity} ${this.#pskNames}${pipe}`,
    });
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

function authorityNames({ trust }: SecureContext): readonly Uint8Array[] {
  const { names } = authoritiesOf(trust);
  if (names.length === 0) {
    const why = trust.isDefault ? 'it needs a `ca`, as Node has far too many roots' : 'the names of `ca` are too long';
    throw new TLSError('TLS_ERR_CONFIG', `announceAuthorities: ${why}`);
  }
  return names;
}

/** A name that may stand in server_name: not an address (RFC 6066 §3). */
function sendable(name: string): string {
  const absolute = name.endsWith('.') ? name.slice(0, -1) : name;
  return isIP(absolute) === 0 && !absolute.includes(':') ? absolute : '';
}

function codeOf(problem: Error): string {
  return (problem as NodeJS.ErrnoException).code ?? problem.message;
}

const LINE_END = Buffer.from('\n');
