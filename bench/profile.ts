/** Reads a CPU profile and lists the functions in which most time was spent, callees left out. */

import { readFileSync } from 'node:fs';

interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

/** One line for each of the `count` costliest functions: share of the time that was not idle, name, place. */
export function topFunctions(path: string, count = 25): string {
  const profile: CpuProfile = JSON.parse(readFileSync(path, 'utf8'));
  const labels = new Map(profile.nodes.map((node) => [node.id, labelOf(node)]));
  const times = new Map<string, number>();
  let busy = 0;
  for (const [index, id] of profile.samples.entries()) {
    const label = labels.get(id) ?? '';
    if (label === '(idle)') {
      continue;
    }
    busy += profile.timeDeltas[index];
    times.set(label, (times.get(label) ?? 0) + profile.timeDeltas[index]);
  }
  return [...times]
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, count)
    .map(([label, time]) => `${((100 * time) / busy).toFixed(1).padStart(5)} %  ${label}`)
    .join('\n');
}

/** Places are given from `src` or `node:` on: no path of this machine. */
function labelOf({ callFrame }: ProfileNode): string {
  const name = callFrame.functionName || '(anonymous)';
  if (callFrame.url === '') {
    return name;
  }
  const place = callFrame.url.replace(/^file:.*?\/(?=(?:src|bench)\/)/, '');
  return `${name}  ${place}:${callFrame.lineNumber + 1}`;
}
