/**
 * Megabytes per second over one connection, server to client, in writes of one size. A run ends at the wanted number
 * of bytes or at the end of its time, whichever comes first.
 *
 *     client → server: uint32 size of each write, once; then the server writes until the client hangs up
 */

import type { EngineSocket } from '../engine.ts';
import type { Driver, Workload } from '../workload.ts';

export const transfer: Workload = {
  serve(socket) {
    socket.on('error', () => {});
    socket.once('data', (request: Buffer) => {
      pump(socket, Buffer.alloc(request.readUInt32BE(0), 0x61));
    });
  },

  createDriver(connect): Driver {
    return (ms, options) => {
      const wanted = options.bytes === undefined ? Number.POSITIVE_INFINITY : Number(options.bytes);
      return new Promise((resolve, reject) => {
        const socket = connect();
        let begin = 0;
        let received = 0;
        let done = false;
        socket.once('secureConnect', () => {
          const request = Buffer.alloc(4);
          request.writeUInt32BE(Number(options.writeSize));
          socket.write(request);
        });
        socket.on('data', (chunk: Uint8Array) => {
          if (done) {
            return;
          }
          if (begin === 0) {
            begin = performance.now();
            return;
          }
          received += chunk.length;
          const elapsed = performance.now() - begin;
          if (received >= wanted || elapsed >= ms) {
            done = true;
            const count = received / 1e6;
            resolve({ count, seconds: elapsed / 1000, total: count });
            socket.destroy();
          }
        });
        socket.on('error', reject);
        socket.once('close', () => reject(new Error('the connection closed in the middle of the transfer')));
      });
    };
  },
};

function pump(socket: EngineSocket, chunk: Buffer): void {
  const fill = (): void => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on('drain', fill);
  fill();
}
