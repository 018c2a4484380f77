/**
 * `serve --workers N`: the primary reads files, hosts what its workers share, tells how all of them stand, puts a new worker
 * in the place of one that crashed, and lets all of them finish in the end. It serves no connection itself.
 */

import cluster, { type Worker } from 'node:cluster';
import { type MachineRing, machineRing } from '../../../node/fleet.ts';
import type { Address } from '../../address.ts';
import type { ExitName } from '../../exit-codes.ts';
import type { Output } from '../../output.ts';
import { Problem } from '../../problem.ts';
import type { LedgerQuery } from '../../status/ledger-view.ts';
import { mergeSnapshots, WORKER_IDS, type WorkerSnapshot } from '../../status/merge.ts';
import type { ServingFacts, StatusSnapshot } from '../../status/snapshot.ts';
import { announce } from '../announce.ts';
import { certificateFacts, servingWhat, urlsOf } from '../engine.ts';
import { DRAIN_PATIENCE, drainOnSignal, openStatus, warnAfter, warnBefore } from '../lifecycle.ts';
import { renewFiles } from '../load.ts';
import type { ServePlan } from '../plan.ts';
import type { Renewable } from '../renewal.ts';
import { Line } from './line.ts';
import { SharedMemory } from './shared.ts';
import { messageOf } from './worker.ts';

export interface PrimaryOptions {
  readonly plan: ServePlan;
  readonly renewable: Renewable;
  readonly output: Output;
  readonly startedAt: number;
}

interface Crew {
  readonly worker: Worker;
  readonly line: Line;
  readonly forkedAt: number;
  up: boolean;
  /** Its figures, as it told them last. */
  last: StatusSnapshot | undefined;
}

/** Whether this process was forked by `serveByWorkers`, not by a program that has workers for a reason of its own. */
export function isServeWorker(): boolean {
  return process.env[MARK] === '1';
}

/** @throws Problem what the first worker that cannot serve says */
export async function serveByWorkers(options: PrimaryOptions): Promise<void> {
  const { plan, output, startedAt } = options;
  const primary = new Primary(options);
  const addresses = await primary.start();
  const facts: ServingFacts = {
    startedAt,
    serving: servingWhat(plan.flags),
    urls: urlsOf(addresses, plan.address),
    versions: plan.versions,
    ring: plan.ring,
    get certificate() {
      return certificateFacts(primary.renewable.credentials);
    },
  };
  const takers = { status: () => primary.status(facts), ledger: (query: LedgerQuery) => primary.ledger(query) };
  const status = await openStatus(plan, takers).catch(async (error: unknown) => {
    await primary.drain();
    throw error;
  });
  const endRenewal = renewFiles(plan, options.renewable, output, (renewed) => primary.renew(renewed));
  const { credentials } = options.renewable;
  warnBefore(plan, output);
  const policy = plan.flags.policyInForce?.();
  announce({ output, facts, policy, workers: plan.workers, ...options.renewable, addresses, status });
  warnAfter(plan, credentials, output);
  primary.keepUp();
  drainOnSignal({
    output,
    open: () => primary.open,
    async drain() {
      const cut = await primary.drain();
      status?.close();
      endRenewal();
      return cut;
    },
  });
}

class Primary {
  renewable: Renewable;
  readonly #plan: ServePlan;
  readonly #output: Output;
  readonly #startedAt: number;
  readonly #ring: MachineRing | undefined;
  readonly #memory = new SharedMemory();
  readonly #crew = new Map<number, Crew>();
  /** The last figures of workers that are gone, added up: at most one. */
  #gone: readonly StatusSnapshot[] = [];
  #replaced = 0;
  #cut = 0;
  #draining = false;
  #pause = FIRST_PAUSE;
  #started: { up(addresses: readonly Address[]): void; failed(problem: Problem): void } | undefined;

  constructor({ plan, renewable, output, startedAt }: PrimaryOptions) {
    this.#plan = plan;
    this.renewable = renewable;
    this.#output = output;
    this.#startedAt = startedAt;
    const { sharedBy, enabled, rotate, lifetime } = plan.ring;
    this.#ring =
      sharedBy === 'machine' && enabled
        ? machineRing({ rotate: rotate / 1000, ticketLifetime: lifetime / 1000 })
        : undefined;
  }

  /** Connections that are open, as far as was told. */
  get open(): number {
    return [...this.#crew.values()].reduce((sum, { last }) => sum + (last?.connections.open ?? 0), 0);
  }

  /** Resolves when all workers serve. @throws Problem */
  async start(): Promise<readonly Address[]> {
    const first = new Promise<readonly Address[]>((resolve, reject) => {
      let waiting = this.#plan.workers ?? 1;
      this.#started = {
        up(addresses) {
          waiting--;
          if (waiting === 0) {
            resolve(addresses);
          }
        },
        failed: reject,
      };
    });
    for (let i = 0; i < (this.#plan.workers ?? 1); i++) {
      this.#fork();
    }
    try {
      return await first;
    } catch (error) {
      this.#draining = true;
      for (const { worker } of this.#crew.values()) {
        worker.process.kill('SIGKILL');
      }
      await this.#close();
      throw error;
    } finally {
      this.#started = undefined;
    }
  }

  /** Asks each worker every second, so that little is lost with one that crashes. */
  keepUp(): void {
    setInterval(() => void this.#ask(), LOOK_INTERVAL).unref();
  }

  async status(facts: ServingFacts): Promise<StatusSnapshot> {
    await this.#ask();
    const running = [...this.#crew.values()].flatMap(({ worker, last }): WorkerSnapshot[] =>
      last === undefined ? [] : [{ worker: worker.id, pid: worker.process.pid ?? 0, snapshot: last }],
    );
    return mergeSnapshots({
      facts,
      running,
      gone: this.#gone,
      replaced: this.#replaced,
      draining: this.#draining,
      memory: process.memoryUsage.rss(),
      ring: this.#ring?.ringStatus(),
    });
  }

  /** Connections are numbered by worker; the rest is told for each of them. */
  async ledger({ connection }: LedgerQuery): Promise<unknown> {
    if (connection !== undefined) {
      const crew = this.#crew.get(Math.floor(connection / WORKER_IDS));
      return crew?.line.ask('ledger', { connection: connection % WORKER_IDS }).catch(() => undefined);
    }
    const workers = await Promise.all(
      [...this.#crew.values()].map(async ({ worker, line }) => {
        const view = await line.ask('ledger', {}).catch(() => undefined);
        return view === undefined ? [] : [{ worker: worker.id, ...(view as object) }];
      }),
    );
    return { workers: workers.flat() };
  }

  renew(renewed: Renewable): void {
    this.renewable = renewed;
    for (const { line } of this.#crew.values()) {
      line.ask('renew', messageOf(renewed)).catch(() => {
        this.#output.warn('a worker did not take the renewed certificate: it serves with the old one');
      });
    }
  }

  /** Lets all workers finish. Resolves with the number of connections that were cut off. */
  async drain(): Promise<number> {
    this.#draining = true;
    const ends = [...this.#crew.values()].map(({ worker, line }) => {
      const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
      line.ask('drain', {}).catch(() => {});
      const hard = setTimeout(() => worker.process.kill('SIGKILL'), DRAIN_PATIENCE + 3_000);
      return ended.then(() => clearTimeout(hard));
    });
    await Promise.all(ends);
    await this.#close();
    return this.#cut;
  }

  async #close(): Promise<void> {
    this.#memory.close();
    await this.#ring?.close();
  }

  #fork(): void {
    const worker = cluster.fork({ [MARK]: '1' });
    const line = new Line(
      {
        send: (message) => {
          if (worker.isConnected()) {
            worker.send(message, undefined, () => {});
          }
        },
        listen: (listener) => worker.on('message', listener),
      },
      {
        ...this.#memory.handlers,
        hello: () => ({ renewable: messageOf(this.renewable), startedAt: this.#startedAt }),
        up: ({ addresses }: { addresses: readonly Address[] }) => this.#up(crew, addresses),
        failed: (problem: { exit: ExitName; message: string; hint?: string }) => this.#failed(problem),
        leaving: ({ cut, snapshot }: { cut: number; snapshot?: StatusSnapshot }) => {
          this.#cut += cut;
          crew.last = snapshot ?? crew.last;
        },
      },
    );
    const crew: Crew = { worker, line, forkedAt: Date.now(), up: false, last: undefined };
    this.#crew.set(worker.id, crew);
    worker.on('error', () => {});
    worker.once('exit', (code, signal) => this.#exited(crew, code, signal));
  }

  #up(crew: Crew, addresses: readonly Address[]): void {
    crew.up = true;
    if (this.#started === undefined) {
      this.#output.event('worker-up', { worker: crew.worker.id, pid: crew.worker.process.pid });
    }
    this.#started?.up(addresses);
  }

  #failed({ exit, message, hint }: { exit: ExitName; message: string; hint?: string }): void {
    if (this.#draining) {
      // The first one's problem ended the start, and has been told.
      return;
    }
    const problem = new Problem(exit, message, hint);
    if (this.#started === undefined) {
      this.#output.warn(`a worker cannot serve: ${problem.line}`);
      return;
    }
    this.#started.failed(problem);
  }

  #exited(crew: Crew, code: number | null, signal: string | null): void {
    const { worker, line, forkedAt, last } = crew;
    this.#crew.delete(worker.id);
    line.cut();
    if (last !== undefined) {
      this.#gone = [addUpGone([...this.#gone, last])];
    }
    if (this.#draining) {
      return;
    }
    const how = signal ?? `code ${code}`;
    if (this.#started !== undefined) {
      this.#started.failed(new Problem('failure', `worker ${worker.id} ended at its start (${how})`));
      return;
    }
    this.#replaced++;
    // One that does not get up must not be forked without end.
    this.#pause = Date.now() - forkedAt > STEADY_AFTER ? FIRST_PAUSE : Math.min(2 * this.#pause, LONGEST_PAUSE);
    this.#output.warn(`worker ${worker.id} (process ${worker.process.pid}) ended with ${how}: another takes its place`);
    this.#output.event('worker-ended', { worker: worker.id, pid: worker.process.pid, code, signal });
    setTimeout(() => {
      if (!this.#draining) {
        this.#fork();
      }
    }, this.#pause);
  }

  /** One that is busy keeps the figures that it told last. */
  async #ask(): Promise<void> {
    const asked = [...this.#crew.values()].filter(({ up }) => up);
    await Promise.all(
      asked.map(async (crew) => {
        try {
          crew.last = ((await crew.line.ask('status', {}, STATUS_PATIENCE)) as StatusSnapshot | undefined) ?? crew.last;
        } catch {
          // It is told of when it ends.
        }
      }),
    );
  }
}

/** So that they do not pile up. */
function addUpGone(gone: readonly StatusSnapshot[]): StatusSnapshot {
  return mergeSnapshots({
    facts: gone[0],
    running: [],
    gone,
    replaced: 0,
    draining: false,
    memory: 0,
    ring: undefined,
  });
}

const MARK = 'MAYFLY_SERVE_WORKER';
/** Milliseconds. */
const LOOK_INTERVAL = 1_000;
const STATUS_PATIENCE = 500;
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;
/** A worker that ran for so long did not fail at its start. */
const STEADY_AFTER = 5_000;
