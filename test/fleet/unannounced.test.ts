/** Whoever has a member's identity, and makes or sends keys without a process of it that shows itself. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { epochAt, epochTimes } from '../../src/fleet/epoch-rules.ts';
import { keyIdOf } from '../../src/fleet/epoch-secret.ts';
import { FIRST_GENERATION } from '../../src/fleet/generation.ts';
import { instanceSlot, openMemberRecord } from '../../src/fleet/records/member.ts';
import { sealWelcomeRecord } from '../../src/fleet/records/welcome.ts';
import { putEpoch } from './commands.ts';
import { alarmsOf, common, lastOf, settled, toNextEpoch, trustOf } from './scenes.ts';
import { HOUR, MINUTE, type Node, type World } from './world.ts';

const theirs = () => Secret.copy('epochSecret', new Uint8Array(32).fill(5));

function refusalsOf(world: World, node: Node): readonly string[] {
  return Object.keys(node.member?.status(world.moment(node)).refusals ?? {});
}

describe('whoever has a member’s identity and does not show himself', () => {
  for (const [what, creator] of [
    ['of a process that nobody has seen', () => new Uint8Array(16).fill(7)],
    ['of another member', ({ nodes }: World) => fromHex(nodes[0].member?.slot ?? '')],
  ] as const) {
    it(`makes no key, in the name ${what}`, () => {
      const world = settled(3);
      const [, stolen, node] = world.nodes;
      const { id } = common(world);
      putEpoch(world, stolen.file.identity, { secret: theirs(), rotation: 3, creator: creator(world) });
      world.advance(MINUTE);
      assert.equal(common(world).id, id);
      assert.equal(world.opening(node).filter(({ fresh }) => fresh).length, 1);
      assert.deepEqual(refusalsOf(world, node), ['unannounced']);
      toNextEpoch(world);
      assert(common(world).fresh, 'keys are made and read as ever');
    });
  }

  it('makes no key in the name of a process that has ended', () => {
    const world = settled(3);
    const [, stolen, node] = world.nodes;
    const creator = fromHex(stolen.member?.slot ?? '');
    world.crash(stolen);
    world.advance(MINUTE);
    // As if it had been made while it ran.
    const epoch = epochAt(world.configuration, world.time);
    const times = epochTimes(world.configuration, epoch, world.time - 2 * MINUTE, false);
    putEpoch(world, stolen.file.identity, { secret: theirs(), rotation: 3, creator, ...times });
    world.advance(MINUTE);
    assert.equal(world.opening(node).filter(({ fresh }) => fresh).length, 1);
    assert.deepEqual(refusalsOf(world, node), ['unannounced']);
  });

  it('makes no key unseen in the name of the process that runs: that one says so', () => {
    const world = settled(3);
    const [, stolen] = world.nodes;
    toNextEpoch(world, 0.8 * HOUR);
    assert.deepEqual(alarmsOf(world, stolen), [], 'its own keys are none');
    putEpoch(world, stolen.file.identity, { secret: theirs(), rotation: 3 });
    world.advance(2 * world.heartbeat);
    assert.deepEqual(alarmsOf(world, stolen), ['identity_shared']);
  });

  it('sends no key to a member, and does not spend what others seal to', () => {
    const world = settled(3);
    const [, stolen, node] = world.nodes;
    const { id } = common(world);
    const trust = trustOf(world);
    const own = openMemberRecord(trust, 'x25519', lastOf(world, node));
    assert(typeof own === 'object');
    const secret = theirs();
    const epoch = epochAt(world.configuration, world.time);
    const times = epochTimes(world.configuration, epoch, world.time, false);
    const keyId = keyIdOf(world.provider, secret);
    const record = sealWelcomeRecord({
      ...{ trust, kem: 'x25519', identity: stolen.file.identity, sentAt: world.time, generation: FIRST_GENERATION },
      recipient: { instanceId: own.instanceId, prekey: own.prekey },
      keys: [{ key: { epoch, rotation: 3, ...times, keyId, age: 0 }, secret }],
    });
    world.store.put('welcome', instanceSlot(own.instanceId), record, world.time + HOUR, true);
    const prekeyOf = () => {
      const said = openMemberRecord(trust, 'x25519', lastOf(world, node));
      return typeof said === 'object' && said.prekey;
    };
    const before = prekeyOf();
    world.advance(MINUTE);
    assert.equal(common(world).id, id);
    assert.deepEqual(refusalsOf(world, node), ['unannounced']);
    assert.deepEqual(prekeyOf(), before);
  });
});
