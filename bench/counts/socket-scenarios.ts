/** Scenarios through `mayfly/tls` over loopback, both ends in this process: the cost of sockets, streams and checks. */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createSecureContext, createServer, type Server, type TLSSocket } from '../../src/node/tls.ts';
import { makeCertificate } from '../certificate.ts';
import type { ScenarioName } from './names.ts';
import type { Scenario } from './scenarios.ts';

interface Place {
  readonly server: Server;
  /** A new connection's two ends, handshake done. */
  open(): Promise<{ readonly client: TLSSocket; readonly server: TLSSocket }>;
}

async function place(): Promise<Place> {
  const { ca, cert, key } = makeCertificate();
  const server = createServer({ cert, key, minVersion: 'TLSv1.3', groups: 'X25519' });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // The scenario's last connections would keep the process.
  server.unref();
  const { port } = server.address() as AddressInfo;
  const secureContext = createSecureContext({ ca, minVersion: 'TLSv1.3', groups: 'X25519' });
  return {
    server,
    async open() {
      const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
      const client = connect({ host: '127.0.0.1', port, servername: 'localhost', secureContext });
      const [[other]] = await Promise.all([accepted, once(client, 'secureConnect')]);
      return { client, server: other };
    },
  };
}

const handshake: Scenario = {
  name: 'socket_handshake_full_1.3',
  what: 'full handshake over loopback, checks of the certificate included, and close',
  batch: 24,
  async prepare() {
    const { open } = await place();
    return async () => {
      const { client, server } = await open();
      client.resume();
      server.resume();
      const closed = [once(client, 'close'), once(server, 'close')];
      server.end();
      await Promise.all(closed);
    };
  },
};

/** `count` writes of `size` bytes in one tick from server to client; done when all has arrived. */
function stream(name: ScenarioName, what: string, size: number, count: number, batch: number): Scenario {
  return {
    name,
    what,
    batch,
    async prepare() {
      const { client, server } = await (await place()).open();
      const data = Buffer.alloc(size, 0x61);
      let missing = 0;
      let arrived = (): void => {};
      client.on('data', (chunk: Uint8Array) => {
        missing -= chunk.length;
        if (missing === 0) {
          arrived();
        }
      });
      return () => {
        missing = size * count;
        const done = new Promise<void>((resolve) => {
          arrived = resolve;
        });
        for (let i = 0; i < count; i++) {
          server.write(data);
        }
        return done;
      };
    },
  };
}

const pingpong: Scenario = {
  name: 'socket_pingpong_1b',
  what: 'one byte there and back',
  batch: 100,
  async prepare() {
    const { client, server } = await (await place()).open();
    const data = Buffer.alloc(1, 0x61);
    server.on('data', (chunk: Uint8Array) => server.write(chunk));
    let back = (): void => {};
    client.on('data', () => back());
    return () =>
      new Promise<void>((resolve) => {
        back = resolve;
        client.write(data);
      });
  },
};

export const socketScenarios: readonly Scenario[] = [
  handshake,
  stream('socket_bulk_64k', 'a write of 64 KiB from server to client', 65_536, 1, 24),
  stream('socket_stream_1k', '64 writes of 1 KiB in one tick from server to client', 1024, 64, 24),
  pingpong,
];
