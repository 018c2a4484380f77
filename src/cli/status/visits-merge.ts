/**
 * The visitors of several workers as those of one server: a visitor's connections may have gone to any of them, and so one
 * load be several halves, of which only one had the navigation.
 */

import { HALF_WINDOW, type LoadStatus, type VisitorStatus } from './visits.ts';

export function mergeVisitors(lists: readonly (readonly VisitorStatus[])[]): VisitorStatus[] {
  const known = new Map<string, VisitorStatus>();
  for (const visitor of lists.flat()) {
    const key = `${visitor.address} ${visitor.agent}`;
    const before = known.get(key);
    known.set(key, {
      ...visitor,
      loads: [...(before?.loads ?? []), ...visitor.loads],
      earlier: visitor.earlier + (before?.earlier ?? 0),
    });
  }
  return [...known.values()]
    .map((visitor) => ({ ...visitor, loads: joinHalves(visitor.loads) }))
    .sort((a, b) => lastOf(b) - lastOf(a));
}

/** The newest first. */
function joinHalves(loads: readonly LoadStatus[]): LoadStatus[] {
  const joined: LoadStatus[] = [];
  // A half without a navigation may have begun a moment before that with it.
  for (const load of [...loads].sort((a, b) => Number(b.navigation) - Number(a.navigation) || a.at - b.at)) {
    const at = load.navigation ? -1 : joined.findLastIndex((whole) => isNear(whole, load));
    if (at < 0) {
      joined.push(load);
    } else {
      joined[at] = sumOf(joined[at], load);
    }
  }
  return joined.sort((a, b) => b.at - a.at);
}

function isNear(whole: LoadStatus, half: LoadStatus): boolean {
  return whole.at - HALF_WINDOW <= half.at && half.at <= whole.lastAt + HALF_WINDOW;
}

function sumOf(whole: LoadStatus, half: LoadStatus): LoadStatus {
  const both = (values: (load: LoadStatus) => readonly string[]) =>
    [...new Set([...values(whole), ...values(half)])].sort();
  return {
    path: whole.path,
    navigation: whole.navigation,
    at: Math.min(whole.at, half.at),
    lastAt: Math.max(whole.lastAt, half.lastAt),
    requests: whole.requests + half.requests,
    protocols: both(({ protocols }) => protocols),
    versions: both(({ versions }) => versions),
    connections: whole.connections + half.connections,
    opened: whole.opened + half.opened,
    full: whole.full + half.full,
    resumed: whole.resumed + half.resumed,
    unused: whole.unused + half.unused,
    keyExchanges: whole.keyExchanges + half.keyExchanges,
    trafficKeys: {
      used: whole.trafficKeys.used + half.trafficKeys.used,
      inForce: whole.trafficKeys.inForce + half.trafficKeys.inForce,
    },
  };
}

function lastOf({ loads }: VisitorStatus): number {
  return Math.max(0, ...loads.map(({ lastAt }) => lastAt));
}
