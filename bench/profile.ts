/**
 * Reads CPU profiles: in which part of the program most time was spent, and in which functions, callees left out. Native
 * functions, which have no place of their own, belong to the part that called them.
 */

import { readFileSync } from 'node:fs';

interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

/** Shares of the time that was not idle, largest first. */
export interface ProfileSummary {
  /** By part of the program: a folder of `src`, `node:crypto`, Node's sockets and streams, the collector. */
  readonly parts: readonly Share[];
  readonly functions: readonly Share[];
}

export interface Share {
  readonly name: string;
  readonly share: number;
}

export function summariseProfile(path: string): ProfileSummary {
  const profile: CpuProfile = JSON.parse(readFileSync(path, 'utf8'));
  const owners = ownersOf(profile);
  const parts = new Map<string, number>();
  const functions = new Map<string, number>();
  let busy = 0;
  for (const [index, id] of profile.samples.entries()) {
    const owner = owners.get(id);
    if (owner === undefined || owner.part === IDLE) {
      continue;
    }
    const time = profile.timeDeltas[index];
    busy += time;
    add(parts, owner.part, time);
    add(functions, owner.label, time);
  }
  return { parts: sharesOf(parts, busy), functions: sharesOf(functions, busy) };
}

/** For a terminal: the parts in one paragraph, then one line for each of the costliest functions. */
export function profileText({ parts, functions }: ProfileSummary, count = 20): string {
  const percent = (share: number): string => `${(100 * share).toFixed(1).padStart(5)} %`;
  return [
    ...parts.filter(({ share }) => share >= LEAST_SHARE).map(({ name, share }) => `${percent(share)}  ${name}`),
    '  by function:',
    ...functions.slice(0, count).map(({ name, share }) => `${percent(share)}  ${name}`),
  ].join('\n');
}

interface Owner {
  readonly part: string;
  readonly label: string;
}

function ownersOf({ nodes }: CpuProfile): Map<number, Owner> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const owners = new Map<number, Owner>();
  // From the root down, so that each native function finds its caller's part.
  const visit = (node: ProfileNode, caller: string, callerName: string): void => {
    const { functionName, url } = node.callFrame;
    const part = url === '' ? (special[functionName] ?? caller) : partOf(url);
    const isNative = url === '' && special[functionName] === undefined;
    owners.set(node.id, { part, label: isNative ? `${functionName} (native) < ${callerName}` : labelOf(node) });
    const name = isNative ? callerName : functionName || '(anonymous)';
    for (const child of node.children ?? []) {
      const found = byId.get(child);
      if (found !== undefined) {
        visit(found, part, name);
      }
    }
  };
  visit(nodes[0], 'rest', '(root)');
  return owners;
}

function partOf(url: string): string {
  const [, own] = /\/(src\/[^/]+|bench)\//.exec(url) ?? /\/(src)\/[^/]+$/.exec(url) ?? [];
  if (own !== undefined) {
    return own;
  }
  if (/^node:(?:internal\/)?inspector/.test(url)) {
    // The profiler's own start.
    return IDLE;
  }
  if (/^node:(?:internal\/)?crypto|^node:internal\/streams\/lazy_transform/.test(url)) {
    return 'node:crypto';
  }
  return url.startsWith('node:') ? "Node's sockets, streams, events" : 'rest';
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

function add(times: Map<string, number>, name: string, time: number): void {
  times.set(name, (times.get(name) ?? 0) + time);
}

function sharesOf(times: Map<string, number>, busy: number): Share[] {
  return [...times].toSorted((a, b) => b[1] - a[1]).map(([name, time]) => ({ name, share: time / busy }));
}

const IDLE = '(idle)';
const special: Readonly<Record<string, string>> = {
  '(garbage collector)': 'garbage collector',
  '(program)': 'Node itself, system calls',
  '(idle)': IDLE,
  '(root)': 'rest',
};
/** Smaller parts are left out of the text. */
const LEAST_SHARE = 0.01;
