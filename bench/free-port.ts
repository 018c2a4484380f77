/** Ports of loopback, for programs that cannot choose one themselves: those of the tests, the bench and the example. */

import { createServer, type ListenOptions } from 'node:net';

/**
 * One that is free, below those that connections going out are given: any of these may be taken by another connection at any
 * moment. Nobody else who asks here is given it as long as this process runs.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
    if ((await claim(port)) && (await isFree(port))) {
      return port;
    }
  }
  throw new Error('no free port was found');
}

/** A name that one process at a time can have, and that goes with it. Where there is no such thing, chance must do. */
async function claim(port: number): Promise<boolean> {
  return process.platform !== 'linux' || (await listen({ path: `\0mayfly port ${port}` })) !== undefined;
}

async function isFree(port: number): Promise<boolean> {
  const server = await listen({ port, host: '127.0.0.1' });
  return server !== undefined && new Promise((resolve) => server.close(() => resolve(true)));
}

function listen(options: ListenOptions): Promise<ReturnType<typeof createServer> | undefined> {
  return new Promise((resolve) => {
    const server = createServer().unref();
    server.once('error', () => resolve(undefined));
    server.listen(options, () => resolve(server));
  });
}

const LOWEST_PORT = 15_000;
/** Linux gives outgoing connections ports from 32768 on, others from 49152 on. */
const HIGHEST_PORT = 32_000;
