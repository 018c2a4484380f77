/** One connection to a server that does not end it by itself. */

import * as nodeTls from 'node:tls';
import { closing, only, type Version } from '../node/support.ts';

export interface Visit {
  readonly reused: boolean;
  readonly session: Buffer;
}

/** Leaves once it has a session. */
export async function visit(
  port: number,
  version: Version,
  session: Buffer | undefined,
  options: nodeTls.ConnectionOptions,
): Promise<Visit> {
  const socket = nodeTls.connect({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    session,
    ...only(version),
    ...options,
  });
  const found = await new Promise<Visit>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed without a session')));
    if (version === 'TLSv1.3') {
      socket.once('session', (made: Buffer) => resolve({ reused: socket.isSessionReused(), session: made }));
      return;
    }
    socket.once('secureConnect', () => {
      resolve({ reused: socket.isSessionReused(), session: socket.getSession() as Buffer });
    });
  });
  socket.end();
  socket.resume();
  await closing(socket);
  return found;
}
