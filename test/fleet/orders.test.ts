/** Flushes, evictions, rotations and farewells, scenario by scenario. What must hold in all of them is in `model.test.ts`. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../src/bytes/bytes.ts';
import { openEpochRecord } from '../../src/fleet/records/epoch.ts';
import { sealOrderRecord } from '../../src/fleet/records/order.ts';
import { forgeAsEvicted } from './commands.ts';
import { alarmsOf, common, sealingIds, settled, toNextEpoch, trustOf } from './scenes.ts';
import { HOUR, MINUTE } from './world.ts';

describe('orders', () => {
  it('a flush ends all keys everywhere, and the new one has nothing of the old', () => {
    const world = settled(3);
    const before = new Set(world.nodes.flatMap((node) => world.opening(node).map(({ id }) => id)));
    world.call(world.nodes[1], (member, now) => member.flush(now));
    assert.equal(world.opening(world.nodes[1]).length, 0);
    world.advance(90_000);
    const key = common(world);
    assert.equal(key.generation, 1);
    for (const node of world.nodes) {
      assert(world.opening(node).every(({ id }) => !before.has(id)));
    }
  });

  it('an eviction ends all keys, and who is evicted gets no later one', () => {
    const world = settled(3);
    const [, judge, out] = world.nodes;
    world.call(judge, (member, now) => member.evict(now, out.file.identity.memberId));
    world.advance(90_000);
    assert.equal(out.member?.phase, 'evicted');
    assert.equal(world.opening(out).length, 0);
    assert.deepEqual(alarmsOf(world, out), ['evicted']);
    const [a, b] = sealingIds(world);
    assert(a !== undefined && a === b);
    toNextEpoch(world);
    const trust = trustOf(world);
    for (const { kind, bytes } of world.store.history) {
      const record = kind === 'epoch' ? openEpochRecord(trust, 'x25519', bytes) : 'other';
      if (typeof record !== 'string' && record.generation.number === 1) {
        assert.equal(record.envelopes.length, 1);
      }
    }
  });

  it('an evicted member that starts again is still out, while a member or the store remembers', () => {
    const world = settled(3);
    const [judge, , out] = world.nodes;
    world.call(judge, (member, now) => member.evict(now, out.file.identity.memberId));
    world.advance(MINUTE);
    world.store.wipe();
    world.crash(out);
    world.advance(MINUTE);
    world.start(out);
    world.advance(2 * MINUTE);
    assert.equal(out.member?.phase, 'evicted');
  });

  it('who is evicted makes keys in vain, also with the new generation on them', () => {
    const world = settled(3);
    const [judge, other, out] = world.nodes;
    world.call(judge, (member, now) => member.evict(now, out.file.identity.memberId));
    world.advance(90_000);
    const before = world.sealing(other)?.id;
    const names = world.store.history.length;
    forgeAsEvicted(world);
    assert.equal(world.store.history.length, names + 1);
    world.advance(5 * MINUTE);
    for (const node of [judge, other]) {
      assert.equal(world.sealing(node)?.id, before);
      assert.equal(world.opening(node).filter(({ fresh }) => fresh).length, 1);
      assert((node.member?.status(world.moment(node)).refusals.evicted_signer ?? 0) > 0);
    }
  });

  it('a key from before an order is not taken after it', () => {
    const world = settled(3);
    const [judge, , late] = world.nodes;
    world.advance(MINUTE);
    world.connect(late, false);
    world.call(judge, (member, now) => member.rotate(now));
    world.advance(5_000);
    world.call(judge, (member, now) => member.flush(now));
    world.connect(late, true);
    world.advance(MINUTE);
    assert.equal(world.opening(late).filter(({ fresh }) => fresh).length, 1);
    assert((late.member?.status(world.moment(late)).refusals.old_generation ?? 0) > 0);
    common(world);
  });

  it('two at once from both sides of a split end as one', () => {
    const world = settled(4);
    const [a, b, c, d] = world.nodes;
    for (const node of world.nodes) {
      world.connect(node, false);
    }
    world.call(a, (member, now) => member.evict(now, c.file.identity.memberId));
    world.call(b, (member, now) => member.evict(now, d.file.identity.memberId));
    for (const node of world.nodes) {
      world.connect(node, true);
    }
    world.advance(3 * MINUTE);
    assert.deepEqual(
      world.nodes.map((node) => node.member?.phase),
      ['running', 'running', 'evicted', 'evicted'],
    );
    // One more than either: keys of the first number may have gone to whom the other had not yet evicted.
    assert.equal(world.sealing(a)?.generation, 2);
    assert.equal(world.sealing(a)?.id, world.sealing(b)?.id);
  });

  it('of two who evict each other leave one at the most, and a third tells the other', () => {
    const world = settled(3);
    const [a, b, third] = world.nodes;
    world.call(a, (member, now) => member.evict(now, b.file.identity.memberId));
    world.call(b, (member, now) => member.evict(now, a.file.identity.memberId));
    world.advance(5 * MINUTE);
    const running = world.nodes.filter(({ member }) => member?.phase === 'running');
    assert(running.length <= 2 && running.includes(third));
    assert.equal(new Set(running.map((node) => world.sealing(node)?.id)).size, 1);
    assert(world.sealing(third));
  });

  it('evict also who has said the largest generation, after which nobody can flush any more', () => {
    const world = settled(3);
    const [giver, other, thief] = world.nodes;
    const { identity } = thief.file;
    const generation = { number: 2 ** 48, evicted: [] };
    const record = sealOrderRecord(trustOf(world), identity, { generation, issuedAt: world.time });
    world.store.put('order', toHex(identity.memberId), record, world.time + HOUR);
    world.advance(MINUTE);
    const { id } = common(world);
    assert.throws(() => giver.member?.flush(world.moment(giver)), { code: 'TLS_ERR_WRONG_STATE' });
    world.call(giver, (member, now) => member.evict(now, identity.memberId));
    world.advance(2 * MINUTE);
    assert.equal(thief.member?.phase, 'evicted');
    const after = world.sealing(giver)?.id;
    assert(after !== undefined && after !== id);
    assert.equal(world.sealing(other)?.id, after);
    assert.equal(world.opens(other, id), false);
  });

  it('can be given by a running member only, and evict nobody who is not on the list', () => {
    const world = settled(2);
    const [node] = world.nodes;
    const stranger = new Uint8Array(32);
    assert.throws(() => node.member?.evict(world.moment(node), stranger), { code: 'TLS_ERR_CONFIG' });
    world.call(node, (member, now) => member.leave(now));
    assert.throws(() => node.member?.flush(world.moment(node)), { code: 'TLS_ERR_WRONG_STATE' });
  });

  it('a rotation brings a new sealing key within the epoch, and the one before still opens', () => {
    const world = settled(3);
    const before = common(world);
    world.call(world.nodes[2], (member, now) => member.rotate(now));
    world.advance(MINUTE);
    const after = common(world);
    assert.notEqual(after.id, before.id);
    assert.equal(after.epoch, before.epoch);
    assert(world.opens(world.nodes[0], before.id));
  });

  it('who leaves has nothing left, and the others do not wait for it', () => {
    const world = settled(2);
    const [node, other] = world.nodes;
    world.call(node, (member, now) => member.leave(now));
    assert.equal(world.opening(node).length, 0);
    world.advance(MINUTE);
    assert.equal(other.member?.status(world.moment(other)).members.length, 0);
    toNextEpoch(world);
    assert.equal(world.sealing(other)?.fresh, true);
  });
});
