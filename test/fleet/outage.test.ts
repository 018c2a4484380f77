/** The store away, split, or with a wrong clock, and members with one, scenario by scenario. What must hold in all of them is in `model.test.ts`. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { alarmsOf, common, eventsOf, fleet, sealingIds, settled, toNextEpoch } from './scenes.ts';
import { HOUR, MINUTE } from './world.ts';

describe('without the store', () => {
  it('everybody goes on to the same keys, for a day at the most, and back to fresh ones', () => {
    const world = settled(3);
    for (const node of world.nodes) {
      world.connect(node, false);
    }
    for (let depth = 1; depth <= 20; depth++) {
      toNextEpoch(world);
      assert.equal(common(world).depth, depth);
    }
    assert(alarmsOf(world, world.nodes[0]).includes('no_fresh_epoch'));
    assert(alarmsOf(world, world.nodes[0]).includes('sealing_key_old'));
    assert(alarmsOf(world, world.nodes[0]).includes('store_unreachable'));
    world.advance(5 * HOUR);
    assert.deepEqual(sealingIds(world), [undefined, undefined, undefined]);
    assert(alarmsOf(world, world.nodes[0]).includes('no_sealing_key'));
    for (const node of world.nodes) {
      world.connect(node, true);
    }
    world.advance(2 * MINUTE);
    assert.equal(common(world).depth, 0);
    assert.deepEqual(alarmsOf(world, world.nodes[0]), []);
  });

  it('what a member seals that is cut off, the others open, for as long as it can go on', () => {
    // Twenty hours: with fewer visits than usual, which change nothing here and take most of the time.
    const world = settled(3, { ring: { heartbeat: MINUTE } });
    const [cut, ...others] = world.nodes;
    world.connect(cut, false);
    for (let depth = 1; depth <= 20; depth++) {
      toNextEpoch(world);
      const key = world.sealing(cut);
      assert.equal(key?.depth, depth);
      for (const node of others) {
        assert(world.opens(node, key.id));
        assert.equal(world.sealing(node)?.fresh, true);
      }
    }
  });

  it('a short outage is not noticed', () => {
    const world = settled(2);
    const before = common(world).id;
    world.advance(MINUTE);
    for (const node of world.nodes) {
      world.connect(node, false);
    }
    world.advance(20 * MINUTE);
    assert.equal(common(world).id, before);
    assert.deepEqual(alarmsOf(world, world.nodes[0]), []);
  });

  it('a store that takes no writes is one without: nobody makes keys that nobody would see, and all go on by the ratchet', () => {
    const world = settled(3);
    const { store } = world;
    const made = () => world.nodes.flatMap((node) => eventsOf(node, 'epoch_made')).length;
    const before = made();
    store.write = () => {};
    toNextEpoch(world);
    assert.equal(common(world).depth, 1);
    toNextEpoch(world);
    assert.equal(common(world).depth, 2);
    assert.equal(made(), before);
    store.write = Object.getPrototypeOf(store).write;
    world.advance(MINUTE);
    assert.equal(common(world).depth, 0);
  });

  it('a flush forbids to go on from what was before', () => {
    const world = settled(2);
    const [node, cut] = world.nodes;
    world.connect(cut, false);
    world.call(node, (member, now) => member.flush(now));
    world.advance(MINUTE);
    toNextEpoch(world);
    const old = world.sealing(cut);
    assert.equal(old?.depth, 1);
    assert.equal(world.opens(node, old.id), false);
    world.connect(cut, true);
    world.advance(MINUTE);
    assert.equal(world.opens(cut, old.id), false);
    common(world);
  });
});

describe('a race for an epoch', () => {
  it('leaves the winner’s key alone: the loser erases its own, which nobody else ever had', () => {
    const world = settled(2);
    const epoch = common(world).epoch + 1;
    const made = () => world.nodes.flatMap((node) => eventsOf(node, 'epoch_made')).length;
    while (made() === 1) {
      world.advance(100);
    }
    // The other one does not get to see it, nor that anybody has it, and makes its own.
    world.store.hidesEpochs = true;
    const winner = world.nodes.find((node) =>
      eventsOf(node, 'epoch_made').some((event) => 'epoch' in event && event.epoch === epoch),
    );
    assert(winner);
    world.connect(winner, false);
    while (made() === 2 && world.time % world.epochLength < world.epochLength - MINUTE) {
      world.advance(100);
    }
    assert.equal(made(), 3);
    world.store.hidesEpochs = false;
    world.connect(winner, true);
    world.advance(5 * MINUTE);
    for (const node of world.nodes) {
      assert.equal(world.opening(node).filter((key) => key.fresh && key.epoch === epoch).length, 1);
    }
  });
});

describe('a split store', () => {
  it('leaves two keys that all open and one that all seal under', () => {
    const world = fleet(4);
    world.store.brokenNx = true;
    for (const [index, node] of world.nodes.entries()) {
      world.connect(node, index < 2);
    }
    world.advance(2 * MINUTE);
    const left = world.sealing(world.nodes[0])?.id;
    const lost = world.store.view(world.time, '');
    world.store.wipe();
    for (const [index, node] of world.nodes.entries()) {
      world.connect(node, index >= 2);
    }
    world.advance(2 * MINUTE);
    const right = world.sealing(world.nodes[2])?.id;
    assert(left !== undefined && right !== undefined && left !== right);
    assert(lost.epochs.length > 0);
    for (const node of world.nodes) {
      world.connect(node, true);
    }
    world.advance(5 * MINUTE);
    assert.equal(common(world).id, left < right ? left : right);
    for (const node of world.nodes) {
      assert(world.opens(node, left) && world.opens(node, right));
    }
  });
});

describe('clocks', () => {
  it('a member whose clock is wrong makes no epoch and says so, but seals and opens like the others', () => {
    const world = settled(2);
    const [wrong, right] = world.nodes;
    world.jump(wrong, -5 * HOUR);
    world.crash(right);
    world.advance(MINUTE);
    assert.deepEqual(alarmsOf(world, wrong), ['clock_skew']);
    toNextEpoch(world);
    assert.equal(world.sealing(wrong)?.depth, 1);
    world.start(right);
    world.advance(MINUTE);
    assert.equal(world.sealing(wrong)?.id, world.sealing(right)?.id);
    assert.equal(common(world).depth, 0);
  });

  it('a member that starts too far behind to be sent keys says by how much, and gets them once its clock is set right', () => {
    const world = settled(3);
    const [, , late] = world.nodes;
    world.crash(late);
    world.advance(MINUTE);
    world.jump(late, -40 * MINUTE);
    world.start(late);
    world.advance(world.heartbeat);
    assert.deepEqual(alarmsOf(world, late), ['clock_behind', 'clock_skew']);
    const alarms = () => late.events.flatMap((event) => (event.kind === 'alarm' ? [event] : []));
    const told = alarms().map(({ alarm, skew = 0 }) => `${alarm} ${Math.round(skew / MINUTE)}`);
    assert.deepEqual(told, ['clock_skew -40', 'clock_behind -40']);
    toNextEpoch(world);
    assert.equal(world.sealing(late), undefined);
    world.jump(late, 40 * MINUTE);
    world.advance(MINUTE);
    assert(common(world).fresh);
    assert.deepEqual(alarmsOf(world, late), []);
    assert(
      !alarms().some(({ alarm }) => alarm === 'store_unreachable'),
      'a clock that was set is no store that was away',
    );
  });

  it('a clock set back does not lengthen the life of a key', () => {
    const world = settled(1);
    const [node] = world.nodes;
    const { id } = common(world);
    world.jump(node, -10 * HOUR);
    world.connect(node, false);
    toNextEpoch(world);
    assert.notEqual(world.sealing(node)?.id, id);
    world.advance(2 * HOUR);
    assert.equal(world.opens(node, id), false);
  });

  it('a machine that sleeps finds its old keys gone when it wakes', () => {
    const world = settled(1);
    const [node] = world.nodes;
    const key = common(world);
    world.connect(node, false);
    world.sleep(node, 4 * HOUR);
    world.advance(4 * HOUR);
    assert.equal(key.state(world.moment(node)), 'ended');
    assert.equal(key.workingSecret('default', 'mayfly')?.erased, true);
    assert.equal(world.sealing(node), undefined);
    world.connect(node, true);
    world.advance(MINUTE);
    assert.equal(world.sealing(node)?.fresh, true);
  });

  it('a machine that slept for less than its keys live goes on where the others are', () => {
    const world = settled(2);
    for (const node of world.nodes) {
      world.connect(node, false);
    }
    world.sleep(world.nodes[0], 2 * HOUR);
    // It seals nothing before it has found that the store is away.
    world.advance(2 * HOUR + MINUTE);
    assert.equal(common(world).depth, 2);
  });

  it('a machine that slept seals nothing until it has a fresh key, where the others have one', () => {
    const world = settled(3);
    const [sleeper] = world.nodes;
    world.sleep(sleeper, 2.5 * HOUR);
    world.connect(sleeper, false);
    world.advance(2.5 * HOUR - 1);
    sleeper.events = [];
    // A connection that waited is served before any timer: no key that follows from what lay in the memory.
    assert.equal(world.sealing(sleeper), undefined);
    // Its connection has ended meanwhile, which is no outage yet.
    world.advance(3_000);
    world.connect(sleeper, true);
    world.advance(MINUTE);
    assert.equal(common(world).fresh, true);
    const sealed = sleeper.events.flatMap((event) => (event.kind === 'sealing' ? [event.ratchetDepth] : []));
    assert.deepEqual(sealed, [0]);
  });

  it('a machine that slept too short for it to notice seals under no key that follows from what lay in its memory', () => {
    // Heartbeats of a second, so that an epoch ends within a sleep that is none yet.
    const world = settled(2, { ring: { epochLength: 12_000, ticketLifetime: 12_000 } });
    const [sleeper] = world.nodes;
    toNextEpoch(world, 5_900);
    const { epoch } = common(world);
    world.sleep(sleeper, 8_000);
    world.connect(sleeper, false);
    world.advance(7_999);
    sleeper.events = [];
    assert.equal(world.sealing(sleeper), undefined);
    // One visit fails, as its connection ended.
    world.advance(50);
    world.connect(sleeper, true);
    world.advance(4_000);
    const sealed = sleeper.events.flatMap((event) => (event.kind === 'sealing' ? [event] : []));
    assert.deepEqual(
      sealed.map((event) => [event.epoch, event.ratchetDepth]),
      [[epoch + 1, 0]],
    );
  });

  it('a store that tells a time that is none is not heard', () => {
    const world = settled(2);
    world.store.frozenAt = Number.NaN;
    world.advance(2 * HOUR);
    assert.equal(common(world).depth, 2);
    assert(alarmsOf(world, world.nodes[0]).includes('store_unreachable'));
    world.store.frozenAt = undefined;
    world.advance(HOUR);
    assert.equal(common(world).fresh, true);
  });

  it('a store that lies about the time, or whose clock stands, lengthens no key’s life', () => {
    for (const lie of [-3 * HOUR, 'frozen'] as const) {
      const world = settled(2);
      const { id, times } = common(world);
      if (lie === 'frozen') {
        world.store.frozenAt = world.time;
      } else {
        world.store.clockOffset = lie;
      }
      world.crash(world.nodes[1]);
      world.start(world.nodes[1]);
      world.advance(times.destroyAt - world.time + world.configuration.maxSkew);
      for (const node of world.nodes) {
        assert.equal(world.opens(node, id), false);
      }
    }
  });
});
