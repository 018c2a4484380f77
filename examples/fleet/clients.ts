/** Clients that come again and again through the balancer, each with the session that it got at its last visit. */

// In a program of your own: from 'mayfly/tls'.
import { connect } from '../../src/node/tls.ts';
import type { Balancer } from './balancer.ts';

export interface ClientsOptions {
  readonly balancer: Balancer;
  readonly servers: number;
  readonly clients: number;
  /** PEM. */
  readonly ca: string;
}

export interface Tally {
  /** Completed handshakes of each server. */
  readonly full: readonly number[];
  readonly resumed: readonly number[];
  /** `opened[a][b]`: tickets that server a sealed and server b opened. */
  readonly opened: readonly (readonly number[])[];
  readonly failed: number;
}

interface Kept {
  readonly session: Buffer;
  readonly sealedBy: number;
}

type Version = 'TLSv1.2' | 'TLSv1.3';

export class Clients {
  readonly #options: ClientsOptions;
  readonly #full: number[];
  readonly #resumed: number[];
  readonly #opened: number[][];
  #failed = 0;
  #isOver = false;

  /** Starts at once. */
  constructor(options: ClientsOptions) {
    const zeros = () => new Array<number>(options.servers).fill(0);
    this.#options = options;
    this.#full = zeros();
    this.#resumed = zeros();
    this.#opened = Array.from({ length: options.servers }, zeros);
    for (let i = 0; i < options.clients; i++) {
      void this.#comeAgain(i % 3 === 2 ? 'TLSv1.2' : 'TLSv1.3', i);
    }
  }

  tally(): Tally {
    return {
      full: [...this.#full],
      resumed: [...this.#resumed],
      opened: this.#opened.map((row) => [...row]),
      failed: this.#failed,
    };
  }

  stop(): void {
    this.#isOver = true;
  }

  async #comeAgain(version: Version, index: number): Promise<void> {
    await pause((PAUSE * index) / this.#options.clients);
    let kept: Kept | undefined;
    while (!this.#isOver) {
      try {
        kept = await this.#visit(version, kept);
      } catch {
        this.#failed += this.#isOver ? 0 : 1;
      }
      await pause(PAUSE);
    }
  }

  /** One request. Resolves with what the next visit offers. */
  #visit(version: Version, kept: Kept | undefined): Promise<Kept | undefined> {
    const { balancer, ca } = this.#options;
    return new Promise((resolve, reject) => {
      let next = kept;
      let server: number | undefined;
      let answer = '';
      const sessions: Buffer[] = [];
      const socket = connect({
        ...{ host: '127.0.0.1', port: balancer.port, servername: 'localhost', ca },
        ...{ minVersion: version, maxVersion: version },
        ...(kept === undefined ? {} : { session: kept.session }),
      });
      socket.setTimeout(TIMEOUT, () => socket.destroy(new Error('no answer')));
      socket.on('session', (session: Buffer) => sessions.push(session));
      socket.once('secureConnect', () => {
        server = balancer.servedBy(socket.localPort ?? 0);
        if (server === undefined) {
          return;
        }
        if (!socket.isSessionReused()) {
          this.#full[server]++;
        } else if (kept !== undefined) {
          this.#resumed[server]++;
          this.#opened[kept.sealedBy][server]++;
        }
        socket.write('GET /style.css HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n');
      });
      socket.on('data', (chunk: Buffer) => {
        answer = answer === '' ? chunk.toString('latin1') : answer;
      });
      socket.once('error', reject);
      socket.once('close', () => {
        const session = sessions.at(-1);
        if (session !== undefined && server !== undefined) {
          next = { session, sealedBy: server };
        }
        return answer.startsWith('HTTP/1.1 ') ? resolve(next) : reject(new Error('no answer'));
      });
    });
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Milliseconds between two visits of one client. */
const PAUSE = 300;
const TIMEOUT = 5_000;
