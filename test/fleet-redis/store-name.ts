/** What a host name is to members: a place that stays, and stands for one server after the other, or for none that answers. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class StoreName {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The port that it stands for; undefined: nobody answers, and nothing is refused either. */
  port: number | undefined;

  private constructor(port: number) {
    this.port = port;
    this.#server = createServer((client) => this.#pass(client));
  }

  static async of(port: number): Promise<StoreName> {
    const name = new StoreName(port);
    name.#server.listen(0, '127.0.0.1');
    await once(name.#server, 'listening');
    return name;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  /** A connection stays with the server that it was made to, as those of TCP do. */
  #pass(client: Socket): void {
    const { port } = this;
    const ends = port === undefined ? [client] : [client, connect(port, '127.0.0.1')];
    const [, server] = ends;
    for (const end of ends) {
      this.#sockets.add(end);
      end.on('error', () => {});
      end.on('close', () => {
        this.#sockets.delete(end);
        for (const other of ends) {
          other.destroy();
        }
      });
    }
    if (server !== undefined) {
      const isThere = () => this.port !== undefined;
      client.on('data', (bytes) => isThere() && server.write(bytes));
      server.on('data', (bytes) => isThere() && client.write(bytes));
    }
  }
}
