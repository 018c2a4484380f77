/** Clients that connect over and over, each with the newest session it was given, and count what happens. */

import assert from 'node:assert/strict';
import { connect } from '../../src/node/tls.ts';
import { trust } from '../node/support.ts';

type Version = 'TLSv1.2' | 'TLSv1.3';

/** What happened to the connections begun in one phase. */
export interface Figures {
  handshakes: number;
  resumed: number;
  /** Handshakes with a session that was offered while it was young. */
  offered: number;
  /** How many of those resumed. */
  taken: number;
  readonly failures: string[];
}

interface Kept {
  readonly session: Buffer;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

export interface LoadOptions {
  readonly port: number;
  /** Half of them speak TLS 1.3, the other half TLS 1.2. */
  readonly clients: number;
  /** Milliseconds between two connections of one client. */
  readonly pause: number;
  /** Milliseconds: an older session may be refused for its age, as comes to pass where the machine is slow. */
  readonly youth: number;
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
    this.#figures = this.phases.get(phase) ?? { handshakes: 0, resumed: 0, offered: 0, taken: 0, failures: [] };
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
    let kept: Kept | undefined;
    while (this.#running) {
      kept = await this.#visit(version, kept);
      await delay(this.#options.pause);
    }
  }

  /** @returns the session for the next time */
  #visit(version: Version, kept: Kept | undefined): Promise<Kept | undefined> {
    const figures = this.#figures;
    const isYoung = kept !== undefined && Date.now() - kept.since < this.#options.youth;
    return new Promise((resolve) => {
      let newest = kept;
      let answer = '';
      const socket = connect({
        ...trust,
        ...{ host: '127.0.0.1', port: this.#options.port, servername: 'localhost', ecdhCurve: 'X25519' },
        ...{ minVersion: version, maxVersion: version, session: kept?.session },
      });
      let failure: Error | undefined;
      socket.on('session', (given: Buffer) => {
        newest = { session: given, since: Date.now() };
      });
      socket.on('secureConnect', () => {
        figures.handshakes++;
        const resumed = socket.isSessionReused() ? 1 : 0;
        figures.resumed += resumed;
        figures.offered += isYoung ? 1 : 0;
        figures.taken += isYoung ? resumed : 0;
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

/** Of the young sessions that were offered, from 0 to 1. */
export function ratio({ offered, taken }: Figures): number {
  return taken / Math.max(1, offered);
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
