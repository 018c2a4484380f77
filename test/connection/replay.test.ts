import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { NamedGroup } from '../../src/crypto/groups.ts';
import { createNodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { World } from '../support/connections.ts';

/** Random bytes that depend on the seed only. */
function seeded(seed: string): CryptoProvider {
  let counter = 0;
  return createNodeProvider({
    random: (bytes) => {
      for (let at = 0; at < bytes.length; at += 32) {
        const block = createHash('sha256').update(`${seed} ${counter++}`).digest();
        bytes.set(block.subarray(0, Math.min(32, bytes.length - at)), at);
      }
    },
  });
}

/** All bytes that cross the wire in a full and a resumed connection with data, KeyUpdates and an end. */
function recording(world: World, seed: string, namedGroups: readonly NamedGroup[], retry: boolean): string {
  const provider = seeded(seed);
  const keys = new LocalTicketKeys({ provider, clock: world.clock });
  assert(world.context.tickets !== undefined);
  const context = { ...world.context, tickets: { ...world.context.tickets, keys } };
  const wire: string[] = [];
  const run = (session?: ClientSession) => {
    const link = world.pair(
      { provider, namedGroups, session, keyShares: retry ? [namedGroups[1]] : undefined },
      { provider, namedGroups: [namedGroups[0]], context },
    );
    link.toServer = (bytes) => {
      wire.push(`> ${Buffer.from(bytes).toString('hex')}`);
      return bytes;
    };
    link.toClient = (bytes) => {
      wire.push(`< ${Buffer.from(bytes).toString('hex')}`);
      return bytes;
    };
    link.run().assertComplete();
    assert.equal(link.client.summary?.resumed, session !== undefined);
    link.client.take(link.client.connection.updateKeys(true));
    link.deliver().assertDataFlows();
    link.client.take(link.client.connection.close());
    link.server.take(link.server.connection.close());
    link.deliver();
    return link.client.sessions;
  };
  const [session] = run();
  run(session);
  keys.close();
  return wire.join('\n');
}

for (const groups of [
  ['x25519', 'secp256r1'],
  ['secp384r1', 'x25519'],
  ['X25519MLKEM768', 'x25519'],
] as const) {
  for (const retry of [false, true]) {
    test(`a whole connection with ${groups[0]}${retry ? ' after a HelloRetryRequest' : ''} is replayed from its seed, byte for byte`, () => {
      const world = new World();
      const first = recording(world, 'seed', groups, retry);
      assert.equal(recording(world, 'seed', groups, retry), first);
      assert.notEqual(recording(world, 'another seed', groups, retry), first);
      world.close();
    });
  }
}
