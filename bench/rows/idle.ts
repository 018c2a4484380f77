/** Connections that are opened and then do nothing: the workload of the memory row. */

import type { EngineSocket } from '../engine.ts';
import type { Driver, Sample, Workload } from '../workload.ts';

export const idle: Workload = {
  serve(socket) {
    held.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => held.delete(socket));
    socket.resume();
  },

  createDriver(connect): Driver {
    /** Opens `count` more connections, or as many as the time allows, and keeps them. */
    return (ms, options) =>
      openMany(ms, Number(options.count), async () => {
        held.add(await open(connect));
      });
  },
};

/** Opens so many, or as many as the time allows. */
export async function openMany(
  ms: number,
  count: number,
  openOne: () => Promise<void>,
): Promise<Omit<Sample, 'cpuMicros'>> {
  const begin = performance.now();
  let opened = 0;
  let left = count;
  const lane = async (): Promise<void> => {
    while (left > 0 && performance.now() - begin < ms) {
      left--;
      await openOne();
      opened++;
    }
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  return { count: opened, seconds: (performance.now() - begin) / 1000, total: opened };
}

/** Named, so that no collection takes them. */
const held = new Set<EngineSocket>();

function open(connect: () => EngineSocket): Promise<EngineSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect();
    socket.on('error', reject);
    socket.once('secureConnect', () => resolve(socket));
    socket.resume();
  });
}
