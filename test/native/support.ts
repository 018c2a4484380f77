/** Servers of Node's own modules on loopback, and clients that keep their sessions. */

import { once } from 'node:events';
import * as nodeTls from 'node:tls';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { systemClock } from '../../src/node/clock.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { only, serverOptions, trust, type Version } from '../node/support.ts';

export function newRing(): LocalTicketKeys {
  return new LocalTicketKeys({ provider: nodeProvider, clock: systemClock });
}

/** Ends each connection after one byte, so that tickets have been sent before. */
export function nativeServer(options: nodeTls.TlsOptions = {}): nodeTls.Server {
  return nodeTls.createServer({ ...serverOptions, ...options }, (socket) => {
    socket.on('error', () => {});
    socket.end('x');
  });
}

export interface Visit {
  readonly reused: boolean;
  /** The newest session, once the server has said all. */
  readonly session: Buffer | undefined;
}

/** One connection, up to its end. */
export async function visit(
  port: number,
  version: Version,
  session?: Buffer,
  options: nodeTls.ConnectionOptions = {},
): Promise<Visit> {
  const socket = nodeTls.connect({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    session,
    ...trust,
    ...only(version),
    ...options,
  });
  let newest: Buffer | undefined;
  socket.on('session', (made: Buffer) => {
    newest = made;
  });
  let reused = false;
  socket.on('secureConnect', () => {
    reused = socket.isSessionReused();
  });
  socket.resume();
  await once(socket, 'close');
  return { reused, session: newest };
}
