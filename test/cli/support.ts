/** Runs the compiled `mayfly` as a process of its own, the way a user does. */

import assert from 'node:assert/strict';
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type Command, CommanderError } from 'commander';
import { createDevelopmentCa, issueServerCertificate, type PemPair } from '../../src/certificates/development-ca.ts';
import { exitCode } from '../../src/cli/exit-codes.ts';
import { Problem, toProblem } from '../../src/cli/problem.ts';
import type { HostAnswer, HostOrder } from './host.ts';

export const mainFile: string = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js');

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Who cleans up afterwards: a test, or a whole file. */
export interface Owner {
  after(cleanUp: () => unknown): void;
}

/** A folder that is gone after the test. */
export function temporaryFolder(t: Owner): string {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs any program to its end; after a minute it is ended, which shows as code null. */
export function run(
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string; cwd?: string } = {},
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, NODE_OPTIONS: undefined, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
  });
}

/** Runs `mayfly` to its end. */
export function mayfly(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Result> {
  return run(process.execPath, [mainFile, ...args], { env });
}

let host: ChildProcess | undefined;

/**
 * Like `mayfly`, but in a process that serves all such calls of a test file, one after the other: a tenth of the time. It does
 * not show that the command ends by itself, with nothing left open.
 */
export async function mayflyHosted(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Result> {
  const turn = hostIsFree.then(() => askHost({ args, env }));
  hostIsFree = turn.catch(() => {});
  return turn;
}

let hostIsFree: Promise<unknown> = Promise.resolve();

function askHost(order: HostOrder): Promise<Result> {
  host ??= fork(join(import.meta.dirname, 'host.js'), {
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, NODE_OPTIONS: undefined },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const child = host;
  // It must not keep a test file alive that has come to its end.
  child.ref();
  child.channel?.ref();
  return new Promise<Result>((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    const ended = (code: number | null) => {
      host = undefined;
      finish(() => reject(new Error(`mayfly ${order.args.join(' ')} ended its host: ${code ?? 'it took too long'}`)));
    };
    const answered = (answer: HostAnswer) => finish(() => resolve(answer));
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      child.off('exit', ended).off('message', answered);
      child.unref();
      child.channel?.unref();
      settle();
    };
    child.once('exit', ended).once('message', answered);
    child.send(order);
  });
}

/**
 * Runs a command that must refuse its arguments, in this process: without the cost of a process of its own, which only
 * prints the same line and ends with the same code.
 */
export async function refusedHere(command: Command, args: readonly string[]): Promise<{ code: number; line: string }> {
  try {
    await command
      .exitOverride()
      .configureOutput({ outputError: () => {} })
      .parseAsync([...args], { from: 'user' });
  } catch (error) {
    const problem = error instanceof CommanderError ? new Problem('usage', error.message) : toProblem(error);
    assert.doesNotMatch(problem.line, /\n/, args.join(' '));
    return { code: exitCode(problem.exit), line: problem.line };
  }
  throw new assert.AssertionError({ message: `not refused: ${args.join(' ')}` });
}

export interface Event {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Serving {
  readonly child: ChildProcess;
  readonly port: number;
  /** `https://localhost:PORT` */
  readonly url: string;
  /** Without a slash at its end; empty without a status page. */
  readonly statusUrl: string;
  /** Path of the development CA's certificate. */
  readonly ca: string;
  readonly events: Event[];
  /** Resolves with the next event of this name (for which that is true), past ones included. */
  until(event: string, met?: (event: Event) => boolean): Promise<Event>;
  /** Sends SIGTERM (once) and resolves with the exit code. */
  stop(): Promise<number | null>;
  readonly ended: Promise<number | null>;
}

/** Starts `mayfly serve` on free ports with a state folder of its own, and ends it after the test. */
export async function serve(t: Owner, args: readonly string[]): Promise<Serving> {
  const state = temporaryFolder(t);
  const has = (flag: string) => args.includes(flag);
  const all = [
    'serve',
    '--json',
    ...(has('--listen') ? [] : ['--listen', 'localhost:0']),
    ...(has('--status') || has('--no-status') ? [] : ['--status', '127.0.0.1:0']),
    ...args,
  ];
  const child = spawn(process.execPath, [mainFile, ...all], {
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, NODE_OPTIONS: undefined, XDG_STATE_HOME: state },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const events: Event[] = [];
  const waiting: (() => void)[] = [];
  let stderr = '';
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    events.push(...lines.map((line) => JSON.parse(line) as Event));
    wake();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  let over = false;
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => {
      over = true;
      resolve(code);
      wake();
    });
  });
  function wake(): void {
    for (const callback of waiting.splice(0)) {
      callback();
    }
  }
  async function until(name: string, met: (event: Event) => boolean = () => true): Promise<Event> {
    for (;;) {
      const found = events.find((one) => one.event === name && met(one));
      if (found !== undefined) {
        return found;
      }
      if (over) {
        throw new Error(`serve ended without "${name}": ${JSON.stringify(events)} ${stderr}`);
      }
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  }
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const listening = await until('listening');
  const url = (listening.urls as string[])[0];
  return {
    child,
    port: Number(new URL(url).port),
    url,
    statusUrl: (listening.status as string | null) ?? '',
    ca: (listening.ca as string | null) ?? '',
    events,
    until,
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
    ended,
  };
}

/** One server for all tests of a file that do not mind each other: started by the first, ended after the last. */
export function sharedServer(args: readonly string[] | (() => Promise<readonly string[]>)): () => Promise<Serving> {
  const cleanUps: (() => unknown)[] = [];
  after(async () => {
    for (const cleanUp of cleanUps) {
      await cleanUp();
    }
  });
  let serving: Promise<Serving> | undefined;
  return () => {
    serving ??= (async () => {
      const given = typeof args === 'function' ? await args() : args;
      return serve({ after: (cleanUp) => cleanUps.push(cleanUp) }, given);
    })();
    return serving;
  };
}

export interface CertificateFiles {
  readonly caPath: string;
  readonly certPath: string;
  readonly keyPath: string;
  readonly ca: PemPair;
}

/** A CA and a server certificate in files. `now` is the time of making: one long ago makes an expired one. */
export function certificateFiles(
  folder: string,
  { now = Date.now(), days = 30, names = ['localhost', '127.0.0.1', '::1'], prefix = '' } = {},
): CertificateFiles {
  const ca = createDevelopmentCa({ now });
  const leaf = issueServerCertificate({ ca, names, now, days });
  const paths = {
    caPath: join(folder, `${prefix}ca.pem`),
    certPath: join(folder, `${prefix}cert.pem`),
    keyPath: join(folder, `${prefix}key.pem`),
  };
  writeFileSync(paths.caPath, ca.certificatePem);
  writeFileSync(paths.certPath, leaf.certificatePem);
  writeFileSync(paths.keyPath, leaf.privateKeyPem, { mode: 0o600 });
  return { ...paths, ca };
}

export interface StatusJson {
  readonly draining: boolean;
  readonly handshakes: {
    readonly full: number;
    readonly resumed: number;
    readonly failed: number;
    readonly byVersion: Record<string, { readonly full: number; readonly ticket: number; readonly id: number }>;
  };
  readonly sessionCache?: { readonly entries: number; readonly bytes: number; readonly hits: number };
  readonly resumptionRefusals: Record<string, number>;
  readonly failures: Record<string, number>;
  readonly ring: {
    readonly enabled: boolean;
    readonly keys: readonly { readonly name: string; readonly state: string }[];
  };
  readonly connections: { readonly open: number; readonly list: readonly Record<string, unknown>[] };
  readonly secrets: { readonly live: Record<string, number> };
}

export async function status(serving: Serving): Promise<StatusJson> {
  const response = await fetch(`${serving.statusUrl}/status.json`);
  return (await response.json()) as StatusJson;
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
