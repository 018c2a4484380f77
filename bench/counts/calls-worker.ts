/**
 * Counts the calls of cryptography and the actions of scenarios: `calls-worker.js [scenario …]` prints one `ScenarioCalls`
 * as JSON for each. Apart from what measures memory, as what counts also allocates.
 */

import { nativeCounts } from './native-counting.ts';
import type { Counts } from './tally.ts';

const RUNS = 4;

// Only now, with `node:crypto` watched.
const { countProviderCalls, providerCounts } = await import('./provider-counting.ts');
const { World } = await import('./memory-pair.ts');
const { repeat, scenariosOf } = await import('./scenarios.ts');

countProviderCalls();
for (const scenario of scenariosOf(process.argv.slice(2))) {
  const tally = { actions: {}, wireBytes: 0 };
  const operation = await scenario.prepare(new World(undefined, tally));
  await repeat(operation, 2);
  for (const counts of [providerCounts, nativeCounts]) {
    for (const name of Object.keys(counts)) {
      delete counts[name];
    }
  }
  tally.actions = {};
  tally.wireBytes = 0;
  await repeat(operation, RUNS);
  const calls = {
    name: scenario.name,
    provider: perRun(providerCounts),
    native: perRun(nativeCounts),
    actions: perRun(tally.actions),
    wireBytes: Math.round(tally.wireBytes / RUNS),
  };
  process.stdout.write(`${JSON.stringify(calls)}\n`);
}
// Sockets of the scenarios would keep the process.
process.exit(0);

function perRun(counts: Counts): Counts {
  const entries = Object.entries(counts).map(([name, total]) => [name, Math.round((100 * total) / RUNS) / 100]);
  return Object.fromEntries(entries.sort());
}
