/**
 * The memory row: the growth of each process from some connections to many more, so that what the first ones cost (code,
 * heap growth, pools) stays out. Fresh processes for each round; a small young generation keeps garbage out of the
 * resident size.
 */

import type { Figures } from './figures.ts';
import type { MeasureOptions, Result } from './measure.ts';
import type { Party } from './messages.ts';
import type { Row } from './rows/rows.ts';
import { median, spread } from './statistics.ts';

export async function measureMemory(row: Row, options: MeasureOptions): Promise<Result> {
  const begin = performance.now();
  const bounded = Number.isFinite(options.budgetMs);
  const rounds = bounded && options.budgetMs < SHORT_MS ? 1 : Math.min(options.rounds, MOST_ROUNDS);
  const { parties } = options.casts;
  const turns = parties.length * rounds;
  const uses: Record<Party, MemoryPerConnection[]> = { ours: [], nodeTls: [], floor: [] };
  for (let round = 0; round < rounds; round++) {
    for (const [index, party] of (round % 2 === 0 ? parties : parties.toReversed()).entries()) {
      options.progress(`${row.name}: round ${round + 1} of ${rounds}`);
      const share = (options.budgetMs - (performance.now() - begin)) / (turns - parties.length * round - index);
      const ms = bounded ? Math.max(MINIMUM_MS, share * OPEN_SHARE) : WHOLE_RUN_MS;
      uses[party].push(await measureOnce(row, options, party, ms));
    }
  }
  const [ours, nodeTls] = [summarise(uses.ours), summarise(uses.nodeTls)];
  const floor = uses.floor.length > 0 ? summarise(uses.floor) : undefined;
  return { row, ours, nodeTls, ratio: nodeTls.value / ours.value, floor };
}

/** KiB per connection. */
interface MemoryPerConnection {
  readonly client: number;
  readonly server: number;
  readonly heap: number;
}

async function measureOnce(row: Row, options: MeasureOptions, party: Party, ms: number): Promise<MemoryPerConnection> {
  const cast = await options.casts.startApart({ workload: row.workload, only: party, nodeFlags: MEMORY_FLAGS });
  const match = { client: party, server: party };
  const open = (count: number) => cast.drive(match, ms, { pin: row.pin, usual: false, options: { count } });
  try {
    await open(Number(row.options.warmUp));
    const before = await cast.memory(party);
    const { count } = await open(Number(row.options.count));
    const after = await cast.memory(party);
    const each = (bytes: number): number => bytes / count / 1024;
    return {
      client: each(after.client.rss - before.client.rss),
      server: each(after.server.rss - before.server.rss),
      heap: each(after.client.heap - before.client.heap + after.server.heap - before.server.heap) / 2,
    };
  } finally {
    cast.kill();
  }
}

function summarise(uses: readonly MemoryPerConnection[]): Figures {
  const means = uses.map((use) => (use.client + use.server) / 2);
  return {
    value: median(means),
    spread: spread(means),
    client: median(uses.map((use) => use.client)),
    server: median(uses.map((use) => use.server)),
    heap: median(uses.map((use) => use.heap)),
  };
}

const MOST_ROUNDS = 3;
/** With less than this for the row, one round has to do. */
const SHORT_MS = 12_000;
const MINIMUM_MS = 20;
const WHOLE_RUN_MS = 60_000;
const OPEN_SHARE = 0.4;
/** Also for other measurements of memory. */
export const MEMORY_FLAGS = ['--expose-gc', '--max-semi-space-size=1'];
