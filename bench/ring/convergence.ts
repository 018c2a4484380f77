/** How long a ring takes to agree: after a start of all at once, for one that joins, after a partition, after the store. */

import { membership } from './members.ts';
import { Simulation } from './simulation.ts';

/** Heartbeats; undefined where they did not within an epoch. */
export interface Convergence {
  readonly members: number;
  /** From the start of all until all seal with one key. */
  readonly start: number | undefined;
  /** Half of them were cut off for long enough to seal under a ratcheted key; from the moment that they are back, until … */
  readonly partition: {
    /** … everyone opens what anyone seals, as they did before the cut. */
    readonly open: number | undefined;
    /** … all seal with one fresh key. */
    readonly agreed: number | undefined;
    /** Of those cut off: who sealed under a ratcheted key. */
    readonly ratcheted: number;
  };
}

export function simulateConvergence(members: number): Convergence {
  const ring = membership(members, 'x25519', { epochLength: EPOCH, ticketLifetime: 2 * EPOCH, heartbeat: HEARTBEAT });
  const simulation = new Simulation(ring, 0.05 * EPOCH);
  const inHeartbeats = (ms: number | undefined) => (ms === undefined ? undefined : ms / HEARTBEAT);
  const agreed = () => {
    const sealing = simulation.sealing();
    return sealing.size === 1 && !sealing.has('none') && simulation.ratcheted() === 0;
  };
  simulation.startAll();
  const start = simulation.until(agreed, EPOCH);

  // Before anyone makes the next key: it begins to, at half an epoch.
  const cutOff = simulation.nodes.filter((_, index) => index % 2 === 1);
  for (const node of cutOff) {
    node.connected = false;
  }
  const boundary = EPOCH - (simulation.time % EPOCH);
  simulation.advance(boundary + 1.5 * HEARTBEAT);
  const ratcheted = simulation.ratcheted(cutOff);
  for (const node of cutOff) {
    node.connected = true;
  }
  const back = simulation.time;
  const open = simulation.until(() => simulation.allOpen(), EPOCH);
  const all = simulation.until(agreed, EPOCH) === undefined ? undefined : simulation.time - back;
  simulation.close();
  return {
    members,
    start: inHeartbeats(start),
    partition: { open: inHeartbeats(open), agreed: inHeartbeats(all), ratcheted },
  };
}

/** Milliseconds: what is told is in heartbeats. */
const HEARTBEAT = 10_000;
const EPOCH = 18 * HEARTBEAT;
