/**
 * Handshakes per second, full or resumed: several clients in flight, each connects, waits until both sides are done,
 * and lets the server close. The count is of connections that closed cleanly.
 *
 * One session is used for all resumptions of a run, at both subjects: node:tls sends no new ticket on a resumption.
 * Ours does; what that costs stays in its figure.
 *
 * A resumed handshake that the peer turned into a full one fails the row: it would flatter the figure.
 */

import type { EngineSocket } from '../engine.ts';
import type { Driver, Sample, Workload } from '../workload.ts';

type Connect = (options?: Record<string, unknown>) => EngineSocket;
type SessionListener = (session: Uint8Array) => void;

export const handshake: Workload = {
  serve(socket) {
    socket.on('error', () => {});
    socket.resume();
    // Not at once: node:tls reports the connection before it has written its tickets, and `end` would forestall them.
    setImmediate(() => socket.end());
  },

  createDriver(connect): Driver {
    return async (ms, options) => {
      const session = options.resumed === true ? await obtainSession(connect) : undefined;
      return countLanes(ms, Number(options.inFlight), () => oneHandshake(connect, session));
    };
  },
};

/** How often `one` is done in `ms` milliseconds, so many of it in flight. */
export async function countLanes(
  ms: number,
  lanes: number,
  one: () => Promise<void>,
): Promise<Omit<Sample, 'cpuMicros'>> {
  const begin = performance.now();
  let count = 0;
  let total = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() - begin < ms) {
      await one();
      total++;
      // Those still in flight when the time is up would count for a window that is longer than `ms`.
      if (performance.now() - begin < ms) {
        count++;
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  // On a machine so slow that hardly a handshake fits the window, all of them over all the time says more.
  return count > 2 * lanes
    ? { count, seconds: ms / 1000, total }
    : { count: total, seconds: (performance.now() - begin) / 1000, total };
}

/** Resolves when the connection has closed. */
function oneHandshake(connect: Connect, session: Uint8Array | undefined, onSession?: SessionListener): Promise<void> {
  return new Promise((resolve, reject) => {
    let secure = false;
    const socket = connect(session === undefined ? {} : { session });
    if (onSession !== undefined) {
      socket.on('session', onSession);
    }
    socket.once('secureConnect', () => {
      secure = true;
      if (session !== undefined && !socket.isSessionReused()) {
        reject(new Error('a handshake that was to be resumed was full'));
      }
    });
    socket.on('error', reject);
    socket.once('close', () => {
      if (secure) {
        resolve();
      } else {
        reject(new Error('the connection closed before the handshake was done'));
      }
    });
    socket.resume();
  });
}

/** In TLS 1.3 a session can be resumed only once its ticket has arrived: wait for the event, which TLS 1.2 has too. */
async function obtainSession(connect: Connect): Promise<Uint8Array> {
  let session: Uint8Array | undefined;
  await oneHandshake(connect, undefined, (received) => {
    session = received;
  });
  if (session === undefined) {
    throw new Error('the server gave no session to resume');
  }
  return session;
}
