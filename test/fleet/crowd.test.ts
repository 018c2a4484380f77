/** More members than one ring is made for: what is said, who gets a key, and what is remembered of them. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../src/bytes/bytes.ts';
import { Writer } from '../../src/bytes/writer.ts';
import { instanceIdOf, sealMemberRecord } from '../../src/fleet/records/member.ts';
import { MAX_INSTANCES, MAX_MEMBER_RECORDS } from '../../src/fleet/store.ts';
import { alarmsOf, common, eventsOf, fleet, settled, trustOf } from './scenes.ts';
import { HOUR, MINUTE, type Node, type World } from './world.ts';

describe('a ring with more members than it is made for', () => {
  /** That many processes under one identity, as whoever has it can make them up. */
  function crowd(world: World, { file }: Node, count: number, from = 0): () => void {
    const trust = trustOf(world);
    // They say that they have the key: nobody is to welcome them all.
    const held = [...new Set(world.nodes.flatMap((node) => world.sealing(node) ?? []))];
    const others = Array.from({ length: count }, (_, i) => ({
      bootNonce: new Writer(16)
        .u64(0)
        .u64(from + i)
        .finish(),
      prekey: world.provider.generateKeyShare('x25519').publicKey,
    }));
    return () => {
      for (const { bootNonce, prekey } of others) {
        const said = { name: '', generation: 0, skew: 0, ratchetDepth: 0, processes: 255, held };
        const times = { sequence: world.time, announcedAt: world.time, notAfter: world.time + HOUR };
        const record = sealMemberRecord(trust, file.identity, { bootNonce, prekey, ...said, ...times });
        const instance = instanceIdOf(world.provider, file.identity.memberId, bootNonce);
        world.store.put('member', toHex(instance), record, world.time + 3 * world.heartbeat);
      }
    };
  }

  it('says so, and makes a key for as many as it may', () => {
    const world = fleet(2, { ring: { heartbeat: MINUTE } });
    world.advance(10 * MINUTE);
    const [node, other] = world.nodes;
    const epoch = common(world).epoch + 1;
    world.crash(other);
    const announce = crowd(world, other, MAX_INSTANCES + 3);
    world.advance(HOUR / 2 - 12 * MINUTE);
    while (!world.store.history.some(({ kind, slot }) => kind === 'epoch' && slot === `0.${epoch.toString(16)}.0`)) {
      announce();
      world.advance(world.heartbeat);
    }
    assert(alarmsOf(world, node).includes('ring_full'));
    const made = eventsOf(node, 'epoch_made').at(-1);
    assert.equal(made?.kind === 'epoch_made' && made.members, MAX_INSTANCES + 1);
  });

  it('remembers no more of them than it looks at in one visit, and of those who are there all', () => {
    const world = settled(2);
    const [node, other] = world.nodes;
    for (let from = 0; from < 3; from++) {
      world.store.wipeMembers(other.member?.slot);
      crowd(world, other, 400, from * 400)();
      world.advance(world.heartbeat);
    }
    const members = node.member?.status(world.moment(node)).members ?? [];
    assert(members.length > MAX_INSTANCES && members.length <= MAX_MEMBER_RECORDS, `${members.length}`);
    assert(members.some(({ name }) => name === other.name));
  });
});
