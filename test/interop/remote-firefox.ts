/**
 * Headless Firefox that trusts the tests' authority, told what to do by WebDriver BiDi: the few commands that a visit takes.
 *
 *     { id, method, params } ─▶        ◀─ { type: "success" | "error", id, result | message }
 *
 * https://www.w3.org/TR/webdriver-bidi/ §4, §7.3, §7.5.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { ToolProcess } from '../support/process.ts';
import { trustingDatabase } from './site.ts';
import { subfolder } from './support.ts';

/** A tab. Each step is over when the page has loaded. */
export interface FirefoxPage {
  load(url: string): Promise<void>;
  reload(): Promise<void>;
  /** What this expression comes to: a string. */
  evaluate(expression: string): Promise<string>;
  /** A PNG. */
  picture(): Promise<Buffer>;
  close(): Promise<void>;
}

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

  /** @param more preferences beside those of all tests, as lines of user.js */
  static async launch(name = 'remote', more = ''): Promise<RemoteFirefox> {
    const profile = subfolder(`firefox-${name}`);
    await trustingDatabase(profile);
    writeFileSync(join(profile, 'user.js'), `${preferences}${more}`);
    const flags = [
      '--headless',
      '--no-remote',
      '--profile',
      profile,
      '--remote-debugging-port',
      '0',
      '--remote-allow-system-access',
    ];
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

  async newPage(): Promise<FirefoxPage> {
    const { context } = (await this.#ask('browsingContext.create', { type: 'tab' })) as { context: string };
    const wait = 'complete';
    return {
      load: async (url) => void (await this.#ask('browsingContext.navigate', { context, url, wait })),
      reload: async () => void (await this.#ask('browsingContext.reload', { context, wait })),
      evaluate: async (expression) => {
        const order = { expression, target: { context }, awaitPromise: true };
        const { result } = (await this.#ask('script.evaluate', order)) as { result?: { value: string } };
        return String(result?.value);
      },
      picture: async () => {
        const { data } = (await this.#ask('browsingContext.captureScreenshot', { context })) as { data: string };
        return Buffer.from(data, 'base64');
      },
      close: async () => void (await this.#ask('browsingContext.close', { context })),
    };
  }

  /** Of all tabs, from now on. */
  async setPreference(name: string, value: number): Promise<void> {
    const scope = { 'moz:scope': 'chrome' };
    const { contexts } = (await this.#ask('browsingContext.getTree', scope)) as { contexts: { context: string }[] };
    const expression = `Services.prefs.setIntPref(${JSON.stringify(name)}, ${value})`;
    const target = { context: contexts[0].context };
    const { type } = (await this.#ask('script.evaluate', { expression, target, awaitPromise: false })) as {
      type: string;
    };
    assert.equal(type, 'success', `${name} is set`);
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

/** No network of its own, and nothing that would write over the screen. */
const preferences = `
user_pref("app.normandy.enabled", false);
user_pref("app.update.auto", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage", "about:blank");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9/");
user_pref("toolkit.telemetry.enabled", false);
`;
