/** TLSSocket: a `Duplex` of plaintext over a transport of ciphertext, with the names and meanings of `node:tls`. */

import { Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { HandshakeSummary } from '../actions.ts';
import { parseCertificate } from '../certificates/certificate.ts';
import { type PeerCertificate, peerCertificate, peerCertificateChain } from '../certificates/peer-certificate.ts';
import type { ProtocolVersion } from '../connection-options.ts';
import type { NamedGroup } from '../crypto/groups.ts';
import { TLSError } from '../errors.ts';
import { encodeClientSession } from '../session/client-session.ts';
import { opensslCipherName } from './cipher-names.ts';
import { ClientDriver, type ClientDriverOptions } from './client-driver.ts';
import type { Driver } from './driver.ts';
import { readOption } from './raw-reader.ts';
import { ServerDriver, type ServerDriverOptions } from './server-driver.ts';
import { SocketPump } from './socket-pump.ts';

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

export class TLSSocket extends SocketPump {
  readonly encrypted = true as const;
  /** Client: the server's certificate is trusted and for the right name. */
  authorized = false;
  /** Why not; null when it is. */
  authorizationError: string | Error | null = null;
  /** The agreed application protocol; false when none was, null before the handshake is complete. */
  alpnProtocol: string | false | null = null;
  /** Server: the name that the client asked for; false when it sent none. */
  servername: string | false | null = null;
  server: unknown;
  #summary: HandshakeSummary | undefined;
  #onRenegotiated: ((error: Error | null) => void) | undefined;

  constructor(socket?: Duplex, options: TLSSocketOptions = {}) {
    super(socket, {
      driver: options.driver ?? (options.isServer ? new ServerDriver(options) : new ClientDriver(options)),
      allowHalfOpen: options.allowHalfOpen,
      highWaterMark: options.highWaterMark,
      signal: options.signal,
    });
    this.server = options.server;
    if (socket !== undefined) {
      if ((socket as Partial<Socket>).connecting) {
        socket.once('connect', () => this.startHandshake());
      } else if (this.driver.role === 'server') {
        this.startHandshake();
      } else {
        // As with a connection being opened: the caller has this turn to set things up and add listeners.
        process.nextTick(() => this.startHandshake());
      }
    }
  }

  /** Opens a TCP or pipe connection and starts the handshake over it. Takes `net.Socket.connect`'s options. */
  connect(options: TcpSocketConnectOpts & SocketConstructorOpts, listener?: () => void): this {
    if (this.raw !== undefined) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'connect() was called on a socket that has a transport');
    }
    const onread = readOption();
    // Node reads these three when a socket is made, and not in connect(). Without noDelay, what follows the Finished in
    // a packet of its own waits for the peer's delayed acknowledgement: 40 ms on Linux.
    const { noDelay = true, keepAlive, keepAliveInitialDelay } = options;
    const making = { allowHalfOpen: true, onread, noDelay, keepAlive, keepAliveInitialDelay };
    const raw = new Socket(making as SocketConstructorOpts);
    this.adopt(raw);
    raw.on('lookup', (...args) => this.emit('lookup', ...args));
    for (const event of ['connectionAttempt', 'connectionAttemptFailed', 'connectionAttemptTimeout'] as const) {
      raw.on(event, (...args: unknown[]) => this.emit(event, ...args));
    }
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
  getEphemeralKeyInfo(): { type: string; name: string; size: number } | Record<string, never> | null {
    if (this.driver.role === 'server') {
      return null;
    }
    const group = this.#summary?.namedGroup;
    return group === undefined ? {} : ephemeralKeys[group];
  }

  isSessionReused(): boolean {
    return this.#summary?.resumed ?? false;
  }

  /** The peer's certificate; {} when it sent none. With `detailed`, issuers hang at `issuerCertificate`. */
  getPeerCertificate(detailed = false): PeerCertificate | Record<string, never> {
    return certificateObject(this.#summary?.peerCertificates ?? [], detailed);
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
    if (this.session === undefined || this.session.secret.erased) {
      return undefined;
    }
    const encoded = encodeClientSession(this.session);
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
    const { ticket } = this.session ?? {};
    return ticket === undefined || ticket.length === 0 ? undefined : Buffer.from(ticket);
  }

  /**
   * Keying material for another protocol (RFC 9846 §7.5, RFC 5705).
   * @throws TLSError `TLS_ERR_WRONG_STATE`; in TLS 1.2 without extended master secret `TLS_ERR_EXTENDED_MASTER_SECRET`
   */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer {
    const material = this.openConnection('exportKeyingMaterial').exportKeyingMaterial(label, context, length);
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
   * TLS 1.2: a handshake on the running connection, for fresh keys. True when it was begun: `callback` is then told that it is
   * complete, or that the peer declined. A peer that answers nothing leaves the connection as it was.
   */
  renegotiate(options: { readonly requestCert?: boolean }, callback?: (error: Error | null) => void): boolean {
    try {
      this.#beginRenegotiation(options);
    } catch (error) {
      if (callback !== undefined) {
        process.nextTick(callback, error);
      }
      return false;
    }
    this.#onRenegotiated = callback;
    return true;
  }

  #beginRenegotiation({ requestCert }: { readonly requestCert?: boolean }): void {
    if (this.getProtocol() === 'TLSv1.3') {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'TLS 1.3 has no renegotiation: updateKeys() makes new traffic keys');
    }
    if (requestCert === true) {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'renegotiate: client certificates are not supported yet');
    }
    const connection = this.openConnection('renegotiate');
    this.flush();
    this.perform(connection.startRenegotiation());
  }

  protected override renegotiated(summary: HandshakeSummary): void {
    this.#summary = summary;
    this.emit('secure');
    this.#settleRenegotiation(null);
  }

  protected override renegotiationDeclined(): void {
    this.#settleRenegotiation(
      new TLSError('TLS_ERR_ALERT_RECEIVED', 'the peer declined the renegotiation (no_renegotiation)'),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    super._destroy(error, callback);
    this.#settleRenegotiation(
      error ?? new TLSError('TLS_ERR_WRONG_STATE', 'the connection ended before the renegotiation did'),
    );
  }

  #settleRenegotiation(error: Error | null): void {
    const callback = this.#onRenegotiated;
    this.#onRenegotiated = undefined;
    callback?.(error);
  }

  /** Has no effect: what a peer may renegotiate is set by `clientRenegotiations` and `serverRenegotiations`. */
  disableRenegotiation(): void {}

  enableTrace(): never {
    throw new TLSError(
      'TLS_ERR_NOT_SUPPORTED',
      "enableTrace is not supported: use the 'keylog' event and a packet capture",
    );
  }

  getFinished(): never {
    throw new TLSError(
      'TLS_ERR_NOT_SUPPORTED',
      'Finished messages are not kept: bind to a connection with exportKeyingMaterial()',
    );
  }

  getPeerFinished(): never {
    return this.getFinished();
  }

  getSharedSigalgs(): string[] {
    const scheme = this.#summary?.signatureScheme;
    return scheme === undefined ? [] : [scheme];
  }

  protected override secured(summary: HandshakeSummary): void {
    this.#summary = summary;
    this.alpnProtocol = summary.alpnProtocol === '' ? false : summary.alpnProtocol;
    this.servername = summary.serverName === '' ? false : summary.serverName;
    this.driver.secured(this, summary);
  }

  #clientDriver(what: string): ClientDriver {
    if (!(this.driver instanceof ClientDriver) || this.connection !== undefined) {
      throw new TLSError('TLS_ERR_WRONG_STATE', `${what}() needs a client whose handshake has not begun`);
    }
    return this.driver;
  }
}

function certificateObject(chain: readonly Uint8Array[], detailed: boolean): PeerCertificate | Record<string, never> {
  if (chain.length === 0) {
    return {};
  }
  if (!detailed) {
    return peerCertificate(parseCertificate(chain[0]));
  }
  return peerCertificateChain(chain.map(parseCertificate)) ?? {};
}

const ephemeralKeys: Readonly<Record<NamedGroup, { type: string; name: string; size: number }>> = {
  X25519MLKEM768: { type: 'ECDH', name: 'X25519MLKEM768', size: 253 },
  x25519: { type: 'ECDH', name: 'X25519', size: 253 },
  secp256r1: { type: 'ECDH', name: 'prime256v1', size: 256 },
  secp384r1: { type: 'ECDH', name: 'secp384r1', size: 384 },
  secp521r1: { type: 'ECDH', name: 'secp521r1', size: 521 },
};
