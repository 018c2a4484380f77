/**
 * Many ClientHellos that arrive in one moment, as when a server comes back and all of its clients with it: how long a
 * living connection waits for the echo of a ping meanwhile. The hellos are one, sent again and again by sockets that wait for
 * the answer and then hang up.
 */

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { median } from '../statistics.ts';

export interface BurstFigures {
  readonly atOnce: number;
  /** Milliseconds: medians over the rounds. */
  readonly longestPing: number;
  readonly allAnswered: number;
}

/** `ca`: PEM. The server echoes what it gets. */
export async function measureBurst(port: number, ca: string, atOnce: number): Promise<BurstFigures> {
  const hello = await clientHello();
  const living = await open(port, ca);
  const rounds: { longest: number; all: number }[] = [];
  try {
    for (let round = 0; round < WARM_UP + ROUNDS; round++) {
      const measured = await burst(port, living, hello, atOnce);
      if (round >= WARM_UP) {
        rounds.push(measured);
      }
    }
  } finally {
    living.destroy();
  }
  return {
    atOnce,
    longestPing: median(rounds.map(({ longest }) => longest)),
    allAnswered: median(rounds.map(({ all }) => all)),
  };
}

async function burst(port: number, living: TLSSocket, hello: Buffer, atOnce: number) {
  const sockets = await Promise.all(Array.from({ length: atOnce }, () => openPlain(port)));
  try {
    await pause(SETTLE_MS);
    let answered = 0;
    for (const socket of sockets) {
      socket.once('data', () => {
        answered++;
      });
    }
    const begin = performance.now();
    for (const socket of sockets) {
      socket.write(hello);
    }
    let longest = 0;
    while (answered < atOnce) {
      if (performance.now() - begin > PATIENCE_MS) {
        throw new Error(`of ${atOnce} hellos ${answered} were answered within ${PATIENCE_MS / 1000} s`);
      }
      longest = Math.max(longest, await ping(living));
    }
    return { longest, all: performance.now() - begin };
  } finally {
    for (const socket of sockets) {
      socket.destroy();
    }
    await pause(SETTLE_MS);
  }
}

async function ping(living: TLSSocket): Promise<number> {
  const begin = performance.now();
  await new Promise((resolve) => {
    living.once('data', resolve);
    living.write('p');
  });
  const took = performance.now() - begin;
  // The answers of the others are read in between.
  await new Promise((resolve) => setImmediate(resolve));
  return took;
}

/** That of a client of `node:tls` which offers x25519. */
function clientHello(): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.once('data', (bytes) => {
        socket.destroy();
        server.close();
        resolve(bytes);
      });
    });
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      connectTls({ host: '127.0.0.1', port, servername: 'localhost', ecdhCurve: 'X25519' }).on('error', () => {});
    });
  });
}

function open(port: number, ca: string): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, servername: 'localhost', ca }, () => {
      socket.setNoDelay(true);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

function openPlain(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.once('error', reject);
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const WARM_UP = 4;
const ROUNDS = 7;
const SETTLE_MS = 30;
const PATIENCE_MS = 20_000;
