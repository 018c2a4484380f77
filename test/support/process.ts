/** Runs outside programs for tests: what they print can be waited for, and none outlives its test. */

import { type ChildProcess, spawn } from 'node:child_process';
import { requireTool } from './tools.ts';

export { freePort } from '../../bench/free-port.ts';

export interface ProcessOptions {
  /** Set in addition to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Written to the standard input, which is then ended. */
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
}

const running = new Set<ToolProcess>();

/** A program that runs. Use with `await using`, or `stop()` it: it ends with the test in any case. */
export class ToolProcess {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #chunks: Buffer[] = [];
  readonly #errors: Buffer[] = [];
  readonly #watchers = new Set<() => void>();
  #exit: { readonly code: number | null; readonly signal: NodeJS.Signals | null } | undefined;

  /** @throws Error when this machine does not have the program */
  constructor(name: string, args: readonly string[], options: ProcessOptions = {}) {
    this.#name = name;
    this.#child = spawn(requireTool(name), args, {
      env: { ...process.env, ...options.env },
      cwd: options.cwd,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    running.add(this);
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#took(this.#chunks, chunk));
    this.#child.stderr?.on('data', (chunk: Buffer) => this.#took(this.#errors, chunk));
    // A program that has gone does not read: its exit code tells why.
    this.#child.stdin?.on('error', () => {});
    this.#child.on('error', (error) => this.#took(this.#errors, Buffer.from(String(error))));
    this.#child.on('close', (code, signal) => {
      this.#exit = { code, signal };
      running.delete(this);
      this.#wake();
    });
    if (options.input !== undefined) {
      this.end(options.input);
    }
  }

  /** What it wrote to its standard output so far. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** What it printed so far: standard output, then errors. */
  get text(): string {
    return `${this.bytes.toString('utf8')}${Buffer.concat(this.#errors).toString('utf8')}`;
  }

  write(data: string | Uint8Array): void {
    this.#child.stdin?.write(data);
  }

  end(data: string | Uint8Array = ''): void {
    this.#child.stdin?.end(data);
  }

  /** Resolves once what it printed matches; fails when it ends before, or takes far too long. */
  async until(wanted: RegExp | string | (() => boolean)): Promise<void> {
    const met =
      typeof wanted === 'function'
        ? wanted
        : () => (typeof wanted === 'string' ? this.text.includes(wanted) : wanted.test(this.text));
    await this.#wait(met, () =>
      typeof wanted === 'function' ? 'what was waited for' : `to print ${String(wanted).slice(0, 100)}`,
    );
  }

  /** The exit code, once it has ended by itself; null when a signal ended it. */
  async exited(): Promise<number | null> {
    await this.#wait(
      () => this.#exit !== undefined,
      () => 'to end',
    );
    return this.#exit?.code ?? null;
  }

  /** Ends it if it runs still. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#exit === undefined) {
      this.#child.kill(signal);
      const hard = setTimeout(() => this.#child.kill('SIGKILL'), 2_000);
      await this.exited();
      clearTimeout(hard);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** For signals that it survives, such as 'SIGSTOP' and 'SIGCONT'. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  #took(chunks: Buffer[], chunk: Buffer): void {
    chunks.push(chunk);
    this.#wake();
  }

  #wake(): void {
    for (const watcher of [...this.#watchers]) {
      watcher();
    }
  }

  #wait(met: () => boolean, what: () => string): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (error?: Error) => {
        this.#watchers.delete(look);
        clearTimeout(guard);
        return error === undefined ? resolve() : reject(error);
      };
      const look = () => {
        if (met()) {
          finish();
        } else if (this.#exit !== undefined) {
          const { code, signal } = this.#exit;
          finish(new Error(`${this.#name} was expected ${what()}, but ended with ${code ?? signal}:\n${this.text}`));
        }
      };
      // No assertion on speed: without it a program that hangs would take the whole run with it, and tell nothing.
      const guard = setTimeout(() => {
        finish(new Error(`${this.#name} was expected ${what()}, and did not within ${GUARD} ms:\n${this.text}`));
      }, GUARD);
      this.#watchers.add(look);
      look();
    });
  }
}

/** Runs a program to its end. */
export async function run(
  name: string,
  args: readonly string[],
  options: ProcessOptions = {},
): Promise<{ code: number | null; text: string; bytes: Buffer }> {
  const tool = new ToolProcess(name, args, { input: '', ...options });
  const code = await tool.exited();
  return { code, text: tool.text, bytes: tool.bytes };
}

process.on('exit', () => {
  for (const tool of running) {
    tool.kill();
  }
});

// A runner that ends a test file does so by a signal, on which Node would leave without a word to 'exit' listeners.
process.once('SIGTERM', () => process.exit(143));

/** Milliseconds: many times what anything takes, for a machine that has much else to do. */
const GUARD = 60_000;
