/** Full handshakes at a server that keeps many other connections, and a ping on one that is kept. */

import { once } from 'node:events';
import type { EngineSocket } from '../engine.ts';
import type { Driver, Workload } from '../workload.ts';
import { idle } from './idle.ts';

type Connect = (options?: Record<string, unknown>) => EngineSocket;

/**
 * `open`: that many more connections that stay, or as many as the time allows; counts those.
 * `ping`: a byte there and back on one connection, every few milliseconds; counts those, and tells how long they took.
 * Else full handshakes, each closed by the client, `inFlight` at a time; counts those.
 */
export const crowd: Workload = {
  serve(socket) {
    idle.serve(socket);
    socket.on('data', (chunk) => socket.write(chunk));
  },

  createDriver(connect): Driver {
    const openMore = idle.createDriver(connect);
    return (ms, options) => {
      if (options.ping === true) {
        return ping(connect, ms);
      }
      return options.open === undefined ? flood(connect, ms, options) : openMore(ms, { count: options.open });
    };
  },
};

async function ping(connect: Connect, ms: number): ReturnType<Driver> {
  const socket = connect();
  await once(socket, 'secureConnect');
  const times: number[] = [];
  const begin = performance.now();
  while (performance.now() - begin < ms) {
    const sent = performance.now();
    socket.write('a');
    await once(socket, 'data');
    times.push(performance.now() - sent);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  socket.destroy();
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(share * times.length))];
  const latency = { p50: at(0.5), p99: at(0.99), max: times[times.length - 1] };
  return { count: times.length, seconds: ms / 1000, total: times.length, latency };
}

const flood: (connect: Connect, ...drive: Parameters<Driver>) => ReturnType<Driver> = async (connect, ms, options) => {
  const begin = performance.now();
  let count = 0;
  let total = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() - begin < ms) {
      await comeAndGo(connect);
      total++;
      if (performance.now() - begin < ms) {
        count++;
      }
    }
  };
  await Promise.all(Array.from({ length: Number(options.inFlight) }, lane));
  return { count, seconds: ms / 1000, total };
};

function comeAndGo(connect: Connect): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect();
    socket.once('secureConnect', () => socket.end());
    socket.once('close', () => resolve());
    socket.on('error', reject);
    socket.resume();
  });
}

/** Between two pings. */
const PAUSE_MS = 2;
