/** How the fleet stands, looked at over and over: what the table shows, and what the tour waits for. */

import type { StatusSnapshot } from '../../src/cli/status/snapshot.ts';
import type { Clients, Tally } from './clients.ts';
import type { Scene } from './scene.ts';

/** Times in milliseconds. */
export interface HostSight {
  readonly name: string;
  readonly statusUrl: string;
  readonly isUp: boolean;
  /** Handshakes that the clients had with it, over all its lives. */
  readonly full: number;
  readonly resumed: number;
  /** `undefined` while it has no key. */
  readonly sealingKey: string | undefined;
  readonly sealingKeyAge: number | undefined;
  readonly nextEpochPresent: boolean;
  readonly ratchetDepth: number;
  /** Of the ring, itself included. */
  readonly members: number;
  readonly alarms: readonly string[];
  /** Sessions that it did not resume, by reason. */
  readonly refusals: Readonly<Record<string, number>>;
}

export interface Sight {
  readonly time: number;
  readonly isRedisUp: boolean;
  readonly epoch: number;
  readonly epochLeft: number;
  readonly hosts: readonly HostSight[];
  readonly tally: Tally;
  /** Since the last look. */
  readonly lately: { readonly full: number; readonly resumed: number; readonly failed: number };
}

export async function look(scene: Scene, clients: Clients, epochLength: number, before?: Sight): Promise<Sight> {
  const told = await Promise.all(scene.hosts.map((_, index) => scene.status(index)));
  const tally = clients.tally();
  const time = Date.now();
  const sum = (numbers: readonly number[] = []) => numbers.reduce((a, b) => a + b, 0);
  return {
    time,
    isRedisUp: scene.isRedisUp,
    epoch: Math.floor(time / epochLength),
    epochLeft: epochLength - (time % epochLength),
    hosts: scene.hosts.map(({ name, statusUrl }, index) => ({
      name,
      statusUrl,
      full: tally.full[index],
      resumed: tally.resumed[index],
      ...ringOf(told[index]),
    })),
    tally,
    lately: {
      full: sum(tally.full) - sum(before?.tally.full),
      resumed: sum(tally.resumed) - sum(before?.tally.resumed),
      failed: tally.failed - (before?.tally.failed ?? 0),
    },
  };
}

function ringOf(status: StatusSnapshot | undefined) {
  const ring = status?.sharedRing;
  const sealing = ring?.keys.find(({ key }) => key === ring.sealingKey);
  return {
    isUp: status !== undefined,
    sealingKey: ring?.sealingKey,
    // By the ring's clock. A member's own reckoning of it, which ends it, is an upper bound.
    sealingKeyAge: sealing === undefined ? undefined : Math.max(0, Date.now() - sealing.createdAt),
    nextEpochPresent: ring?.nextEpochPresent ?? false,
    ratchetDepth: ring?.ratchetDepth ?? 0,
    members: ring === undefined ? 0 : ring.members.length + 1,
    alarms: ring?.alarms ?? [],
    refusals: status?.resumptionRefusals ?? {},
  };
}
