/** `tls.connect`: a client's socket, its transport opened here or given. */

import type { BlockList, SocketConstructorOpts, TcpSocketConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClientDriverOptions } from './client-driver-options.ts';
import { readConnectArguments } from './connect-arguments.ts';
import { TLSSocket } from './tls-socket.ts';

export interface ConnectionOptions
  extends ClientDriverOptions,
    Partial<Omit<TcpSocketConnectOpts, 'host' | 'port' | 'onread'>> {
  /** A pipe or Unix domain socket instead of host and port. */
  readonly path?: string;
  /** A transport that is there: any Duplex. */
  readonly socket?: Duplex;
  readonly allowHalfOpen?: boolean;
  /** Addresses that are not connected to, where this Node has it. */
  readonly blockList?: BlockList;
  /** Of IP, 0 to 255, where this Node has it. */
  readonly typeOfService?: number;
  /** Milliseconds without activity until 'timeout'. */
  readonly timeout?: number;
  /** Bytes. */
  readonly highWaterMark?: number;
  readonly signal?: AbortSignal;
}

type Listener = () => void;

/**
 * Connects; `listener` hears 'secureConnect'. Failures of the options are thrown, all others come as 'error'.
 * @throws TLSError `TLS_ERR_CONFIG`, `TLS_ERR_NOT_SUPPORTED`
 */
export function connect(options: ConnectionOptions, listener?: Listener): TLSSocket;
export function connect(port: number, host?: string, options?: ConnectionOptions, listener?: Listener): TLSSocket;
export function connect(port: number, options?: ConnectionOptions, listener?: Listener): TLSSocket;
export function connect(path: string, options?: ConnectionOptions, listener?: Listener): TLSSocket;
export function connect(...args: unknown[]): TLSSocket {
  const { options, listener } = readConnectArguments<ConnectionOptions>(args);
  // As in node:tls, null means none.
  const transport = options.socket ?? undefined;
  const given = transport as (Duplex & { _host?: string }) | undefined;
  const host = options.host ?? (given?._host || undefined);
  const socket = new TLSSocket(transport, host === options.host ? options : Object.assign({}, options, { host }));
  if (listener !== undefined) {
    socket.once('secureConnect', listener);
  }
  if (options.timeout) {
    socket.setTimeout(options.timeout);
  }
  if (transport === undefined) {
    socket.connect(withoutSignal(options) as TcpSocketConnectOpts & SocketConstructorOpts);
  }
  return socket;
}

/** The signal is the TLSSocket's: it ends its transport too. */
function withoutSignal(options: ConnectionOptions): ConnectionOptions {
  if (options.signal === undefined) {
    return options;
  }
  const { signal: _, ...opening } = options;
  return opening;
}
