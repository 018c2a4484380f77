/**
 * Measures one row: both subjects warm up, then take turns (A B B A …) in rounds; medians, their ratio, and how far
 * the rounds lie apart. Budgets are in time, never in counts, so that a slow machine takes no longer.
 */

import type { Pair, PairSample } from './pair.ts';
import { type Key, keys, type PairPool } from './pair-pool.ts';
import type { Row } from './rows/rows.ts';
import { median, spread } from './statistics.ts';

export interface MeasureOptions {
  readonly pairs: PairPool;
  readonly rounds: number;
  /** Milliseconds for the whole row, processes' starts included; Infinity runs `roundMs` rounds whatever they take. */
  readonly budgetMs: number;
  /** Milliseconds of one round of one subject when the budget is no bound. */
  readonly roundMs: number;
  readonly progress: (text: string) => void;
  /** Where to write CPU profiles of the first subject; undefined for none. */
  readonly profilePath?: (row: string, role: 'client' | 'server') => string;
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

export async function measure(row: Row, options: MeasureOptions): Promise<Result> {
  const figures = row.workload === 'idle' ? await measureMemory(row, options) : await measureRate(row, options);
  const { ours, nodeTls } = figures;
  const ratio = row.lowerIsBetter === true ? nodeTls.value / ours.value : ours.value / nodeTls.value;
  return { row, ours, nodeTls, ratio };
}

async function measureRate(row: Row, options: MeasureOptions): Promise<Record<Key, Figures>> {
  const { budgetMs, progress } = options;
  const begin = performance.now();
  const bounded = Number.isFinite(budgetMs);
  const left = (): number => budgetMs - (performance.now() - begin);
  const pairs = await options.pairs.take(row.workload);
  const warmUpMs = bounded ? (left() * WARM_UP_SHARE) / 2 : LONGEST_WARM_UP_MS;
  for (const key of keys) {
    progress(`${row.name}: warm-up`);
    await warmUp(pairs[key], row, warmUpMs);
  }
  if (options.profilePath !== undefined) {
    await pairs.ours.startProfile();
  }
  const samples: Record<Key, PairSample[]> = { ours: [], nodeTls: [] };
  for (let round = 0; round < options.rounds; round++) {
    if (bounded && round > 0 && left() < 2 * MINIMUM_MS) {
      break;
    }
    for (const [index, key] of (round % 2 === 0 ? keys : keys.toReversed()).entries()) {
      progress(`${row.name}: round ${round + 1} of ${options.rounds}`);
      const turnsLeft = 2 * (options.rounds - round) - index;
      const wholeMs = row.whole === undefined ? options.roundMs : WHOLE_RUN_MS;
      // What is left is shared anew each time: an overrun of one turn is taken from the later ones.
      const ms = bounded ? Math.max(MINIMUM_MS, (left() / turnsLeft) * TURN_SHARE) : wholeMs;
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
}

/**
 * Until the CPU time per unit no longer falls, or the time is up: code that runs once per handshake is compiled only
 * after some thousand of them. CPU time and not the rate, which other processes disturb more.
 */
async function warmUp(pair: Pair, row: Row, longestMs: number): Promise<void> {
  const end = performance.now() + longestMs;
  const sliceMs = Math.min(WARM_UP_SLICE_MS, longestMs / 4);
  let best = Number.POSITIVE_INFINITY;
  let slicesWithoutGain = 0;
  while (slicesWithoutGain < STEADY_SLICES && performance.now() + sliceMs / 2 < end) {
    const { total, cpuMicros, serverCpuMicros } = await pair.drive(sliceMs, row.options);
    const cost = (cpuMicros + serverCpuMicros) / total;
    slicesWithoutGain = cost < best * (1 - WARM_UP_GAIN) ? 0 : slicesWithoutGain + 1;
    best = Math.min(best, cost);
  }
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
  const pair = await options.pairs.startOne(key, row.workload, MEMORY_FLAGS);
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

/** Of a bounded row's time: what the warm-up of both subjects may take. */
const WARM_UP_SHARE = 0.5;
const LONGEST_WARM_UP_MS = 20_000;
const WARM_UP_SLICE_MS = 500;
const WARM_UP_GAIN = 0.02;
const STEADY_SLICES = 4;
/** Leaves room for what surrounds a turn: the last connections, questions to the workers. */
const TURN_SHARE = 0.9;
const MINIMUM_MS = 20;
const WHOLE_RUN_MS = 60_000;
const MEMORY_ROUNDS = 3;
const MEMORY_OPEN_SHARE = 0.4;
const MEMORY_FLAGS = ['--expose-gc', '--max-semi-space-size=1'];
