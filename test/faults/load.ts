/** Clients that connect over and over, each with the newest session it was given, and count what happens. */

import assert from 'node:assert/strict';
import { connect } from '../../src/node/tls.ts';
import { trust } from '../node/support.ts';

type Version = 'TLSv1.2' | 'TLSv1.3';

/** What happened to the connections begun in one phase. */
export interface Figures {
  handshakes: number;
  resumed: number;
  readonly failures: string[];
}

export interface LoadOptions {
  readonly port: number;
  /** Half of them speak TLS 1.3, the other half TLS 1.2. */
  readonly clients: number;
  /** Milliseconds between two connections of one client. */
  readonly pause: number;
}

export class Load {
  readonly phases = new Map<string, Figures>();
  readonly #options: LoadOptions;
  readonly #clients: readonly Promise<void>[];
  #figures!: Figures;
  #running = true;

  constructor(phase: string, options: LoadOptions) {
    this.#options = options;
    this.enter(phase);
    this.#clients = Array.from({ length: options.clients }, (_, i) => this.#run(i % 2 === 0 ? 'TLSv1.3' : 'TLSv1.2'));
  }

  /** Connections that begin from now on are counted here. */
  enter(phase: string): void {
    this.#figures = this.phases.get(phase) ?? { handshakes: 0, resumed: 0, failures: [] };
    this.phases.set(phase, this.#figures);
  }

  /** Until each client has made about so many more connections. */
  async connections(each: number): Promise<void> {
    const figures = this.#figures;
    const wanted = figures.handshakes + each * this.#options.clients;
    for (let waits = 0; figures.handshakes + figures.failures.length < wanted; waits++) {
      assert(waits < 3_000, 'the clients get nowhere');
      await delay(20);
    }
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#clients);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Rows for people: phase, handshakes, failures, resumption ratio. */
  get lines(): readonly string[] {
    return [...this.phases].map(([phase, { handshakes, resumed, failures }]) => {
      const share = handshakes === 0 ? '-' : `${((100 * resumed) / handshakes).toFixed(1)} %`;
      const [made, failed] = [String(handshakes).padStart(6), String(failures.length).padStart(3)];
      return `${phase.padEnd(7)} ${made} handshakes ${failed} failures ${share.padStart(8)} resumed`;
    });
  }

  async #run(version: Version): Promise<void> {
    let session: Buffer | undefined;
    while (this.#running) {
      session = await this.#visit(version, session);
      await delay(this.#options.pause);
    }
  }

  /** @returns the session for the next time */
  #visit(version: Version, session: Buffer | undefined): Promise<Buffer | undefined> {
    const figures = this.#figures;
    return new Promise((resolve) => {
      let newest = session;
      let answer = '';
      const socket = connect({
        ...trust,
        ...{ host: '127.0.0.1', port: this.#options.port, servername: 'localhost', ecdhCurve: 'X25519' },
        ...{ minVersion: version, maxVersion: version, session },
      });
      let failure: Error | undefined;
      socket.on('session', (given: Buffer) => {
        newest = given;
      });
      socket.on('secureConnect', () => {
        figures.handshakes++;
        figures.resumed += socket.isSessionReused() ? 1 : 0;
        socket.write('hello');
      });
      socket.on('data', (chunk: Buffer) => {
        answer += chunk;
      });
      socket.on('error', (error) => {
        failure = error;
      });
      socket.on('close', () => {
        if (answer !== 'hello') {
          figures.failures.push(String(failure ?? 'closed before the answer'));
        }
        resolve(newest);
      });
    });
  }
}

export function ratio({ handshakes, resumed }: Figures): number {
  return resumed / Math.max(1, handshakes);
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
