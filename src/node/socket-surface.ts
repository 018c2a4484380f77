/** The part of `net.Socket`'s surface that a TLSSocket has from its transport: addresses, timers, TCP options, counts. */

import { type AddressInfo, Socket } from 'node:net';
import { Duplex, type DuplexOptions } from 'node:stream';
import { TLSError } from '../errors.ts';

export abstract class SocketSurface extends Duplex {
  /** The transport: undefined before `connect`. */
  protected raw: Duplex | undefined;
  /** How many times a server has looked since something came or went. */
  idleSweeps = 0;
  /** Whose socket it is has said so: as long as it likes. */
  timeless = false;
  #timeout = 0;
  #timer: NodeJS.Timeout | undefined;

  protected constructor(raw: Duplex | undefined, options: DuplexOptions) {
    super(options);
    this.raw = raw;
  }

  get remoteAddress(): string | undefined {
    return this.#socket?.remoteAddress;
  }

  get remoteFamily(): string | undefined {
    return this.#socket?.remoteFamily;
  }

  get remotePort(): number | undefined {
    return this.#socket?.remotePort;
  }

  get localAddress(): string | undefined {
    return this.#socket?.localAddress;
  }

  get localPort(): number | undefined {
    return this.#socket?.localPort;
  }

  get localFamily(): string | undefined {
    return this.#socket?.localFamily;
  }

  address(): AddressInfo | Record<string, never> {
    return (this.#socket?.address() ?? {}) as AddressInfo;
  }

  /** The transport is not connected yet. */
  get connecting(): boolean {
    return this.#socket?.connecting ?? false;
  }

  get pending(): boolean {
    return this.#socket?.pending ?? this.raw === undefined;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) {
      return 'opening';
    }
    if (this.readable) {
      return this.writable ? 'open' : 'readOnly';
    }
    return this.writable ? 'writeOnly' : 'closed';
  }

  /** Bytes that wait to be sent, in this stream and in its transport. */
  get bufferSize(): number {
    return this.writableLength + (this.raw?.writableLength ?? 0);
  }

  get timeout(): number | undefined {
    return this.#timeout || undefined;
  }

  setTimeout(ms: number, callback?: () => void): this {
    if (typeof ms !== 'number' || !(ms >= 0)) {
      throw new RangeError(`the time-out must be a number of milliseconds of at least 0, got ${String(ms)}`);
    }
    if (this.destroyed) {
      return this;
    }
    this.#timeout = ms;
    this.timeless = ms === 0 && !this.#isOfHttp;
    if (this.#socket !== undefined) {
      this.#socket.setTimeout(ms);
    } else {
      this.#startTimer();
    }
    if (callback !== undefined) {
      if (ms === 0) {
        this.removeListener('timeout', callback);
      } else {
        this.once('timeout', callback);
      }
    }
    return this;
  }

  /** Something came or went. */
  protected touch(): void {
    this.idleSweeps = 0;
    this.#timer?.refresh();
  }

  /** A transport was given after a time-out had been set. */
  protected adoptTimeout(): void {
    if (this.#timeout > 0) {
      this.setTimeout(this.#timeout);
    }
  }

  protected clearTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  setNoDelay(noDelay = true): this {
    this.#socket?.setNoDelay(noDelay);
    return this;
  }

  /**
   * The type of service of IP, 0 to 255, of a transport that is there.
   * @throws TLSError `TLS_ERR_NOT_SUPPORTED` where this Node has no such thing
   */
  setTypeOfService(tos: number): this {
    this.#ofService?.setTypeOfService(tos);
    return this;
  }

  /** @throws TLSError as `setTypeOfService` */
  getTypeOfService(): number {
    return this.#ofService?.getTypeOfService() ?? 0;
  }

  setKeepAlive(enable = false, initialDelay = 0): this {
    this.#socket?.setKeepAlive(enable, initialDelay);
    return this;
  }

  ref(): this {
    this.#refable?.ref();
    return this;
  }

  unref(): this {
    this.#refable?.unref();
    return this;
  }

  /** Ends the writing side and destroys the socket once all is written. */
  destroySoon(): void {
    if (this.writable) {
      this.end();
    }
    if (this.writableFinished) {
      this.destroy();
    } else {
      this.once('finish', this.destroy);
    }
  }

  resetAndDestroy(): this {
    const socket = this.#socket;
    if (socket instanceof Socket && !socket.destroyed) {
      socket.resetAndDestroy();
    }
    return this.destroy();
  }

  get #socket(): Socket | undefined {
    const raw = this.raw;
    return raw instanceof Socket || raw instanceof SocketSurface ? (raw as Socket) : undefined;
  }

  get #ofService(): { setTypeOfService(tos: number): unknown; getTypeOfService(): number } | undefined {
    if (!('setTypeOfService' in Socket.prototype)) {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', `Node ${process.version} has no type of service`);
    }
    return this.#socket as never;
  }

  /** The server of HTTP/1, which sets time-outs for its own ends, has not handed it to anybody. */
  get #isOfHttp(): boolean {
    return Boolean((this as { parser?: unknown }).parser);
  }

  get #refable(): { ref(): unknown; unref(): unknown } | undefined {
    const raw = this.raw as { ref?: unknown; unref?: unknown } | undefined;
    return typeof raw?.ref === 'function' && typeof raw.unref === 'function'
      ? (raw as { ref(): unknown; unref(): unknown })
      : undefined;
  }

  #startTimer(): void {
    this.clearTimer();
    if (this.#timeout > 0 && this.raw !== undefined) {
      this.#timer = setTimeout(() => this.emit('timeout'), this.#timeout);
      this.#timer.unref();
    }
  }
}
