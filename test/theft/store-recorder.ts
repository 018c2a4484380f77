/** Everything a real Redis ever saw and ever wrote to disk: its MONITOR stream, its RDB images, its append-only files. */

import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { RedisConnection } from '../../src/fleet/redis/connection.ts';
import { RedisServer } from '../fleet-redis/redis-server.ts';

export interface StoreHistory {
  /** Each command that any client ever sent, with its arguments, as bytes. */
  readonly commands: readonly (readonly Uint8Array[])[];
  /** Images as of several moments, and append-only files. */
  readonly files: readonly Uint8Array[];
}

export class RecordedRedis {
  readonly server: RedisServer;
  readonly #monitor: Socket;
  readonly #control: RedisConnection;
  /** Of the monitor's stream, what is not yet among the commands. */
  readonly #heard: Buffer[] = [];
  readonly #commands: (readonly Uint8Array[])[] = [];
  readonly #images: Buffer[] = [];

  private constructor(server: RedisServer, monitor: Socket, control: RedisConnection) {
    this.server = server;
    this.#monitor = monitor;
    this.#control = control;
    monitor.on('data', (chunk: Buffer) => this.#heard.push(chunk));
  }

  /** Nothing is compressed, so that whatever lies in the files can be found in them as it is. */
  static async start(): Promise<RecordedRedis> {
    const server = await RedisServer.start(
      ...['--appendonly', 'yes', '--aof-use-rdb-preamble', 'no', '--rdbcompression', 'no'],
    );
    const control = await server.connect();
    const monitor = connect(server.port, '127.0.0.1');
    await new Promise((resolve) => monitor.once('data', resolve).write('MONITOR\r\n'));
    return new RecordedRedis(server, monitor, control);
  }

  /** Has it write an image of all it holds, and takes a copy. */
  async copyImage(): Promise<void> {
    await this.#control.command('x', ['SAVE']);
    this.#images.push(readFileSync(join(this.server.folder, 'dump.rdb')));
  }

  /** An append-only file still has all that ever was in it, so it is copied last. */
  #appendOnlyFiles(): readonly Buffer[] {
    const files: Buffer[] = [];
    for (const entry of readdirSync(this.server.folder, { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && entry.name.includes('.aof')) {
        files.push(readFileSync(join(entry.parentPath, entry.name)));
      }
    }
    return files;
  }

  async history(): Promise<StoreHistory> {
    await this.copyImage();
    // The monitor hears of a command no later than its sender gets the answer, but on another connection.
    const mark = `mark ${Math.random()}`;
    await this.#control.command('x', ['ECHO', mark]);
    while (!this.#unread().includes(mark)) {
      await new Promise((resolve) => this.#monitor.once('data', resolve));
    }
    const lines = this.#unread().split('\r\n');
    // The last line has not ended, and is read the next time.
    this.#heard.splice(0, this.#heard.length, Buffer.from(lines.pop() ?? '', 'latin1'));
    this.#commands.push(...lines.map(argumentsOf).filter((command) => command.length > 0));
    return {
      commands: [...this.#commands],
      files: [...this.#images, ...this.#appendOnlyFiles()],
    };
  }

  #unread(): string {
    return Buffer.concat(this.#heard).toString('latin1');
  }

  async stop(): Promise<void> {
    this.#monitor.destroy();
    this.#control.close();
    await this.server.stop();
  }
}

/** `+1700000000.123456 [0 127.0.0.1:4711] "SET" "key" "\x01\x02…"` */
function argumentsOf(line: string): readonly Uint8Array[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text]) => unescaped(text));
}

function unescaped(text: string): Uint8Array {
  const plain = text.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Uint8Array.from(Buffer.from(plain, 'latin1'));
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' };
