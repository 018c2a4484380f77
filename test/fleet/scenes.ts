/** Simulated fleets in the states that scenarios begin with, and what is asked of them. */

import assert from 'node:assert/strict';
import type { RingEvent } from '../../src/fleet/actions.ts';
import type { HeldKey } from '../../src/fleet/held-key.ts';
import { RingTrust } from '../../src/fleet/records/signed.ts';
import { createToyProvider } from './toy-provider.ts';
import { MINUTE, type Node, World, type WorldOptions } from './world.ts';

export function fleet(nodes: number, options: Partial<WorldOptions> = {}): World {
  const world = new World({ provider: createToyProvider(1), nodes, ...options });
  world.startAll();
  return world;
}

/** Past the beginning: all have the first key and seal under it. */
export function settled(nodes: number, options: Partial<WorldOptions> = {}): World {
  const world = fleet(nodes, options);
  world.advance(MINUTE);
  return world;
}

export function sealingIds(world: World): (string | undefined)[] {
  return world.nodes.map((node) => world.sealing(node)?.id);
}

/** The one key that all seal under. */
export function common(world: World): HeldKey {
  const keys = world.nodes.map((node) => world.sealing(node));
  assert(keys[0], 'node0 seals');
  assert.equal(new Set(sealingIds(world)).size, 1, 'all seal under the same key');
  return keys[0];
}

export function eventsOf(node: Node, kind: RingEvent['kind']): RingEvent[] {
  return node.events.filter((event) => event.kind === kind);
}

export function alarmsOf(world: World, node: Node): readonly string[] {
  return node.member?.status(world.moment(node)).alarms ?? [];
}

/** Runs until the next epoch begins, and a little further. */
export function toNextEpoch(world: World, further = 1_000): void {
  world.advance(world.epochLength - (world.time % world.epochLength) + further);
}

export function trustOf({ provider, configuration, nodes }: World): RingTrust {
  const ringId = nodes.find(({ member }) => member !== undefined)?.member?.ringId;
  assert(ringId);
  return new RingTrust(provider, ringId, configuration.allowList);
}

/** The last record that a node announced itself with. */
export function lastOf(world: World, node: Node): Uint8Array {
  const record = world.store.history.findLast(({ kind, slot }) => kind === 'member' && slot === node.member?.slot);
  assert(record);
  return record.bytes;
}
