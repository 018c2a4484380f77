/** What differs between two reports of `--work`: any call, and whatever else changed by more than a few per cent. */

import type { Calls, ScenarioWork, WorkReport } from './messages.ts';

export interface Difference {
  readonly scenario: string;
  readonly what: string;
  readonly before: number;
  readonly now: number;
}

/** `tolerance`: the share by which figures other than calls may differ unnoticed. */
export function differences(before: WorkReport, now: WorkReport, tolerance: number): Difference[] {
  const sameMajor = majorOf(before.node) === majorOf(now.node);
  return now.scenarios.flatMap((scenario) => {
    const earlier = before.scenarios.find(({ name }) => name === scenario.name);
    return earlier === undefined ? [] : compareScenario(earlier, scenario, tolerance, sameMajor);
  });
}

export function majorOf(version: string): string {
  return version.replace(/^v/, '').split('.')[0];
}

/** What the protocol asks for is the same on every Node; how the provider does it, and in how much memory, is not. */
function compareScenario(before: ScenarioWork, now: ScenarioWork, tolerance: number, sameMajor: boolean): Difference[] {
  const scenario = now.name;
  const calls = [
    ...compareCalls(scenario, 'provider: ', before.provider, now.provider),
    ...compareCalls(scenario, 'actions: ', before.actions, now.actions),
  ];
  if (!sameMajor) {
    return calls;
  }
  const found = [...calls, ...compareCalls(scenario, 'node:crypto: ', before.native, now.native)];
  for (const what of figures) {
    const [a, b] = [before[what], now[what]];
    if (
      a !== undefined &&
      b !== undefined &&
      Math.abs(b - a) > (what === 'micros' ? TIME_TOLERANCE : tolerance) * Math.max(a, b) + (slack[what] ?? 0)
    ) {
      found.push({ scenario, what, before: a, now: b });
    }
  }
  return found;
}

function compareCalls(scenario: string, prefix: string, before: Calls, now: Calls): Difference[] {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...names].sort().flatMap((name) => {
    const [a, b] = [before[name] ?? 0, now[name] ?? 0];
    // Randomness is drawn in blocks: how often within a few operations depends on where the block stood.
    const isSame = name === 'randomFillSync' ? Math.abs(a - b) <= 1 : a === b;
    return isSame ? [] : [{ scenario, what: prefix + name, before: a, now: b }];
  });
}

const figures = ['heapBytes', 'externalBytes', 'objects', 'wireBytes', 'micros', 'instructions'] as const;
/** Beside the tolerance, where a few bytes come and go. */
const slack: Partial<Record<(typeof figures)[number], number>> = { externalBytes: 64, wireBytes: 4, objects: 2 };
/** A shared machine disturbs more than that. */
const TIME_TOLERANCE = 0.15;
