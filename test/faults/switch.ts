/** A TCP connection point whose far end can be cut off, or be another one from now on. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class Switch {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  #target: number | undefined;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer({ noDelay: true }, (near) => this.#pass(near));
  }

  static async start(target: number): Promise<Switch> {
    const made = new Switch(target);
    made.#server.listen(0, '127.0.0.1');
    await once(made.#server, 'listening');
    return made;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** All connections break. New ones go there, or nowhere. */
  to(target: number | undefined): void {
    this.#target = target;
    for (const socket of this.#open) {
      socket.destroy();
    }
  }

  stop(): void {
    this.to(undefined);
    this.#server.close();
  }

  #pass(near: Socket): void {
    if (this.#target === undefined) {
      near.destroy();
      return;
    }
    const far = connect({ port: this.#target, host: '127.0.0.1', noDelay: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      this.#open.add(from);
      from.on('error', () => {});
      from.on('close', () => {
        this.#open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
