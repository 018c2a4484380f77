/** Round trips of the floor, in the shape of `rows/pingpong.ts`. */

import type { Socket } from 'node:net';
import type { BenchCertificate } from '../certificate.ts';
import type { Driver, WorkloadName } from '../workload.ts';
import type { ServerOptions } from './ends.ts';
import type { ClientEnd, Traffic } from './kinds.ts';
import { type ClientPlace, ClientSocket, endMaker, kindOf, listen, ServerSocket, serverOptions } from './place.ts';
import { APPLICATION_DATA } from './socket.ts';

export function servePingpong(workload: WorkloadName, certificate: BenchCertificate): Promise<number> {
  const options = serverOptions(workload, certificate);
  return listen((raw) => new EchoServer(raw, options));
}

export function pingpongDriver(place: ClientPlace): Driver {
  const make = endMaker(place);
  let clients: PingClient[] = [];
  return async (ms, options) => {
    if (clients.length === 0) {
      const open = (): Promise<PingClient> => PingClient.open(place.port, make(kindOf(place, options)));
      clients = await Promise.all(Array.from({ length: Number(options.connections) }, open));
    }
    const message = new Uint8Array(Number(options.size)).fill(0x61);
    const begin = performance.now();
    const counts = await Promise.all(clients.map((client) => client.bounce(message, begin + ms)));
    const count = counts.reduce((sum, each) => sum + each, 0);
    return { count, seconds: (performance.now() - begin) / 1000, total: count };
  };
}

class EchoServer extends ServerSocket {
  constructor(raw: Socket, options: ServerOptions) {
    super(raw, options);
  }

  protected secured(): void {}

  protected received(content: Uint8Array): void {
    this.send(APPLICATION_DATA, content.subarray(0, content.length - (this.traffic as Traffic).receive.tail));
  }
}

class PingClient extends ClientSocket {
  readonly #opened: (client: PingClient) => void;
  #message: Uint8Array = new Uint8Array(0);
  #received = 0;
  #count = 0;
  #until = 0;
  #done: (count: number) => void = () => {};

  private constructor(port: number, end: ClientEnd, opened: (client: PingClient) => void) {
    super(port, end);
    this.#opened = opened;
  }

  static open(port: number, end: ClientEnd): Promise<PingClient> {
    return new Promise((resolve) => {
      new PingClient(port, end, resolve);
    });
  }

  bounce(message: Uint8Array, until: number): Promise<number> {
    this.#message = message;
    this.#until = until;
    this.#received = 0;
    this.#count = 0;
    this.send(APPLICATION_DATA, message);
    return new Promise((resolve) => {
      this.#done = resolve;
    });
  }

  rawClosed(): void {
    throw new Error('a ping-pong connection of the floor was closed');
  }

  protected secured(): void {
    this.#opened(this);
  }

  protected received(content: Uint8Array): void {
    this.#received += content.length - (this.traffic as Traffic).receive.tail;
    if (this.#received < this.#message.length) {
      return;
    }
    this.#received = 0;
    this.#count++;
    if (performance.now() < this.#until) {
      this.send(APPLICATION_DATA, this.#message);
    } else {
      this.#done(this.#count);
    }
  }
}
