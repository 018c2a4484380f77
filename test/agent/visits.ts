/** Connections to servers that drive OpenSSL, which sends no new ticket of TLS 1.3 where one was just used. */

import * as nodeTls from 'node:tls';
import { closing, only, type Version } from '../node/support.ts';

/** A session that a full handshake brings. */
export async function fullSession(port: number, version: Version): Promise<Buffer> {
  const socket = open(port, version, undefined);
  const session = new Promise<Buffer>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed without a session')));
    socket.once('session', resolve);
  });
  try {
    return await session;
  } finally {
    await leave(socket);
  }
}

/** Whether it resumes there; if not, there is a full handshake. */
export async function resumes(port: number, version: Version, session: Buffer): Promise<boolean> {
  const socket = open(port, version, session);
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('secureConnect', () => resolve());
  });
  const reused = socket.isSessionReused();
  await leave(socket);
  return reused;
}

function open(port: number, version: Version, session: Buffer | undefined): nodeTls.TLSSocket {
  return nodeTls.connect({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    session,
    rejectUnauthorized: false,
    ...only(version),
  });
}

async function leave(socket: nodeTls.TLSSocket): Promise<void> {
  const closed = closing(socket);
  socket.end();
  socket.resume();
  await closed;
}
