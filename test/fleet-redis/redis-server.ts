/** A real Redis of its own for a test: on a free port, in an empty folder, ended with the test. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectRedis, type RedisConnection } from '../../src/fleet/redis/connection.ts';
import { freePort, ToolProcess } from '../support/process.ts';

export class RedisServer {
  readonly port: number;
  readonly folder: string;
  readonly url: string;
  readonly #args: readonly string[];
  #process: ToolProcess;

  private constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.folder = mkdtempSync(join(tmpdir(), 'mayfly-redis-'));
    this.#args = [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', this.folder],
      ...['--save', '', '--daemonize', 'no', '--loglevel', 'notice'],
      ...args,
    ];
    this.#process = new ToolProcess('redis-server', this.#args);
  }

  /** @param args further options of the command line, such as `--appendonly yes` */
  static async start(...args: string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), args);
    await server.#process.until('Ready to accept connections');
    return server;
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    await this.#process.stop('SIGKILL');
  }

  /** Starts it again on the same port, in the same folder. */
  async restart(): Promise<void> {
    this.#process = new ToolProcess('redis-server', this.#args);
    await this.#process.until('Ready to accept connections');
  }

  /** 'SIGSTOP' and 'SIGCONT' let it stand still and go on. */
  signal(signal: NodeJS.Signals): void {
    this.#process.signal(signal);
  }

  /** A connection that has answered once. */
  async connect(): Promise<RedisConnection> {
    const connection = connectRedis({ url: this.url });
    await answering(connection);
    return connection;
  }

  async stop(): Promise<void> {
    this.#process.signal('SIGCONT');
    await this.#process.stop('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Resolves when a command comes back. */
export async function answering(connection: RedisConnection): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await connection.command('x', ['PING']);
      return;
    } catch (error) {
      if (attempt > 200) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}
