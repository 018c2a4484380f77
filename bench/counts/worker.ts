/**
 * Runs scenarios in a process whose flags suit what is measured, and prints one JSON object for each.
 *
 *     worker.js memory|time [scenario …]
 *     worker.js repeat <count> <scenario>      for tools that count instructions from outside
 *
 * `memory`: allocations, in a process that compiles nothing, so that each object the source makes is there, and
 * that collects nothing meanwhile. `time`: CPU time, with everything Node has.
 */

import { Session } from 'node:inspector/promises';
import { World } from './memory-pair.ts';
import type { ScenarioMemory, ScenarioTime } from './messages.ts';
import { type Operation, repeat, type Scenario, scenariosOf } from './scenarios.ts';

const [mode, ...given] = process.argv.slice(2);

async function main(): Promise<void> {
  if (mode === 'repeat') {
    const [count, name] = given;
    await repeatOne(scenariosOf([name])[0], Number(count));
    return;
  }
  for (const scenario of scenariosOf(given)) {
    const result = mode === 'time' ? await time(scenario) : await allocations(scenario);
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
}

async function repeatOne(scenario: Scenario, times: number): Promise<void> {
  const operation = await scenario.prepare(new World());
  await repeat(operation, times);
}

async function allocations(scenario: Scenario): Promise<ScenarioMemory> {
  const { name, batch } = scenario;
  const operation = await scenario.prepare(new World());
  await repeat(operation, batch);
  const rounds: { heap: number; external: number }[] = [];
  for (let round = 0; round < HEAP_ROUNDS; round++) {
    await collect();
    const before = process.memoryUsage();
    await repeat(operation, batch);
    const after = process.memoryUsage();
    rounds.push({
      heap: (after.heapUsed - before.heapUsed) / batch,
      external: (after.external - before.external) / batch,
    });
  }
  const roughly = middle(rounds.map((round) => round.heap));
  const noted = roughly > MOST_NOTED ? { heapBytes: roughly } : await noteAllocations(operation, batch);
  return { name, ...noted, externalBytes: middle(rounds.map((round) => round.external)) };
}

/** By a heap profile that samples each allocation; what the profiler itself allocates is taken off. Exact to the object. */
async function noteAllocations(
  operation: Operation,
  batch: number,
): Promise<Pick<ScenarioMemory, 'heapBytes' | 'objects'>> {
  // More where one is little, for what happens every few times.
  const runs = Math.ceil(batch / RUNS_IN_BATCH);
  const session = new Session();
  session.connect();
  await session.post('HeapProfiler.enable');
  const found: { readonly bytes: number; readonly objects: number }[] = [];
  for (const times of [runs, runs, 3 * runs]) {
    await session.post('HeapProfiler.startSampling', EACH_ALLOCATION);
    await repeat(operation, times);
    const { profile } = await session.post('HeapProfiler.stopSampling');
    const { samples } = profile as unknown as { samples: readonly { readonly size: number }[] };
    found.push({ bytes: samples.reduce((sum, { size }) => sum + size, 0), objects: samples.length });
  }
  session.disconnect();
  const [, few, many] = found;
  return {
    heapBytes: Math.round((many.bytes - few.bytes) / (2 * runs)),
    objects: Math.round((many.objects - few.objects) / (2 * runs)),
  };
}

async function time(scenario: Scenario): Promise<ScenarioTime> {
  const operation = await scenario.prepare(new World());
  const warm = performance.now() + WARM_UP_MS;
  while (performance.now() < warm) {
    await repeat(operation, scenario.batch);
  }
  let best = Number.POSITIVE_INFINITY;
  const end = performance.now() + TIME_MS;
  while (performance.now() < end) {
    const before = process.cpuUsage();
    await repeat(operation, scenario.batch);
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / scenario.batch);
  }
  return { name: scenario.name, micros: best };
}

async function collect(): Promise<void> {
  // Finalizers run in a turn of their own.
  await new Promise((resolve) => setImmediate(resolve));
  globalThis.gc?.();
}

function middle(values: number[]): number {
  return Math.round(values.sort((a, b) => a - b)[values.length >> 1]);
}

const HEAP_ROUNDS = 3;
const RUNS_IN_BATCH = 6;
/** Bytes on the heap per operation: of more, the allocations take too long to note one by one. */
const MOST_NOTED = 1_048_576;
/** What a collection takes meanwhile counts as well. */
const EACH_ALLOCATION = {
  samplingInterval: 1,
  includeObjectsCollectedByMajorGC: true,
  includeObjectsCollectedByMinorGC: true,
};
const WARM_UP_MS = 500;
const TIME_MS = 500;

await main();
// Sockets of the scenarios would keep the process.
process.exit(0);
