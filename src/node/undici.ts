/**
 * A connector for undici's dispatchers, and through them for `fetch`:
 *
 *     const agent = new Agent({ connect: createConnector({ ca }) });
 *     await fetch('https://localhost:8443/', { dispatcher: agent });
 */

import { connect as netConnect, type Socket } from 'node:net';
import { ClientSessions } from './client-sessions.ts';
import { type ConnectionOptions, connect } from './tls-connect.ts';
import type { TLSSocket } from './tls-socket.ts';

export interface ConnectorOptions extends ConnectionOptions {
  /** Offer HTTP/2 beside HTTP/1.1. Default false. */
  readonly allowH2?: boolean;
  /** Milliseconds until a connection must stand. Default 10000. */
  readonly timeout?: number;
  /** Default: a cache of the connector's own. */
  readonly sessionCache?: ClientSessions;
}

/** What undici asks for. */
export interface ConnectorTarget {
  readonly hostname: string;
  readonly host?: string;
  readonly protocol: string;
  readonly port: string;
  readonly servername?: string | null;
  readonly localAddress?: string | null;
  readonly httpSocket?: Socket;
}

/** As undici's types have it; with `https:` the socket is a TLSSocket of ours. */
export type ConnectorCallback = (...told: [error: null, socket: Socket] | [error: Error, socket: null]) => void;

export function createConnector(
  options: ConnectorOptions = {},
): (target: ConnectorTarget, callback: ConnectorCallback) => void {
  const { allowH2 = false, timeout = 10_000, sessionCache = new ClientSessions(), ...rest } = options;
  const ALPNProtocols = rest.ALPNProtocols ?? (allowH2 ? ['h2', 'http/1.1'] : ['http/1.1']);
  return (target, callback) => {
    const { hostname, protocol, port, localAddress, httpSocket } = target;
    const host = hostname.replace(/^\[|\]$/g, '');
    let socket: TLSSocket | Socket;
    let ready: 'secureConnect' | 'connect';
    if (protocol === 'https:') {
      const servername = target.servername || rest.servername;
      socket = connect({
        // As over node:tls: many servers end idle connections without close_notify.
        allowTruncation: true,
        requestTickets: { newSession: 6, resumption: 1 },
        shareHandshakes: true,
        ...rest,
        host,
        port: Number(port || 443),
        ALPNProtocols,
        sessionCache,
        ...(servername ? { servername } : {}),
        ...(localAddress ? { localAddress } : {}),
        ...(httpSocket ? { socket: httpSocket } : {}),
      });
      ready = 'secureConnect';
    } else {
      socket = netConnect({ host, port: Number(port || 80), ...(localAddress ? { localAddress } : {}) });
      ready = 'connect';
    }
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
    settleOnce({ socket, ready, timeout, callback, where: `${host}:${port}` });
  };
}

interface Settling {
  readonly socket: TLSSocket | Socket;
  readonly ready: 'secureConnect' | 'connect';
  readonly timeout: number;
  readonly callback: ConnectorCallback;
  readonly where: string;
}

function settleOnce({ socket, ready, timeout, callback, where }: Settling): void {
  const timer = timeout > 0 ? setTimeout(onTimeout, timeout) : undefined;
  function onTimeout(): void {
    const error: NodeJS.ErrnoException = new Error(`no connection to ${where} within ${timeout} ms`);
    error.code = 'UND_ERR_CONNECT_TIMEOUT';
    socket.destroy(error);
  }
  function onReady(): void {
    clearTimeout(timer);
    socket.removeListener('error', onError);
    callback(null, socket as Socket);
  }
  function onError(error: Error): void {
    clearTimeout(timer);
    socket.removeListener(ready, onReady);
    callback(error, null);
  }
  socket.once(ready, onReady);
  socket.once('error', onError);
}
