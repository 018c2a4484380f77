/** One connection to a server that does not end it by itself. */

import * as nodeTls from 'node:tls';
import { closing, only, type Version } from '../node/support.ts';

export interface Visit {
  readonly reused: boolean;
  readonly session: Buffer;
}

/** Leaves once it has a session. Fails when none comes: a server without a key to seal with sends no ticket. */
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
    const leave = (made: Buffer) => resolve({ reused: socket.isSessionReused(), session: made });
    const guard = setTimeout(() => socket.destroy(new Error(`no ticket within ${GUARD} ms`)), GUARD);
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(guard);
      reject(new Error('closed without a session'));
    });
    if (version === 'TLSv1.3') {
      socket.once('session', leave);
    } else {
      socket.once('secureConnect', () => leave(socket.getSession() as Buffer));
    }
  });
  socket.end();
  socket.resume();
  await closing(socket);
  return found;
}

/** Milliseconds: no assertion on speed, as the server would keep the connection for ever. */
const GUARD = 20_000;
