/**
 * Measures one row: both subjects warm up, then take turns (A B B A …) in rounds; medians, their ratio, and how far
 * the rounds lie apart. Budgets are in time, never in counts, so that a slow machine takes no longer.
 */

import type { BenchCertificate } from './certificate.ts';
import type { EngineName } from './engine.ts';
import { Pair, type PairSample } from './pair.ts';
import type { Row } from './rows/rows.ts';
import { median, spread } from './statistics.ts';

export interface MeasureOptions {
  readonly certificate: BenchCertificate;
  readonly rounds: number;
  /** Milliseconds for the whole row, processes' starts included; Infinity runs `roundMs` rounds whatever they take. */
  readonly budgetMs: number;
  /** Milliseconds of one round of one subject when the budget is no bound. */
  readonly roundMs: number;
  readonly subjects: Subjects;
  readonly progress: (text: string) => void;
  /** Where to write CPU profiles of the first subject; undefined for none. */
  readonly profilePath?: (row: string, role: 'client' | 'server') => string;
}

/** What runs as "ours" and as "node:tls". */
export interface Subjects {
  readonly ours: Ends;
  readonly nodeTls: Ends;
}

export interface Ends {
  readonly client: EngineName;
  readonly server: EngineName;
}

/** One subject's figures. */
export interface Figures {
  /** In the row's unit. */
  readonly value: number;
  /** (max − min) ÷ median over the rounds. */
  readonly spread: number;
  /** Per unit, µs; for the memory row KiB of each end. */
  readonly client: number;
  readonly server: number;
  /** For the memory row: KiB of V8 heap and external memory of both ends, mean. */
  readonly heap?: number;
}

export interface Result {
  readonly row: Row;
  readonly ours: Figures;
  readonly nodeTls: Figures;
  /** Above 1: ours is better. */
  readonly ratio: number;
}

type Key = keyof Subjects;
const keys: readonly Key[] = ['ours', 'nodeTls'];

export async function measure(row: Row, options: MeasureOptions): Promise<Result> {
  const figures = row.workload === 'idle' ? await measureMemory(row, options) : await measureRate(row, options);
  const { ours, nodeTls } = figures;
  const ratio = row.lowerIsBetter === true ? nodeTls.value / ours.value : ours.value / nodeTls.value;
  return { row, ours, nodeTls, ratio };
}

async function measureRate(row: Row, options: MeasureOptions): Promise<Record<Key, Figures>> {
  const begin = performance.now();
  const bounded = Number.isFinite(options.budgetMs);
  const pairs = await startPairs(row, options);
  try {
    const left = options.budgetMs - (performance.now() - begin);
    const warmUpMs = bounded ? (left * WARM_UP_SHARE) / 2 : options.roundMs;
    for (const key of keys) {
      options.progress(`${row.name}: warm-up`);
      await pairs[key].drive(warmUpMs, row.options);
    }
    if (options.profilePath !== undefined) {
      await pairs.ours.startProfile();
    }
    const samples: Record<Key, PairSample[]> = { ours: [], nodeTls: [] };
    for (let round = 0; round < options.rounds; round++) {
      const turn = round % 2 === 0 ? keys : keys.toReversed();
      for (const [index, key] of turn.entries()) {
        options.progress(`${row.name}: round ${round + 1} of ${options.rounds}`);
        const turnsLeft = 2 * (options.rounds - round) - index;
        const remaining = options.budgetMs - (performance.now() - begin);
        if (bounded && remaining < 0 && samples.ours.length > 0 && samples.nodeTls.length > 0) {
          break;
        }
        const wholeMs = row.whole === undefined ? options.roundMs : WHOLE_RUN_MS;
        // What is left is shared anew each time: an overrun of one turn is taken from the later ones.
        const ms = bounded ? Math.max(MINIMUM_MS, (remaining / turnsLeft) * TURN_SHARE) : wholeMs;
        samples[key].push(await pairs[key].drive(ms, row.options));
      }
    }
    if (options.profilePath !== undefined) {
      const { profilePath } = options;
      await pairs.ours.stopProfile({
        client: profilePath(row.name, 'client'),
        server: profilePath(row.name, 'server'),
      });
    }
    return { ours: summarise(samples.ours), nodeTls: summarise(samples.nodeTls) };
  } finally {
    pairs.ours.kill();
    pairs.nodeTls.kill();
  }
}

async function startPairs(
  row: Row,
  options: MeasureOptions,
  nodeFlags?: readonly string[],
): Promise<Record<Key, Pair>> {
  const { certificate, subjects } = options;
  const start = (key: Key): Promise<Pair> =>
    Pair.start({ ...subjects[key], workload: row.workload, certificate, nodeFlags });
  const [ours, nodeTls] = await Promise.allSettled([start('ours'), start('nodeTls')]);
  if (ours.status === 'fulfilled' && nodeTls.status === 'fulfilled') {
    return { ours: ours.value, nodeTls: nodeTls.value };
  }
  let reason: unknown;
  for (const result of [ours, nodeTls]) {
    if (result.status === 'fulfilled') {
      result.value.kill();
    } else {
      reason ??= result.reason;
    }
  }
  throw reason;
}

function summarise(samples: readonly PairSample[]): Figures {
  const rates = samples.map((sample) => sample.count / sample.seconds);
  return {
    value: median(rates),
    spread: spread(rates),
    client: median(samples.map((sample) => sample.cpuMicros / sample.total)),
    server: median(samples.map((sample) => sample.serverCpuMicros / sample.total)),
  };
}

/**
 * The growth of each process from some connections to many more: what the first ones cost (code, heap growth, pools)
 * stays out. Fresh processes for each round; a small young generation keeps garbage out of the resident size.
 */
async function measureMemory(row: Row, options: MeasureOptions): Promise<Record<Key, Figures>> {
  const begin = performance.now();
  const bounded = Number.isFinite(options.budgetMs);
  const rounds = bounded ? 1 : Math.min(options.rounds, MEMORY_ROUNDS);
  const uses: Record<Key, MemoryPerConnection[]> = { ours: [], nodeTls: [] };
  for (let round = 0; round < rounds; round++) {
    for (const [index, key] of (round % 2 === 0 ? keys : keys.toReversed()).entries()) {
      options.progress(`${row.name}: round ${round + 1} of ${rounds}`);
      const share = (options.budgetMs - (performance.now() - begin)) / (2 - index);
      const ms = bounded ? Math.max(MINIMUM_MS, share * MEMORY_OPEN_SHARE) : WHOLE_RUN_MS;
      uses[key].push(await measureMemoryOnce(row, options, key, ms));
    }
  }
  return { ours: summariseMemory(uses.ours), nodeTls: summariseMemory(uses.nodeTls) };
}

/** KiB per connection. */
interface MemoryPerConnection {
  readonly client: number;
  readonly server: number;
  readonly heap: number;
}

async function measureMemoryOnce(
  row: Row,
  options: MeasureOptions,
  key: Key,
  ms: number,
): Promise<MemoryPerConnection> {
  const { certificate, subjects } = options;
  const pair = await Pair.start({ ...subjects[key], workload: row.workload, certificate, nodeFlags: MEMORY_FLAGS });
  try {
    await pair.drive(ms, { count: row.options.warmUp });
    const before = await pair.memory();
    const { count } = await pair.drive(ms, { count: row.options.count });
    const after = await pair.memory();
    const each = (bytes: number): number => bytes / count / 1024;
    return {
      client: each(after.client.rss - before.client.rss),
      server: each(after.server.rss - before.server.rss),
      heap: each(after.client.heap - before.client.heap + after.server.heap - before.server.heap) / 2,
    };
  } finally {
    pair.kill();
  }
}

function summariseMemory(uses: readonly MemoryPerConnection[]): Figures {
  const means = uses.map((use) => (use.client + use.server) / 2);
  return {
    value: median(means),
    spread: spread(means),
    client: median(uses.map((use) => use.client)),
    server: median(uses.map((use) => use.server)),
    heap: median(uses.map((use) => use.heap)),
  };
}

const WARM_UP_SHARE = 0.2;
/** Leaves room for what surrounds a turn: the last connections, questions to the workers. */
const TURN_SHARE = 0.9;
const MINIMUM_MS = 20;
const WHOLE_RUN_MS = 60_000;
const MEMORY_ROUNDS = 3;
const MEMORY_OPEN_SHARE = 0.4;
const MEMORY_FLAGS = ['--expose-gc', '--max-semi-space-size=1'];
