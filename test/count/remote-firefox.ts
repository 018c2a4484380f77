/**
 * Headless Firefox that trusts the tests' authority, told what to do by WebDriver BiDi: the few commands that a visit takes.
 *
 *     { id, method, params } ─▶        ◀─ { type: "success" | "error", id, result | message }
 *
 * https://www.w3.org/TR/webdriver-bidi/ §4, §7.3.
 */

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { preferences } from '../interop/firefox.ts';
import { trustingDatabase } from '../interop/site.ts';
import { subfolder } from '../interop/support.ts';
import { ToolProcess } from '../support/process.ts';
import type { BrowserPage } from './cases.ts';

export class RemoteFirefox {
  readonly #process: ToolProcess;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  #nextId = 1;

  private constructor(process: ToolProcess, socket: WebSocket) {
    this.#process = process;
    this.#socket = socket;
    socket.on('message', (data) => this.#took(JSON.parse(String(data)) as Reply));
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(`Firefox has gone: ${process.text}`));
      }
    });
  }

  static async launch(): Promise<RemoteFirefox> {
    const profile = subfolder('firefox-remote');
    await trustingDatabase(profile);
    writeFileSync(join(profile, 'user.js'), preferences);
    const flags = ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0'];
    const firefox = new ToolProcess('firefox', flags, {
      env: { HOME: subfolder('firefox-home'), MOZ_CRASHREPORTER_DISABLE: '1' },
    });
    const line = /WebDriver BiDi listening on (ws:\S+)/;
    await firefox.until(line);
    const socket = new WebSocket(`${line.exec(firefox.text)?.[1]}/session`);
    await once(socket, 'open');
    const remote = new RemoteFirefox(firefox, socket);
    await remote.#ask('session.new', { capabilities: {} });
    return remote;
  }

  /** Each step is over when the page has loaded. */
  async newPage(): Promise<BrowserPage> {
    const { context } = (await this.#ask('browsingContext.create', { type: 'tab' })) as { context: string };
    const wait = 'complete';
    return {
      load: async (url) => void (await this.#ask('browsingContext.navigate', { context, url, wait })),
      reload: async () => void (await this.#ask('browsingContext.reload', { context, wait })),
    };
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.#process.stop();
  }

  #ask(method: string, params: object): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  #took({ id, type, result, message }: Reply): void {
    const waiting = id === undefined ? undefined : this.#waiting.get(id);
    if (id === undefined || waiting === undefined) {
      return;
    }
    this.#waiting.delete(id);
    if (type === 'success') {
      waiting.resolve(result);
    } else {
      waiting.reject(new Error(message));
    }
  }
}

interface Reply {
  readonly id?: number;
  readonly type: string;
  readonly result?: unknown;
  readonly message?: string;
}
