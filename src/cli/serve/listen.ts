/**
 * Binds one TLS server to what `HOST:PORT` stands for. `localhost` is both 127.0.0.1 and ::1: browsers pick either, so
 * the second address gets a TCP server of its own that feeds the same TLS server, and with it the same ticket keys.
 */

import { type TcpServer, type TcpSocket, tcpServer } from '../../node/plain.ts';
import { type Address, formatAddress } from '../address.ts';
import { errorCode, listenProblem } from '../problem.ts';

interface Bindable {
  listen(options: { host: string; port: number }): unknown;
  once(event: string, listener: (error: Error) => void): unknown;
  removeListener(event: string, listener: (error: Error) => void): unknown;
}

/** The part of a server of `node:net` or of Mayfly that listening needs. */
export interface Listenable extends Bindable {
  close(callback?: () => void): unknown;
  address(): { address: string; port: number } | string | null;
  emit(event: 'connection', socket: TcpSocket): boolean;
}

export interface Listener {
  /** Where it listens, with the real port. */
  readonly addresses: readonly Address[];
  /** Stops accepting; open connections go on. */
  stop(): void;
}

/** @throws Problem `port_busy`, `cannot_listen` */
export async function listen(server: Listenable, wanted: Address, flag: string): Promise<Listener> {
  const isLocalhost = wanted.host.toLowerCase() === 'localhost';
  const first = { host: isLocalhost ? '127.0.0.1' : wanted.host, port: wanted.port };
  await bind(server, first, flag);
  const bound = server.address();
  const port = bound !== null && typeof bound === 'object' ? bound.port : wanted.port;
  const addresses: Address[] = [{ host: first.host, port }];

  const second = isLocalhost ? await bindSecond(server, port, flag) : undefined;
  if (second !== undefined) {
    addresses.push({ host: '::1', port });
  }
  return {
    addresses,
    stop() {
      second?.close();
      server.close();
    },
  };
}

async function bindSecond(server: Listenable, port: number, flag: string): Promise<TcpServer | undefined> {
  const second = tcpServer((socket) => {
    socket.setNoDelay(true);
    server.emit('connection', socket);
  });
  try {
    await bind(second, { host: '::1', port }, flag);
    return second;
  } catch (error) {
    // A machine without IPv6 is served on 127.0.0.1 alone.
    const code = errorCode((error as Error).cause);
    if (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT') {
      return undefined;
    }
    server.close();
    throw error;
  }
}

function bind(server: Bindable, at: Address, flag: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => {
      server.removeListener('listening', listening);
      reject(listenProblem(formatAddress(at), flag, error));
    };
    const listening = () => {
      server.removeListener('error', failed);
      resolve();
    };
    server.once('error', failed);
    server.once('listening', listening);
    server.listen({ host: at.host, port: at.port });
  });
}
