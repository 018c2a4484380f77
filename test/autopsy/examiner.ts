/** Starts a process to examine, hears its testimony, and searches its memory for every secret that has ended. */

import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { createDevelopmentCa, issueServerCertificate } from '../../src/certificates/development-ca.ts';
import { visit } from './clients.ts';
import type { Crash } from './life-crash.ts';
import { isStopped, isWritten, type Mapping, mappingsOf, readFileInBlocks, readMemory } from './process-memory.ts';
import type { Order, Report } from './protocol.ts';
import type { Engine, Scale } from './scale.ts';
import { type Hit, Search } from './search.ts';
import { TESTIMONY_FD, Testimony, type ToldSecret } from './testimony.ts';

export interface Find {
  readonly secret: ToldSecret;
  readonly hit: Hit;
  readonly mapping: Mapping | undefined;
  /** The bytes around it. */
  readonly around: Buffer;
}

export interface Examination {
  readonly finds: readonly Find[];
  /** Bytes of memory that were looked at. */
  readonly searched: number;
}

const AROUND = 64;

function begin(
  engine: Engine,
  scale: Scale,
  flags: readonly string[],
  errors: 'inherit' | 'ignore' = 'inherit',
): ChildProcess {
  return fork(join(import.meta.dirname, 'subject.js'), [engine, scale], {
    stdio: ['ignore', 'inherit', errors, 'pipe', 'ipc'],
    execArgv: ['--expose-gc', ...flags],
  });
}

export class Examiner {
  readonly testimony = new Testimony();
  readonly #child: ChildProcess;
  connections = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    (child.stdio[TESTIMONY_FD] as Readable).on('data', (chunk: Buffer) => this.testimony.hear(chunk));
  }

  /** Resolves when its life is over, and it has not been told to collect garbage yet. */
  static async start(engine: Engine, scale: Scale, flags: readonly string[] = []): Promise<Examiner> {
    const examiner = new Examiner(begin(engine, scale, flags));
    const report = await examiner.#report();
    examiner.connections = report.connections;
    return examiner;
  }

  /** The same of a process that stops itself in the middle of its end. */
  static async startCrash(how: Crash): Promise<Examiner> {
    const child = begin(how, 'short', [], 'ignore');
    const examiner = new Examiner(child);
    let ended = false;
    child.once('exit', () => {
      ended = true;
    });
    while (!isStopped(examiner.pid)) {
      if (ended) {
        throw new Error('the process ended without having stopped');
      }
      await setTimeout(20);
    }
    // What it wrote last has come by now, or comes with the next turn.
    await setTimeout(20);
    return examiner;
  }

  /** A server that listens still, whose clients were here; the secrets that they learned are its testimony. */
  static async startServer(tls: 'mayfly' | 'native', scale: Scale): Promise<Examiner> {
    const examiner = new Examiner(begin(`${tls} server`, scale, []));
    const now = Date.now();
    const ca = createDevelopmentCa({ now });
    const { certificatePem: cert, privateKeyPem: key } = issueServerCertificate({ ca, names: ['localhost'], now });
    examiner.#order({ order: 'serve', cert, key });
    const { port } = await examiner.#report();
    const { secrets, connections } = await visit(scale, port as number, ca.certificatePem);
    for (const secret of secrets) {
      examiner.testimony.secrets.set(secret.id, secret);
    }
    examiner.connections = connections;
    return examiner;
  }

  async closeServer(): Promise<void> {
    this.#order({ order: 'close' });
    await this.#report();
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  async collectGarbage(): Promise<void> {
    this.#order({ order: 'collect' });
    await this.#report();
  }

  async heapSnapshot(path: string): Promise<void> {
    this.#order({ order: 'snapshot', path });
    await this.#report();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#order({ order: 'end' });
    await ended;
  }

  /** Searches the memory while the process stands still. */
  searchMemory(secrets: Iterable<ToldSecret>, which: (mapping: Mapping) => boolean = isWritten): Examination {
    const { search, byId } = prepare(secrets);
    const finds: Find[] = [];
    const look = (block: Buffer, address: number, mapping: Mapping) => {
      for (const hit of search.scan(block, address)) {
        finds.push(findOf(hit, byId, block, address, mapping));
      }
    };
    const searched = this.lookAtMemory(search.overlap, look, which);
    return { finds: unique(finds), searched };
  }

  /** Reads the memory in blocks while the process stands still; returns its bytes. */
  lookAtMemory(
    overlap: number,
    look: (block: Buffer, address: number, mapping: Mapping) => void,
    which: (mapping: Mapping) => boolean = isWritten,
  ): number {
    const wasStopped = isStopped(this.pid);
    process.kill(this.pid, 'SIGSTOP');
    try {
      return readMemory(this.pid, mappingsOf(this.pid).filter(which), overlap, look);
    } finally {
      if (!wasStopped) {
        process.kill(this.pid, 'SIGCONT');
      }
    }
  }

  /** The same of a core dump, registers included; undefined where there is no gcore. */
  searchCore(secrets: Iterable<ToldSecret>): Examination | undefined {
    if (!existsSync('/usr/bin/gcore')) {
      return undefined;
    }
    const folder = mkdtempSync(join(tmpdir(), 'autopsy-'));
    try {
      execFileSync('/usr/bin/gcore', ['-a', '-o', join(folder, 'core'), String(this.pid)], { stdio: 'ignore' });
      return searchFile(join(folder, `core.${this.pid}`), secrets);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  #order(order: Order): void {
    this.#child.send(order);
  }

  async #report(): Promise<Report> {
    const gone = once(this.#child, 'exit').then(([code]) => {
      throw new Error(`the process under examination ended with ${code}`);
    });
    const [report] = (await Promise.race([once(this.#child, 'message'), gone])) as [Report];
    gone.catch(() => {});
    return report;
  }
}

export function searchFile(path: string, secrets: Iterable<ToldSecret>): Examination {
  const { search, byId } = prepare(secrets);
  const finds: Find[] = [];
  const searched = readFileInBlocks(path, search.overlap, (block, offset) => {
    for (const hit of search.scan(block, offset)) {
      finds.push(findOf(hit, byId, block, offset, undefined));
    }
  });
  return { finds: unique(finds), searched };
}

function prepare(secrets: Iterable<ToldSecret>) {
  const byId = new Map([...secrets].map((secret) => [secret.id, secret]));
  return { search: new Search(byId.values()), byId };
}

function findOf(
  hit: Hit,
  byId: ReadonlyMap<number, ToldSecret>,
  block: Buffer,
  address: number,
  mapping: Mapping | undefined,
): Find {
  const at = hit.address - address;
  const around = Buffer.from(block.subarray(Math.max(0, at - AROUND), at + hit.length + AROUND));
  return { secret: byId.get(hit.id) as ToldSecret, hit, mapping, around };
}

/** Blocks overlap: what stands where they do is seen twice, once perhaps cut short. */
function unique(finds: readonly Find[]): Find[] {
  const byPlace = new Map<string, Find>();
  for (const find of finds) {
    const key = `${find.hit.id} ${find.hit.form} ${find.hit.address - find.hit.from}`;
    const known = byPlace.get(key);
    if (known === undefined || known.hit.length < find.hit.length) {
      byPlace.set(key, find);
    }
  }
  return [...byPlace.values()];
}
