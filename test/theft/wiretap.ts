/** A wire with a tap: passes each connection on to the next of several servers in turn, and keeps all bytes of both ways. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface Recording {
  readonly fromClient: Uint8Array;
  readonly fromServer: Uint8Array;
}

export class Wiretap {
  readonly #server: Server;
  readonly #recordings: { readonly fromClient: Buffer[]; readonly fromServer: Buffer[] }[] = [];

  readonly #open = new Set<Socket>();
  #next: number | undefined;

  private constructor(ports: readonly number[]) {
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
      const recording = { fromClient: [] as Buffer[], fromServer: [] as Buffer[] };
      const port = this.#next ?? ports[this.#recordings.length % ports.length];
      this.#next = undefined;
      this.#recordings.push(recording);
      const server = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
      for (const [from, to, kept] of [
        [client, server, recording.fromClient],
        [server, client, recording.fromServer],
      ] as const) {
        from.on('data', (bytes: Buffer) => {
          kept.push(bytes);
          to.write(bytes);
        });
        from.on('end', () => to.end());
        from.on('error', () => to.destroy());
        this.#open.add(from);
        from.on('close', () => {
          this.#open.delete(from);
          to.destroy();
        });
      }
    });
  }

  static async start(ports: readonly number[]): Promise<Wiretap> {
    const tap = new Wiretap(ports);
    tap.#server.listen(0, '127.0.0.1');
    await once(tap.#server, 'listening');
    return tap;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Passes the connection that comes next on to this port, out of turn. */
  next(port: number): void {
    this.#next = port;
  }

  /** Of each connection, in the order in which they came. */
  get recordings(): readonly Recording[] {
    return this.#recordings.map(({ fromClient, fromServer }) => ({
      fromClient: Uint8Array.from(Buffer.concat(fromClient)),
      fromServer: Uint8Array.from(Buffer.concat(fromServer)),
    }));
  }

  stop(): void {
    for (const socket of this.#open) {
      socket.destroy();
    }
    this.#server.close();
  }
}
