/** Servers in processes of their own, and the load generators that ask them. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { toolPath } from '../tools.ts';

/** A place for files, and the processes that use them; all of it gone at the end. */
export class Stage {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'mayfly-bench-'));
  readonly #children = new Set<ChildProcess>();
  readonly #clear = (): void => this.clear();

  constructor() {
    process.on('exit', this.#clear);
  }

  /** Starts a server and waits until the port answers. */
  async start(command: string, given: readonly string[], port: number): Promise<ChildProcess> {
    const child = spawn(command, given, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], cwd: this.folder });
    this.#children.add(child);
    let complaint = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(-400);
    });
    child.on('error', (error) => {
      complaint += error.message;
    });
    const end = performance.now() + START_PATIENCE_MS;
    while (!(await answers(port))) {
      if (child.exitCode !== null || performance.now() > end) {
        throw new Error(`${command} does not listen: ${complaint.trim()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return child;
  }

  async stop(child: ChildProcess): Promise<void> {
    this.#children.delete(child);
    const ended = child.exitCode !== null || new Promise((resolve) => child.once('exit', resolve));
    // Their own children, if they have any, end with them on this and not on SIGKILL.
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_PATIENCE_MS);
    await ended;
    clearTimeout(timer);
  }

  clear(): void {
    process.off('exit', this.#clear);
    for (const child of this.#children) {
      child.kill('SIGTERM');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export interface Load {
  readonly url: string;
  /** 2 is asked with h2load, 1 with wrk. */
  readonly http: 1 | 2;
  /** A connection for each request. */
  readonly fresh: boolean;
  readonly seconds: number;
}

/** The load generator that a load needs, where this machine does not have it. */
export function missingTool(http: 1 | 2): string | undefined {
  const name = http === 1 ? 'wrk' : 'h2load';
  return toolPath(name) === undefined ? name : undefined;
}

/** Requests per second, of which none failed. */
export function requestsPerSecond(load: Load): Promise<number> {
  if (load.http === 1) {
    return wrk(load);
  }
  return load.fresh ? h2loadFresh(load) : h2loadKept(load);
}

async function wrk({ url, fresh, seconds }: Load): Promise<number> {
  const header = fresh ? ['-H', 'Connection: close'] : [];
  const { stdout } = await execute('wrk', ['-t', '1', '-c', CONNECTIONS, '-d', `${seconds}s`, ...header, url]);
  const [, rate] = /Requests\/sec:\s+([\d.]+)/.exec(stdout) ?? [];
  const errors = /(?:Socket errors: connect [1-9]|Non-2xx or 3xx responses:).*/.exec(stdout);
  if (rate === undefined || errors !== null) {
    throw new Error(`wrk: ${errors?.[0] ?? 'no rate'}`);
  }
  return Number(rate);
}

/** By a number of requests and not by time, at the end of which it would hang up in the middle of streams. */
async function h2loadKept(load: Load): Promise<number> {
  const ask = (requests: number) => h2load(load, ['-n', String(requests), '-c', CONNECTIONS, '-m', '8']);
  const roughly = await ask(FIRST);
  return ask(Math.max(FIRST, Math.round(roughly * load.seconds)));
}

/** h2load opens no connection anew: so as many as there are requests, and again until the time is over. */
async function h2loadFresh(load: Load): Promise<number> {
  const begin = performance.now();
  const rates: number[] = [];
  while (performance.now() - begin < 1000 * load.seconds) {
    rates.push(await h2load(load, ['-n', FRESH, '-c', FRESH, '-m', '1']));
  }
  return rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
}

async function h2load({ url }: Load, given: readonly string[]): Promise<number> {
  const { stdout } = await execute('h2load', ['-t', '1', ...given, url]);
  const [, rate] = /finished in [^,]+, ([\d.]+) req\/s/.exec(stdout) ?? [];
  const [, failed] = /requests:.*?(\d+) failed/.exec(stdout) ?? [];
  if (rate === undefined || failed !== '0') {
    throw new Error(`h2load: ${failed ?? 'no result, or'} requests failed`);
  }
  return Number(rate);
}

const execute = promisify(execFile);
const CONNECTIONS = '32';
const FRESH = '200';
/** Requests. */
const FIRST = 2000;
const START_PATIENCE_MS = 10_000;
const STOP_PATIENCE_MS = 3000;
