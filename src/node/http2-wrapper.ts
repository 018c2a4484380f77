/**
 * Node runs HTTP/2 over a transport that is not its own through a wrapper, whose class has no public name. Here it is found
 * and taught what it lacks: to wait for the handshake, to show what TLSSockets show, and to survive a peer that hangs up
 * while streams are open. Node takes two things for bugs of its own and ends the process: a write while another, or the
 * end, is still under way.
 */

import { type Http2Session, performServerHandshake } from 'node:http2';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { TLSSocket } from './tls-socket.ts';

/** What of it is used here. */
export interface Wrapper extends Socket {
  readonly stream: TLSSocket;
  readonly _handle: object | null;
  doWrite(request: unknown, buffers: unknown): number;
  doShutdown(request: unknown): number;
  finishShutdown(handle: object | null, status: number): void;
}

type WrapperClass = new (stream: TLSSocket) => Wrapper;

let wrapperClass: WrapperClass | undefined;

/** To be given to Node in the place of `socket`. */
export function wrap(socket: TLSSocket): Wrapper {
  wrapperClass ??= guarded(nodesClass());
  return new wrapperClass(socket);
}

/** The wrapper that a session shows as its socket: by a proxy, of which this method of EventEmitter returns what is behind it. */
export function wrapperOf(session: Http2Session): Wrapper {
  const shown = session.socket;
  return shown.setMaxListeners(shown.getMaxListeners()) as Wrapper;
}

/** By a session that leads nowhere. */
function nodesClass(): WrapperClass {
  const nowhere = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const session = performServerHandshake(nowhere);
  const { constructor: nodes } = wrapperOf(session);
  session.destroy();
  return nodes as unknown as WrapperClass;
}

function guarded(nodes: WrapperClass): WrapperClass {
  class GuardedWrapper extends nodes {
    constructor(socket: TLSSocket) {
      super(socket);
      // When a connection breaks, Node ends the session with a last GOAWAY: by then the wrapper is gone.
      socket.prependListener('error', () => this.destroy());
      this.once('close', forgetListeners);
    }

    /** A stream that ends beside the session's own end sends RST_STREAM: that comes too late, and is told so. */
    override doWrite(request: unknown, buffers: unknown): number {
      return isBusy(this) ? UV_EPIPE : super.doWrite(request, buffers);
    }

    /** Before the handshake is over there is nothing that the end would have to wait for. */
    override doShutdown(request: unknown): number {
      const { _handle: handle, stream } = this;
      const status = super.doShutdown(request);
      if (stream.secureConnecting) {
        process.nextTick(() => this.finishShutdown(handle, 0));
      }
      return status;
    }

    /** Whether the process stays for the sake of a session is its socket's to say: the wrapper has nothing that would keep it. */
    override ref(): this {
      this.stream.ref();
      return this;
    }

    override unref(): this {
      this.stream.unref();
      return this;
    }
  }
  for (const name of LENT_PROPERTIES) {
    Object.defineProperty(GuardedWrapper.prototype, name, {
      get(this: Wrapper) {
        return this.stream?.[name];
      },
      // Node's sockets begin with some of them empty.
      set() {},
    });
  }
  for (const name of LENT_METHODS) {
    Object.defineProperty(GuardedWrapper.prototype, name, {
      value(this: Wrapper, ...args: unknown[]): unknown {
        return (this.stream[name] as (...given: unknown[]) => unknown)(...args);
      },
    });
  }
  return GuardedWrapper;
}

function isBusy(wrapper: Wrapper): boolean {
  const fields = wrapper as unknown as Record<symbol, unknown>;
  requests ??= Object.getOwnPropertySymbols(wrapper).filter(({ description }) => REQUESTS.has(description));
  return requests.some((field) => fields[field] !== null);
}

let requests: readonly symbol[] | undefined;
const REQUESTS: ReadonlySet<string | undefined> = new Set(['kCurrentWriteRequest', 'kCurrentShutdownRequest']);
const UV_EPIPE = -32;

/**
 * What closes the wrapper's handle V8 puts into the old generation, from where it holds the wrapper until the next full
 * collection; and to the wrapper listens the session, with all that an application hung on it.
 */
function forgetListeners(this: Duplex): void {
  this.removeAllListeners();
  // The transport beneath may fail later than this.
  this.on('error', ignore);
}

function ignore(): void {}

const LENT_PROPERTIES = [
  'encrypted',
  // A session that is made while it is true waits for 'connect'.
  'secureConnecting',
  'authorized',
  'authorizationError',
  'alpnProtocol',
  'servername',
  'server',
  'mayfly',
  'remoteAddress',
  'remotePort',
  'remoteFamily',
  'localAddress',
  'localPort',
  'localFamily',
] as const;

const LENT_METHODS = [
  'address',
  'disableRenegotiation',
  'enableTrace',
  'exportKeyingMaterial',
  'getCertificate',
  'getChannelBinding',
  'getCipher',
  'getEphemeralKeyInfo',
  'getFinished',
  'getPeerCertificate',
  'getPeerFinished',
  'getPeerX509Certificate',
  'getProtocol',
  'getSession',
  'getSharedSigalgs',
  'getTLSTicket',
  'getX509Certificate',
  'isSessionReused',
  'keyLedger',
  'renegotiate',
  'setMaxSendFragment',
] as const;
