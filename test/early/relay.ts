/** A wire that lets a client's first flight pass and keeps the second, with its Finished, until a test says so. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class Relay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #upstreams: Socket[] = [];
  #held: (() => void)[] = [];
  #open = true;
  /** What clients sent before the server spoke, one entry per connection. */
  readonly firstFlights: Buffer[] = [];

  private constructor(target: number) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      const index = this.firstFlights.push(Buffer.alloc(0)) - 1;
      const upstream = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
      this.#upstreams.push(upstream);
      let answered = false;
      for (const socket of [client, upstream]) {
        socket.setNoDelay(true);
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.once('close', () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      client.on('data', (chunk: Buffer) => {
        if (!answered) {
          this.firstFlights[index] = Buffer.concat([this.firstFlights[index], chunk]);
          upstream.write(chunk);
        } else {
          this.#pass(() => upstream.write(chunk));
        }
      });
      client.on('end', () => this.#pass(() => upstream.end()));
      upstream.on('data', (chunk: Buffer) => {
        answered = true;
        client.write(chunk);
      });
      upstream.on('end', () => client.end());
    });
  }

  static async to(target: number): Promise<[Relay, number]> {
    const relay = new Relay(target);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return [relay, (relay.#server.address() as AddressInfo).port];
  }

  /** Second flights are kept from now on. */
  hold(): void {
    this.#open = false;
  }

  /** They go on, as do all to come. */
  release(): void {
    this.#open = true;
    for (const pass of this.#held.splice(0)) {
      pass();
    }
  }

  /** To the server, what clients sent so far is all: of those whose second flight is kept, early data alone. */
  endUpstreams(): void {
    for (const upstream of this.#upstreams) {
      upstream.end();
    }
  }

  close(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    this.#server.close();
  }

  #pass(pass: () => void): void {
    if (this.#open) {
      pass();
    } else {
      this.#held.push(pass);
    }
  }
}
