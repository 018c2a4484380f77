/** One ring for the workers and threads of one program: what one seals all open, also those that come later. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import * as nodeTls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { closing } from '../node/support.ts';
import { freePort, ToolProcess } from '../support/process.ts';

const APP = join(fileURLToPath(new URL('.', import.meta.url)), 'app.js');

class App {
  readonly port: number;
  readonly #process: ToolProcess;

  private constructor(port: number, engine: string) {
    this.port = port;
    this.#process = new ToolProcess('node', [APP], { env: { ENGINE: engine, PORT: String(port) } });
  }

  static async start(engine: string): Promise<App> {
    const app = new App(await freePort(), engine);
    await app.#process.until('primary ready');
    return app;
  }

  async tell(order: string, answer: string): Promise<void> {
    const before = this.#count(answer);
    this.#process.write(`${order}\n`);
    await this.#process.until(() => this.#count(answer) > before);
  }

  /** The port of the thread that serves. */
  get threadPort(): number {
    return Number(/serving by thread on (\d+)/.exec(this.#process.text)?.[1]);
  }

  get text(): string {
    return this.#process.text;
  }

  async stop(): Promise<void> {
    this.#process.write('end\n');
    await this.#process.stop();
  }

  #count(text: string): number {
    return this.#process.text.split(text).length - 1;
  }
}

async function visit(port: number, session?: Buffer): Promise<{ who: string; reused: boolean; session: Buffer }> {
  const socket = nodeTls.connect({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    session,
    rejectUnauthorized: false,
  });
  let newest = session;
  let who = '';
  socket.on('session', (made: Buffer) => {
    newest = made;
  });
  socket.on('data', (chunk) => {
    who += chunk;
  });
  await once(socket, 'secureConnect');
  const reused = socket.isSessionReused();
  await closing(socket);
  assert(newest !== undefined);
  return { who, reused, session: newest };
}

/** Visits until each of so many workers has served; the last session goes along. */
async function visitAll(
  app: App,
  workers: number,
  session?: Buffer,
): Promise<{ seen: Set<string>; full: number; session: Buffer }> {
  const seen = new Set<string>();
  let full = 0;
  let latest = session;
  for (let i = 0; i < 40 && (seen.size < workers || latest === undefined); i++) {
    const { who, reused, session: next } = await visit(app.port, latest);
    full += reused ? 0 : 1;
    seen.add(who);
    latest = next;
  }
  assert.equal(seen.size, workers, `served by ${[...seen].join(', ')}`);
  return { seen, full, session: latest as Buffer };
}

for (const engine of ['mayfly', 'native']) {
  describe(`the ring of one machine, ${engine} servers`, () => {
    test('a session of one worker resumes at every other, at one forked later, and in a thread; a flush ends it', async () => {
      const app = await App.start(engine);
      try {
        await app.tell('fork', 'serving by process');
        await app.tell('fork', 'serving by process');
        const first = await visitAll(app, 2);
        assert.equal(first.full, 1, 'the first visit alone was in full');
        await app.tell('fork', 'serving by process');
        const later = await visitAll(app, 3, first.session);
        assert.equal(later.full, 0);
        await app.tell('thread', 'serving by thread');
        const inThread = await visit(app.threadPort, later.session);
        assert.equal(inThread.who, 'thread');
        assert(inThread.reused);
        await app.tell('flush', 'flushed');
        // The order reaches the others by a hint: at once, but not in no time.
        let after = await visit(app.port, inThread.session);
        for (let i = 0; i < 100 && after.reused; i++) {
          after = await visit(app.port, inThread.session);
        }
        assert(!after.reused, 'no ticket of before opens');
      } finally {
        await app.stop();
      }
    });
  });
}
