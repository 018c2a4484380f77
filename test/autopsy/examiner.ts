/** Starts a process to examine, hears its testimony, and searches its memory for every secret that has ended. */

import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { isWritten, type Mapping, mappingsOf, readFileInBlocks, readMemory } from './process-memory.ts';
import type { Order, Report } from './protocol.ts';
import type { Engine, Scale } from './scale.ts';
import { type Hit, Search } from './search.ts';
import { Testimony, TESTIMONY_FD, type ToldSecret } from './testimony.ts';

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
    const child = fork(join(import.meta.dirname, 'subject.js'), [engine, scale], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'ipc'],
      execArgv: ['--expose-gc', ...flags],
    });
    const examiner = new Examiner(child);
    const report = await examiner.#report();
    examiner.connections = report.connections;
    return examiner;
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
    process.kill(this.pid, 'SIGSTOP');
    try {
      return readMemory(this.pid, mappingsOf(this.pid).filter(which), overlap, look);
    } finally {
      process.kill(this.pid, 'SIGCONT');
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
