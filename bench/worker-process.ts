/** WorkerProcess: one client or one server in a process of its own, asked and answered over IPC. */

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { EngineName } from './engine.ts';
import type { Reply, Request, Role, Start } from './messages.ts';

/** Ends every worker that still runs: for interrupts and for the end of the run's time. */
export function killAll(): void {
  for (const worker of running) {
    worker.kill();
  }
}

type Question = Request extends infer R ? (R extends Request ? Omit<R, 'id'> : never) : never;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class WorkerProcess {
  /** Rejects when the process ends; never resolves. */
  readonly crashed: Promise<never>;
  readonly #child: ChildProcess;
  readonly #label: string;
  readonly #role: Role;
  readonly #engine: EngineName;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #dead: Error | undefined;

  constructor(role: Role, engine: EngineName, nodeFlags: readonly string[] = []) {
    this.#role = role;
    this.#engine = engine;
    this.#label = `the ${role} worker of ${labels[engine]}`;
    this.#child = fork(fileURLToPath(workerUrl), [], {
      execArgv: [...nodeFlags],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    running.add(this);
    let complaint = '';
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(-COMPLAINT_LENGTH);
    });
    this.#child.on('message', (reply: Reply) => this.#receive(reply));
    this.crashed = new Promise((_, reject) => {
      this.#child.on('error', reject);
      // 'close' and not 'exit': what the worker wrote to stderr has arrived by then.
      this.#child.on('close', (code, signal) => {
        running.delete(this);
        const how = signal === null ? `with code ${code}` : `by ${signal}`;
        const why = complaint === '' ? '' : `: ${firstLines(complaint)}`;
        this.#dead = new Error(`${this.#label} ended ${how}${why}`);
        reject(this.#dead);
        for (const waiting of this.#waiting.values()) {
          waiting.reject(this.#dead);
        }
        this.#waiting.clear();
      });
    });
    this.crashed.catch(() => {});
  }

  /** Resolves with the port on which a server listens. */
  async start(options: Omit<Start, 'kind' | 'role' | 'engine'>): Promise<number> {
    const ready = this.#expect(0, START_PATIENCE_MS);
    this.#child.send({ kind: 'start', role: this.#role, engine: this.#engine, ...options } satisfies Start);
    return (await ready) as number;
  }

  ask(question: Question, patience: number = PATIENCE_MS): Promise<unknown> {
    if (this.#dead !== undefined) {
      return Promise.reject(this.#dead);
    }
    const id = this.#nextId++;
    const answer = this.#expect(id, patience);
    this.#child.send({ ...question, id }, (error) => {
      if (error !== null) {
        this.#waiting.get(id)?.reject(error);
      }
    });
    return answer;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #expect(id: number, patience: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`${this.#label} gave no answer within ${Math.round(patience / 1000)} s`));
      }, patience);
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(id);
      };
      this.#waiting.set(id, {
        resolve: (value) => {
          settle();
          resolve(value);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
    });
  }

  #receive(reply: Reply): void {
    if (reply.kind === 'ready') {
      this.#waiting.get(0)?.resolve(reply.port);
      return;
    }
    const waiting = this.#waiting.get(reply.id);
    if (reply.kind === 'failed') {
      waiting?.reject(new Error(`${this.#label}: ${reply.message}`));
      return;
    }
    waiting?.resolve(reply.value);
  }
}

/** The lines of a crash that say what happened, without stack and source paths. */
function firstLines(text: string): string {
  const lines = text.split('\n').map((line) => line.trim());
  const telling = lines.find((line) => /^(?:Uncaught )?\w*Error\b/.test(line));
  return telling ?? lines.find((line) => line !== '') ?? '';
}

const labels: Readonly<Record<EngineName, string>> = { ours: 'Mayfly', node: 'node:tls', floor: 'the floor' };
const running = new Set<WorkerProcess>();
/** The suffix is that of this very file, so that sources and builds both find their own. */
const workerUrl = new URL(`./worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);
/** For an answer, beside the time that the work itself is given. */
export const PATIENCE_MS = 15_000;
const START_PATIENCE_MS = 15_000;
const COMPLAINT_LENGTH = 8192;
