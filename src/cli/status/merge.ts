/** The status of several workers as that of one server: sums of what adds up, and whose word it is for what does not. */

import type { RingStatus } from '../../fleet/member-status.ts';
import type { TicketKeyStatus } from '../../session/ticket-key.ts';
import type { UpstreamStatus } from '../serve/upstream/books.ts';
import {
  LISTED_CONNECTIONS,
  type RingView,
  ratioOf,
  type ServingFacts,
  type StatusSnapshot,
  type WorkerStatus,
} from './snapshot.ts';
import { mergeVisitors } from './visits-merge.ts';

/** Each worker counts its connections from 1: here they follow on multiples of this. */
export const WORKER_IDS: number = 2 ** 32;

export interface WorkerSnapshot {
  readonly worker: number;
  readonly pid: number;
  readonly snapshot: StatusSnapshot;
}

export interface MergeOptions {
  readonly facts: ServingFacts;
  readonly running: readonly WorkerSnapshot[];
  /** Last words of workers that are gone: their totals count on, their connections and secrets do not. */
  readonly gone: readonly StatusSnapshot[];
  readonly replaced: number;
  readonly draining: boolean;
  /** Bytes, of the primary. */
  readonly memory: number;
  /** As the primary sees it, where it is a member. */
  readonly ring: RingStatus | undefined;
}

export function mergeSnapshots({
  facts,
  running,
  gone,
  replaced,
  draining,
  memory,
  ring,
}: MergeOptions): StatusSnapshot {
  const live = running.map(({ snapshot }) => snapshot);
  const all = [...live, ...gone];
  const sum = (value: (one: StatusSnapshot) => number, of: readonly StatusSnapshot[] = all) =>
    of.reduce((total, one) => total + value(one), 0);
  const handshakes = {
    full: sum((one) => one.handshakes.full),
    resumed: sum((one) => one.handshakes.resumed),
    failed: sum((one) => one.handshakes.failed),
    byVersion: addUp<StatusSnapshot['handshakes']['byVersion']>([
      NO_HANDSHAKES,
      ...all.map((one) => one.handshakes.byVersion),
    ]),
  };
  const caches = live.flatMap(({ sessionCache }) => sessionCache ?? []);
  const view = ringView(ring, running);
  return {
    mayfly: live[0]?.mayfly ?? '',
    node: process.version,
    now: Date.now(),
    startedAt: facts.startedAt,
    draining,
    serving: facts.serving,
    urls: facts.urls,
    versions: facts.versions,
    certificate: facts.certificate,
    handshakes,
    resumptionRefusals: addUp(all.map((one) => one.resumptionRefusals)),
    failures: addUp(all.map((one) => one.failures)),
    requests: addUp(all.map((one) => one.requests)),
    upstreamFailures: addUp(all.map((one) => one.upstreamFailures)),
    ...mergeUpstream(live, gone),
    ...ratioOf(handshakes),
    ring: { ...facts.ring, keys: mergeKeys(live.map((one) => one.ring.keys)) },
    ...(view === undefined ? {} : { sharedRing: view }),
    workers: { running: running.map(workerStatus), replaced },
    ...(caches.length === 0 ? {} : { sessionCache: addUp(caches) }),
    connections: {
      open: sum((one) => one.connections.open, live),
      total: handshakes.full + handshakes.resumed,
      bytesIn: sum((one) => one.connections.bytesIn),
      bytesOut: sum((one) => one.connections.bytesOut),
      list: running
        .flatMap(({ worker, snapshot }) =>
          snapshot.connections.list.map((entry) => ({ ...entry, id: worker * WORKER_IDS + entry.id, worker })),
        )
        .sort((a, b) => b.openedAt - a.openedAt)
        .slice(0, LISTED_CONNECTIONS),
    },
    visitors: mergeVisitors(live.map((one) => one.visitors)),
    sockets: {
      ...addUp(all.map((one) => one.sockets)),
      open: sum((one) => one.sockets.open, live),
    } as StatusSnapshot['sockets'],
    secrets: {
      born: sum((one) => one.secrets.born),
      // Those of a process that is gone are gone with it.
      ended: sum((one) => one.secrets.ended, live) + sum((one) => one.secrets.born, gone),
      live: addUp(live.map((one) => one.secrets.live)),
    },
    cpu: sum((one) => one.cpu),
    memory: memory + sum((one) => one.memory, live),
  };
}

function workerStatus({ worker, pid, snapshot }: WorkerSnapshot): WorkerStatus {
  const { handshakes, connections, memory, startedAt, sharedRing } = snapshot;
  return {
    worker,
    pid,
    startedAt,
    full: handshakes.full,
    resumed: handshakes.resumed,
    open: connections.open,
    memory,
    ...(sharedRing?.sealingKey === undefined ? {} : { sealingKey: sharedRing.sealingKey }),
    alarms: sharedRing?.alarms ?? [],
  };
}

/** Of the primary, or of the first worker that has one; with the alarms and refusals of all. */
function ringView(ring: RingStatus | undefined, running: readonly WorkerSnapshot[]): RingView | undefined {
  const views = running.flatMap(({ worker, snapshot: { sharedRing } }) =>
    sharedRing === undefined ? [] : [{ ...sharedRing, seenBy: `worker ${worker}` }],
  );
  const first: RingView | undefined = ring === undefined ? views[0] : { ...ring, seenBy: 'the primary' };
  if (first === undefined) {
    return undefined;
  }
  const all = ring === undefined ? views : [first, ...views];
  const alarms = [...new Set(all.flatMap((view) => view.alarms))];
  const errors = all.flatMap(({ storeErrors }) => storeErrors ?? []);
  return {
    ...first,
    alarms: alarms.sort(),
    refusals: addUp(all.map((view) => view.refusals)),
    ...(errors.length === 0 ? {} : { storeErrors: errors.reduce((a, b) => a + b, 0) }),
  };
}

/** Of processes that are gone, what was counted counts on. */
export function mergeUpstream(
  live: readonly Pick<StatusSnapshot, 'upstream'>[],
  gone: readonly Pick<StatusSnapshot, 'upstream'>[],
): Pick<StatusSnapshot, 'upstream'> {
  const now = live.flatMap(({ upstream }) => upstream ?? []);
  const before = gone.flatMap(({ upstream }) => upstream ?? []);
  if (now.length + before.length === 0) {
    return {};
  }
  const past = { limit: 0, busy: 0, idle: 0, upgraded: 0, waiting: 0, waitingLimit: 0, held: 0, heldLimit: 0 };
  return { upstream: addUp([...now, ...before.map((one) => ({ ...one, ...past }))]) as unknown as UpstreamStatus };
}

/** The same key at each worker, with the tickets of all. */
function mergeKeys(lists: readonly (readonly TicketKeyStatus[])[]): readonly TicketKeyStatus[] {
  const keys = new Map<string, TicketKeyStatus>();
  for (const key of lists.flat()) {
    const known = keys.get(key.name);
    keys.set(key.name, {
      ...(known ?? key),
      ticketsSealed: (known?.ticketsSealed ?? 0) + key.ticketsSealed,
      ticketsOpened: (known?.ticketsOpened ?? 0) + key.ticketsOpened,
    });
  }
  return [...keys.values()];
}

/** Objects of numbers, and of such objects, added field by field. */
function addUp<T extends object>(objects: readonly T[]): T & Record<string, number> {
  const total: Record<string, unknown> = {};
  for (const object of objects) {
    for (const [name, value] of Object.entries(object)) {
      const before = total[name];
      total[name] =
        typeof value === 'number'
          ? ((before as number | undefined) ?? 0) + value
          : addUp([(before as object | undefined) ?? {}, value as object]);
    }
  }
  return total as T & Record<string, number>;
}

const NO_HANDSHAKES = { 'TLSv1.3': { full: 0, ticket: 0, id: 0 }, 'TLSv1.2': { full: 0, ticket: 0, id: 0 } };
