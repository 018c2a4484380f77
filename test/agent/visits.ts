/**
 * Connections that bring one session, or tell whether a server takes one. OpenSSL sends no new ticket of TLS 1.3 where one was
 * just used.
 */

import * as nodeTls from 'node:tls';
import { closing, only, type Version } from '../node/support.ts';

/** A session that a full handshake brings. */
export async function fullSession(port: number, version: Version): Promise<Buffer> {
  const socket = open(port, version, UNTRUSTED);
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

/**
 * Whether it resumes there; if not, there is a full handshake. No new session is waited for: a member of a fleet that holds a
 * key opens what others sealed before it seals under it itself.
 */
export async function resumes(
  port: number,
  version: Version,
  session: Buffer,
  options: nodeTls.ConnectionOptions = UNTRUSTED,
): Promise<boolean> {
  const socket = open(port, version, { ...options, session });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('secureConnect', () => resolve());
  });
  const reused = socket.isSessionReused();
  await leave(socket);
  return reused;
}

function open(port: number, version: Version, options: nodeTls.ConnectionOptions): nodeTls.TLSSocket {
  return nodeTls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...only(version), ...options });
}

const UNTRUSTED: nodeTls.ConnectionOptions = { rejectUnauthorized: false };

async function leave(socket: nodeTls.TLSSocket): Promise<void> {
  const closed = closing(socket);
  socket.end();
  socket.resume();
  await closed;
}
