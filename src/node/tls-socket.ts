/** TLSSocket: a `Duplex` of plaintext over a transport of ciphertext, with the names and meanings of `node:tls`. */

import { Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { HandshakeSummary } from '../actions.ts';
import { ownBuffer } from '../bytes/bytes.ts';
import { parseCertificate, parseReadable } from '../certificates/certificate.ts';
import { type PeerCertificate, peerCertificate, peerCertificateChain } from '../certificates/peer-certificate.ts';
import type { ProtocolVersion } from '../connection-options.ts';
import { type FfdheGroup, ffdheGroups } from '../crypto/dhe-groups.ts';
import type { NamedGroup } from '../crypto/groups.ts';
import { type X509Certificate, x509Chain } from '../crypto/x509.ts';
import { TLSError } from '../errors.ts';
import type { KeyTree } from '../ledger/key-tree.ts';
import { keyLedger } from '../ledger/process-ledger.ts';
import { encodeClientSession } from '../session/client-session.ts';
import { type ChannelBindingType, channelBinding } from './channel-binding.ts';
import { opensslCipherName } from './cipher-names.ts';
import { ClientDriver } from './client-driver.ts';
import type { ClientDriverOptions } from './client-driver-options.ts';
import { isConnecting, readConnectArguments } from './connect-arguments.ts';
import type { Driver } from './driver.ts';
import { passOnOpening, readOption } from './raw-reader.ts';
import { ownPlace, type Place } from './roster.ts';
import type { SecureContext, SecureContextOptions } from './secure-context.ts';
import { ServerDriver } from './server-driver.ts';
import type { ServerDriverOptions } from './server-driver-options.ts';
import { SocketHandshakes } from './socket-handshakes.ts';

export interface TLSSocketOptions extends ClientDriverOptions, Omit<ServerDriverOptions, 'ALPNProtocols'> {
  readonly isServer?: boolean;
  /** The server that `isServer` sockets belong to. */
  readonly server?: unknown;
  readonly allowHalfOpen?: boolean;
  /** Bytes. */
  readonly highWaterMark?: number;
  readonly signal?: AbortSignal;
  /** Ours: takes the place of all options on the handshake. */
  readonly driver?: Driver;
}

export class TLSSocket extends SocketHandshakes {
  readonly encrypted = true as const;
  /**
   * Client: the server's certificate is trusted and for the right name. Server: the client has proved to hold the key of a
   * certificate that is trusted.
   */
  authorized = false;
  /** Why not; null when it is, and at a server that did not ask. */
  authorizationError: string | Error | null = null;
  /** The agreed application protocol; false when none was, null before the handshake is complete. */
  alpnProtocol: string | false | null = null;
  /** Server: the name that the client asked for; false when it sent none. */
  servername: string | false | null = null;
  server: unknown;
  /** @internal Among the open sockets of its server. */
  [ownPlace]: Place<TLSSocket> | undefined;
  #summary: HandshakeSummary | undefined;

  constructor(socket?: Duplex | null, options: TLSSocketOptions = {}) {
    super(socket ?? undefined, {
      driver: options.driver ?? (options.isServer ? new ServerDriver(options) : new ClientDriver(options)),
      allowHalfOpen: options.allowHalfOpen,
      highWaterMark: options.highWaterMark,
      signal: options.signal,
    });
    this.server = options.server;
    if (socket) {
      if (isConnecting(socket)) {
        socket.once('connect', () => {
          this.emit('connect');
          this.startHandshake();
        });
      } else if (this.driver.role === 'server') {
        this.startHandshake();
      } else {
        // As with a connection being opened: the caller has this turn to set things up and add listeners.
        process.nextTick(() => this.startHandshake());
      }
    }
  }

  /**
   * Opens a TCP or pipe connection and starts the handshake over it. Takes `net.Socket.connect`'s options, or its port and
   * host.
   */
  connect(options: TcpSocketConnectOpts & SocketConstructorOpts, listener?: () => void): this;
  connect(port: number, host?: string, listener?: () => void): this;
  connect(port: number, listener?: () => void): this;
  connect(path: string, listener?: () => void): this;
  connect(...args: unknown[]): this {
    const { options, listener } = readConnectArguments<TcpSocketConnectOpts & SocketConstructorOpts>(args);
    if (this.raw !== undefined) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'connect() was called on a socket that has a transport');
    }
    if (this.destroyed) {
      // By a `signal` that was aborted before: nobody would ever end what were opened now.
      return this;
    }
    const onread = readOption();
    // Node reads these when a socket is made, and not in connect(). Without noDelay, what follows the Finished in
    // a packet of its own waits for the peer's delayed acknowledgement: 40 ms on Linux.
    const { noDelay = true, keepAlive, keepAliveInitialDelay, blockList } = options;
    const { typeOfService } = options as { typeOfService?: number };
    const making = {
      allowHalfOpen: true,
      // What Node adds to its copy is there already: with Node 20 the copy would have a hidden class of its own each time.
      emitClose: false,
      autoDestroy: true,
      decodeStrings: false,
      onread,
      noDelay,
      keepAlive,
      keepAliveInitialDelay,
      blockList,
      typeOfService,
    };
    const raw = new Socket(making as SocketConstructorOpts);
    this.adopt(raw);
    passOnOpening(raw);
    raw.once('connect', () => {
      this.emit('connect');
      this.emit('ready');
      this.startHandshake();
    });
    if (listener !== undefined) {
      this.once('connect', listener);
    }
    raw.connect(options);
    return this;
  }

  /** What was agreed and measured, once the handshake is complete; for status pages and tools. */
  get mayfly(): HandshakeSummary | undefined {
    return this.#summary;
  }

  getProtocol(): ProtocolVersion | null {
    return this.#summary?.version ?? null;
  }

  getCipher(): { name: string; standardName: string; version: string } | Record<string, never> {
    const summary = this.#summary;
    if (summary === undefined) {
      return {};
    }
    const { cipherSuite, version } = summary;
    return { name: opensslCipherName(cipherSuite), standardName: cipherSuite, version };
  }

  /**
   * At a client; null at a server, {} before the handshake is complete and where it had no key exchange (TLS 1.2, resumed).
   * `size` is in bits.
   */
  getEphemeralKeyInfo(): { type: string; name?: string; size: number } | Record<string, never> | null {
    if (this.driver.role === 'server') {
      return null;
    }
    const group = this.#summary?.namedGroup;
    if (group === undefined) {
      return {};
    }
    return group in ephemeralKeys
      ? ephemeralKeys[group as NamedGroup]
      : { type: 'DH', size: 8 * ffdheGroups[group as FfdheGroup].length };
  }

  isSessionReused(): boolean {
    return this.#summary?.resumed ?? false;
  }

  /**
   * The peer's certificate; {} when it sent none. With `detailed`, issuers hang at `issuerCertificate`: up to the root where
   * one is trusted, else those that the peer sent.
   */
  getPeerCertificate(detailed = false): PeerCertificate | Record<string, never> {
    const chain = this.#summary?.peerCertificates ?? [];
    const path = detailed && chain.length > 0 ? this.driver.trustedPath(this, chain) : undefined;
    return (path && peerCertificateChain(path)) ?? certificateObject(chain, detailed);
  }

  /** The same as an object of `node:crypto`, whose issuers hang at `issuerCertificate`; undefined when the peer sent none. */
  getPeerX509Certificate(): X509Certificate | undefined {
    return x509Chain(this.#summary?.peerCertificates ?? []);
  }

  /** The same of our own. */
  getX509Certificate(): X509Certificate | undefined {
    return x509Chain(this.driver.ownCertificates(this));
  }

  /** Our own certificate; {} when we sent none. */
  getCertificate(): PeerCertificate | Record<string, never> {
    return certificateObject(this.driver.ownCertificates(this), false);
  }

  /**
   * A client's newest session, for the `session` option of a later connect. It holds a secret: keep it as you would
   * keep a key. In TLS 1.3 it comes after the handshake: wait for 'session'. In TLS 1.2 it is that of this connection.
   */
  getSession(): Buffer | undefined {
    if (this.newestSession === undefined || this.newestSession.secret.erased) {
      return undefined;
    }
    const encoded = encodeClientSession(this.newestSession);
    const copy = encoded.use((bytes) => {
      const buffer = Buffer.alloc(bytes.length);
      buffer.set(bytes);
      return buffer;
    });
    encoded.erase('handed out');
    return copy;
  }

  /** The ticket of that session; undefined for one that is resumed by its ID. */
  getTLSTicket(): Buffer | undefined {
    const { ticket } = this.newestSession ?? {};
    return ticket === undefined || ticket.length === 0 ? undefined : ownBuffer(ticket);
  }

  /**
   * Keying material for another protocol (RFC 9846 §7.5, RFC 5705), `length` bytes. In TLS 1.2 an empty context is another one
   * than none.
   * @throws TLSError `TLS_ERR_WRONG_STATE` before the handshake is complete and after the end; in TLS 1.2 without extended
   * master secret `TLS_ERR_EXTENDED_MASTER_SECRET`; TypeError and RangeError with the codes of `node:tls`
   */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer {
    checkExporterArguments(length, label, context);
    const connection = this.connection ?? this.openConnection('exportKeyingMaterial');
    const material = connection.exportKeyingMaterial(label, context, length);
    return Buffer.from(material.buffer, material.byteOffset, material.length);
  }

  /**
   * Ours: makes new traffic keys for our side, and asks the peer to do so for its own.
   * @throws TLSError `TLS_ERR_WRONG_STATE`; `TLS_ERR_NOT_SUPPORTED` in TLS 1.2
   */
  override updateKeys(requestPeer = true): void {
    if (this.#summary?.version === 'TLSv1.2') {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'TLS 1.2 has no KeyUpdate: renegotiate() makes new traffic keys');
    }
    super.updateKeys(requestPeer);
  }

  /** The name to send, before the handshake starts. */
  setServername(name: string): void {
    this.#clientDriver('setServername').setServername(name);
  }

  /** The session to offer, before the handshake starts. */
  setSession(session: Uint8Array): void {
    this.#clientDriver('setSession').setSession(session);
  }

  /**
   * At a server: the certificate and key for this connection alone, for as long as it has not chosen any. In an `ALPNCallback` or
   * `SNICallback` the socket is `this`. What else the context says is not heeded.
   * @throws TLSError `TLS_ERR_WRONG_STATE`; `TLS_ERR_CONFIG` without a certificate; as `createSecureContext`
   */
  setKeyCert(context: SecureContext | SecureContextOptions): void {
    const { state = 'ExpectClientHello' } = this.connection ?? {};
    const isChosen = this.destroyed || (state !== 'ExpectClientHello' && state !== 'AwaitContext');
    if (this.driver.role === 'server' && isChosen) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'setKeyCert(): the certificate of this connection is chosen already');
    }
    this.driver.setKeyCert(this, context);
  }

  protected override reauthenticated(summary: HandshakeSummary): void {
    this.#summary = summary;
    this.driver.reauthenticated(this, summary);
    if (this.destroyed) {
      return;
    }
    this.emit('secure');
    this.answered(null);
  }

  /** Has no effect: what a peer may renegotiate is set by `clientRenegotiations` and `serverRenegotiations`. */
  disableRenegotiation(): void {}

  enableTrace(): never {
    throw new TLSError(
      'TLS_ERR_NOT_SUPPORTED',
      "enableTrace is not supported: use the 'keylog' event and a packet capture",
    );
  }

  /**
   * Ours: bytes that this connection alone has, for authentication above TLS. 'tls-exporter' (RFC 9266) is the one to use;
   * 'tls-unique' is of TLS 1.2, and 'tls-server-end-point' (RFC 5929) binds to the server's certificate only.
   * @throws TLSError `TLS_ERR_WRONG_STATE`; `TLS_ERR_NOT_SUPPORTED` not defined for this version or certificate;
   * `TLS_ERR_EXTENDED_MASTER_SECRET`
   */
  getChannelBinding(type: ChannelBindingType): Buffer {
    const { connection } = this;
    const summary = this.#summary;
    if (connection === undefined || summary === undefined) {
      throw new TLSError(
        'TLS_ERR_WRONG_STATE',
        'there is no channel binding before the handshake is complete, nor after the end',
      );
    }
    const { peerCertificates } = summary;
    const chain = () => (this.driver.role === 'client' ? peerCertificates : this.driver.ownCertificates(this));
    const binding = channelBinding(type, connection, summary, () => chain()[0]);
    return Buffer.from(binding.buffer, binding.byteOffset, binding.length);
  }

  /**
   * What our Finished of the latest handshake said; undefined before the handshake is complete. In TLS 1.3 both ends' are
   * kept too, but bind nothing by themselves that `getChannelBinding` does not bind better.
   */
  getFinished(): Buffer | undefined {
    return this.#verifyData(this.driver.role);
  }

  /** The same of the peer's Finished. */
  getPeerFinished(): Buffer | undefined {
    return this.#verifyData(this.driver.role === 'client' ? 'server' : 'client');
  }

  #verifyData(role: 'client' | 'server'): Buffer | undefined {
    const verifyData = this.connection?.verifyData(role);
    return verifyData === undefined ? undefined : ownBuffer(verifyData);
  }

  /**
   * Ours: the secrets of this connection as the ledger knows them, from the key exchange to the record keys: which was made
   * from which, what they were used for, when they ended and why; never their bytes. Also after its end, until the ledger has
   * to make room. Undefined unless `startKeyLedger()` was called before the handshake began.
   */
  keyLedger(): KeyTree | undefined {
    const { secretOwner } = this;
    return secretOwner === undefined ? undefined : keyLedger()?.tree(secretOwner);
  }

  /** Ours, at a client: SerializedSCTs that came by TLS because of `requestSCTs`; empty for none, and when resumed. */
  get signedCertificateTimestamps(): Buffer[] {
    return (this.#summary?.signedCertificateTimestamps ?? []).map((timestamp) => ownBuffer(timestamp));
  }

  getSharedSigalgs(): string[] {
    const scheme = this.#summary?.signatureScheme;
    return scheme === undefined ? [] : [scheme];
  }

  protected override foretold(summary: HandshakeSummary): void {
    this.#summary = summary;
    this.alpnProtocol = summary.alpnProtocol === '' ? false : summary.alpnProtocol;
    this.servername = summary.serverName === '' ? false : summary.serverName;
  }

  protected override secured(summary: HandshakeSummary): void {
    this.foretold(summary);
    this.driver.secured(this, summary);
  }

  #clientDriver(what: string): ClientDriver {
    if (!(this.driver instanceof ClientDriver) || this.connection !== undefined || this.destroyed) {
      throw new TLSError('TLS_ERR_WRONG_STATE', `${what}() needs a client whose handshake has not begun`);
    }
    return this.driver;
  }
}

/** As `node:tls` checks them, and with its codes. */
function checkExporterArguments(length: unknown, label: unknown, context: unknown): void {
  if (typeof length !== 'number') {
    throw withCode('ERR_INVALID_ARG_TYPE', new TypeError(`length: expected a number, got ${typeof length}`));
  }
  if (!Number.isInteger(length) || length < 1 || length > 0xffff_ffff) {
    throw withCode('ERR_OUT_OF_RANGE', new RangeError(`length: expected an integer from 1 to 2^32 - 1, got ${length}`));
  }
  if (typeof label !== 'string') {
    throw withCode('ERR_INVALID_ARG_TYPE', new TypeError(`label: expected a string, got ${typeof label}`));
  }
  if (context !== undefined && !ArrayBuffer.isView(context)) {
    throw withCode('ERR_INVALID_ARG_TYPE', new TypeError(`context: expected bytes, got ${typeof context}`));
  }
}

function withCode(code: string, error: Error): Error {
  return Object.assign(error, { code });
}

function certificateObject(chain: readonly Uint8Array[], detailed: boolean): PeerCertificate | Record<string, never> {
  if (chain.length === 0) {
    return {};
  }
  if (!detailed) {
    return peerCertificate(parseCertificate(chain[0]));
  }
  return peerCertificateChain(parseReadable(chain)) ?? {};
}

const ephemeralKeys: Readonly<Record<NamedGroup, { type: string; name: string; size: number }>> = {
  X25519MLKEM768: { type: 'ECDH', name: 'X25519MLKEM768', size: 253 },
  x25519: { type: 'ECDH', name: 'X25519', size: 253 },
  secp256r1: { type: 'ECDH', name: 'prime256v1', size: 256 },
  secp384r1: { type: 'ECDH', name: 'secp384r1', size: 384 },
  secp521r1: { type: 'ECDH', name: 'secp521r1', size: 521 },
};
