/**
 * Round trips per second: each of several connections sends a message, waits for its echo, and sends the next. What
 * counts here is the fixed cost of a record and of a wake-up.
 */

import type { EngineSocket } from '../engine.ts';
import type { Driver, Workload } from '../workload.ts';

export const pingpong: Workload = {
  serve(socket) {
    socket.on('error', () => {});
    socket.on('data', (chunk) => socket.write(chunk));
  },

  createDriver(connect): Driver {
    let connections: EngineSocket[] = [];
    return async (ms, options) => {
      if (connections.length === 0) {
        connections = await Promise.all(Array.from({ length: Number(options.connections) }, () => open(connect)));
      }
      const message = Buffer.alloc(Number(options.size), 0x61);
      const begin = performance.now();
      const counts = await Promise.all(connections.map((socket) => bounce(socket, message, begin + ms)));
      const count = counts.reduce((sum, each) => sum + each, 0);
      return { count, seconds: (performance.now() - begin) / 1000, total: count };
    };
  },
};

function open(connect: () => EngineSocket): Promise<EngineSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect();
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      socket.removeListener('error', reject);
      resolve(socket);
    });
  });
}

function bounce(socket: EngineSocket, message: Buffer, until: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let received = 0;
    let count = 0;
    const onData = (chunk: Uint8Array): void => {
      received += chunk.length;
      if (received < message.length) {
        return;
      }
      received = 0;
      count++;
      if (performance.now() < until) {
        socket.write(message);
        return;
      }
      socket.removeListener('data', onData);
      socket.removeListener('error', reject);
      resolve(count);
    };
    socket.on('data', onData);
    socket.once('error', reject);
    socket.write(message);
  });
}
