/** Programs that the example starts: what they print can be waited for, and none is left behind. */

import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const running = new Set<ChildProcess>();

export class Program {
  readonly pid: number;
  /** Resolves when it is gone. Never rejected. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<() => void>();
  #isOver = false;

  constructor(name: string, command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#name = name;
    this.#child = spawn(command, args, { env: { ...plainEnvironment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.pid = this.#child.pid ?? 0;
    running.add(this.#child);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      let rest = '';
      stream?.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        this.#lines.push(...lines);
        // Only the last ones may be asked for: it runs for as long as its user likes.
        this.#lines.splice(0, this.#lines.length - KEPT_LINES);
        this.#wake();
      });
    }
    this.ended = new Promise((resolve) => {
      const over = (): void => {
        running.delete(this.#child);
        this.#isOver = true;
        this.#wake();
        resolve();
      };
      this.#child.once('close', over);
      this.#child.once('error', (error) => {
        this.#lines.push(error.message);
        over();
      });
    });
  }

  /** The first line that `find` makes something of. @throws Error it ended before */
  async until<T>(find: (line: string) => T | undefined): Promise<T> {
    for (;;) {
      for (const line of this.#lines) {
        const found = find(line);
        if (found !== undefined) {
          return found;
        }
      }
      if (this.#isOver) {
        throw new Error(`${this.#name} ended: ${this.#lines.slice(-3).join(' ')}`);
      }
      await new Promise<void>((resolve) => this.#watchers.add(resolve));
    }
  }

  kill(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal);
    return this.ended;
  }

  #wake(): void {
    for (const wake of this.#watchers) {
      wake();
    }
    this.#watchers.clear();
  }
}

/** Also when this process ends by an error. */
process.on('exit', () => {
  for (const child of running) {
    child.kill('SIGKILL');
  }
});

/** The absolute path of the first of these that this machine has. */
export function findProgram(...names: readonly string[]): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Whoever uses Mayfly has its settings in the environment: this fleet is another one. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(MAYFLY_|NODE_OPTIONS$)/.test(name)));
}

const KEPT_LINES = 200;
