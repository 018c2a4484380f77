/** A load balancer for TCP: each connection goes to the next server, or to the one after it when that one is away. */

import { connect, createServer, type Server, type Socket } from 'node:net';

export class Balancer {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: ReadonlySet<Socket>;
  readonly #servedBy: Map<number, number>;

  private constructor(server: Server, sockets: ReadonlySet<Socket>, servedBy: Map<number, number>) {
    const address = server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
    this.#server = server;
    this.#sockets = sockets;
    this.#servedBy = servedBy;
  }

  /** @param ports of the servers, on loopback */
  static open(ports: readonly number[]): Promise<Balancer> {
    const sockets = new Set<Socket>();
    const servedBy = new Map<number, number>();
    let turn = 0;

    function forward(client: Socket, first: number, tried: number): void {
      const index = (first + tried) % ports.length;
      const server = connect({ host: '127.0.0.1', port: ports[index], allowHalfOpen: true });
      follow(server);
      server.once('connect', () => {
        servedBy.set(client.remotePort ?? 0, index);
        client.pipe(server).pipe(client);
        for (const [one, other] of [
          [client, server],
          [server, client],
        ]) {
          one.once('close', () => other.destroy());
        }
      });
      server.on('error', () => {
        if (server.readyState === 'open' || tried + 1 === ports.length || client.destroyed) {
          client.destroy();
        } else if (server.bytesRead === 0 && !servedBy.has(client.remotePort ?? 0)) {
          forward(client, first, tried + 1);
        }
      });
    }

    function follow(socket: Socket): void {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    }

    return new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true }, (client) => {
        follow(client);
        client.on('error', () => client.destroy());
        forward(client, turn++ % ports.length, 0);
      });
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve(new Balancer(server, sockets, servedBy)));
    });
  }

  /** The index of the server that got the connection from this port of the client's. Told once. */
  servedBy(clientPort: number): number | undefined {
    const index = this.#servedBy.get(clientPort);
    this.#servedBy.delete(clientPort);
    return index;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }
}
