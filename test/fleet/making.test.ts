/** How an epoch is made: envelopes first, a few at a time, and all else by what the store shows then. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { RingAction } from '../../src/fleet/actions.ts';
import { Member } from '../../src/fleet/member.ts';
import { openEpochRecord } from '../../src/fleet/records/epoch.ts';
import { alarmsOf, common, eventsOf, fleet, sealingIds, settled, toNextEpoch, trustOf } from './scenes.ts';
import { SecretLedger } from './secret-ledger.ts';
import { HOUR, MINUTE, type Node, type World } from './world.ts';

const NODES = 6;

/** Calls `then` when a member has made its first envelope and not its last, once. */
function whenOneIsHalfReady(world: World, then: (worker: Node) => void): () => void {
  let done = false;
  for (const node of world.nodes) {
    const { member } = node;
    assert(member);
    member.work = (now, enough): readonly RingAction[] => {
      const actions = Member.prototype.work.call(member, now, enough);
      if (!done && actions.some(({ kind }) => kind === 'work')) {
        done = true;
        then(node);
      }
      return actions;
    };
  }
  return () => assert(done, 'it came to pass');
}

/** One envelope at each turn of work. */
function slow(t: TestContext): { readonly world: World; readonly ledger: SecretLedger } {
  const ledger = new SecretLedger();
  t.after(() => ledger.stop());
  const world = fleet(NODES, { chance: () => 0.4, ledger, ring: { heartbeat: MINUTE } });
  world.advance(10 * MINUTE);
  assert.equal(new Set(sealingIds(world)).size, 1);
  return { world, ledger };
}

function made(world: World, epoch: number): readonly Node[] {
  return world.nodes.filter((node) =>
    eventsOf(node, 'epoch_made').some((event) => 'epoch' in event && event.epoch === epoch),
  );
}

function envelopesReady(ledger: SecretLedger, node: Node): number {
  return ledger.alive(node.name).filter(({ kind }) => kind === 'aeadKey').length;
}

/** Runs into the next epoch: all is well, and nothing lies about. */
function assertWell({ world, ledger }: ReturnType<typeof slow>): void {
  toNextEpoch(world, 10 * MINUTE);
  const running = world.nodes.filter(({ member }) => member?.phase === 'running');
  const ids = new Set(running.map((node) => world.sealing(node)?.id));
  assert(ids.size === 1 && !ids.has(undefined));
  for (const node of running) {
    assert.equal(world.sealing(node)?.fresh, true);
    assert.equal(envelopesReady(ledger, node), 0);
  }
}

describe('while envelopes are made ready', () => {
  it('they are as many as there are others, one at a time, and nothing is in them until the last is ready', (t) => {
    const scene = slow(t);
    const { world, ledger } = scene;
    const steps = new Map<Node, number[]>();
    for (const node of world.nodes) {
      const { member } = node;
      assert(member);
      const own: number[] = [];
      steps.set(node, own);
      member.work = (now, enough) => {
        const actions = Member.prototype.work.call(member, now, enough);
        own.push(envelopesReady(ledger, node));
        return actions;
      };
    }
    const epoch = common(world).epoch + 1;
    while (made(world, epoch).length === 0) {
      world.advance(500);
    }
    const [maker] = made(world, epoch);
    assert.deepEqual(steps.get(maker), [1, 2, 3, 4, 5]);
    world.advance(5 * MINUTE);
    assert.deepEqual(
      world.nodes.map((node) => envelopesReady(ledger, node)),
      world.nodes.map(() => 0),
    );
    const trust = trustOf(world);
    const records = world.store.history.map(
      ({ kind, bytes }) => kind === 'epoch' && openEpochRecord(trust, 'x25519', bytes),
    );
    const record = records.findLast((one) => typeof one === 'object' && one.epoch === epoch);
    assert(typeof record === 'object' && record.envelopes.length === NODES - 1);
    assertWell(scene);
  });

  it('another makes the epoch: this one makes none', (t) => {
    const scene = slow(t);
    const { world } = scene;
    const epoch = common(world).epoch + 1;
    let worker: Node | undefined;
    const check = whenOneIsHalfReady(world, (node) => {
      worker = node;
      // Its machine stands still until the next one's time has come.
      world.sleep(node, 15 * MINUTE);
    });
    toNextEpoch(world);
    check();
    assert(worker && !made(world, epoch).includes(worker));
    assert.equal(made(world, epoch).length, 1);
    assertWell(scene);
  });

  it('the epoch passes: no key is made for one that is over', (t) => {
    const scene = slow(t);
    const { world } = scene;
    const epoch = common(world).epoch + 1;
    const check = whenOneIsHalfReady(world, () => {
      for (const node of world.nodes) {
        world.sleep(node, 2 * HOUR);
      }
    });
    world.advance(3 * HOUR);
    check();
    assert.deepEqual(made(world, epoch), []);
    assertWell(scene);
  });

  it('a flush arrives: the key that is made belongs to what follows it', (t) => {
    const scene = slow(t);
    const { world, ledger } = scene;
    let worker: Node | undefined;
    const check = whenOneIsHalfReady(world, (node) => {
      worker = node;
      world.later(1, () => world.call(node, (member, now) => member.flush(now)));
      world.later(2, () => assert.equal(envelopesReady(ledger, node), 0));
    });
    toNextEpoch(world);
    check();
    assert.equal(worker?.member?.generation, 1);
    assertWell(scene);
    assert.equal(common(world).generation, 1);
  });

  it('a member falls silent, another starts anew: who is there gets the key', (t) => {
    const scene = slow(t);
    const { world } = scene;
    const check = whenOneIsHalfReady(world, (node) => {
      const [gone, restarted] = world.nodes.filter((one) => one !== node);
      world.crash(gone);
      world.crash(restarted);
      world.start(restarted);
    });
    toNextEpoch(world);
    check();
    assertWell(scene);
  });

  it('the member leaves: it has nothing left, and does nothing more', (t) => {
    const scene = slow(t);
    const { world, ledger } = scene;
    let left: Node | undefined;
    const check = whenOneIsHalfReady(world, (node) => {
      left = node;
      world.later(1, () => world.call(node, (member, now) => member.leave(now)));
    });
    toNextEpoch(world);
    check();
    assert(left?.member);
    assert.deepEqual(ledger.alive(left.name), []);
    const { member } = left;
    assert.deepEqual(
      Member.prototype.work.call(member, world.moment(left), () => false),
      [],
    );
    assertWell(scene);
  });

  it('the store goes away: what was made ready is erased after a while', (t) => {
    const scene = slow(t);
    const { world, ledger } = scene;
    let worker: Node | undefined;
    const check = whenOneIsHalfReady(world, (node) => {
      worker = node;
      for (const one of world.nodes) {
        world.connect(one, false);
      }
    });
    toNextEpoch(world, -5 * MINUTE);
    check();
    assert(worker);
    assert.equal(envelopesReady(ledger, worker), 0);
    for (const node of world.nodes) {
      world.connect(node, true);
    }
    assertWell(scene);
  });
});

describe('a fleet that starts all at once', () => {
  const startAgain = (world: World): void => {
    for (const node of world.nodes) {
      world.start(node);
    }
  };
  const sealsWithin = (world: World, most: number): void => {
    for (let ms = 0; sealingIds(world).includes(undefined); ms += 100) {
      assert(ms <= most, `nobody seals after ${ms} ms`);
      world.advance(100);
    }
    common(world);
  };

  it('seals within seconds, though the store shows the epoch of a fleet that has ended', () => {
    const world = settled(5);
    for (const node of world.nodes) {
      world.call(node, (member, now) => member.leave(now));
    }
    const before = world.store.view(world.time, '').epochs.length;
    assert.equal(before, 1);
    startAgain(world);
    sealsWithin(world, 8_000);
  });

  it('and whose members were killed, once two heartbeats show that they are gone', () => {
    const world = settled(5);
    for (const node of world.nodes) {
      world.crash(node);
    }
    startAgain(world);
    sealsWithin(world, 30_000);
  });

  it('makes tickets again within seconds of a flush', () => {
    const world = settled(5);
    world.call(world.nodes[3], (member, now) => member.flush(now));
    sealsWithin(world, 8_000);
    assert.equal(common(world).generation, 1);
  });
});

describe('the alarm of a missing fresh epoch', () => {
  it('does not sound for the moment by which a fresh key may come late, and does for an outage', () => {
    const world = settled(2);
    const told = () => world.nodes.flatMap((node) => eventsOf(node, 'alarm'));
    for (const node of world.nodes) {
      world.connect(node, false);
    }
    toNextEpoch(world, 5_000);
    assert.equal(common(world).depth, 1);
    assert.deepEqual(
      told().filter((event) => 'alarm' in event && event.alarm === 'no_fresh_epoch'),
      [],
    );
    world.advance(world.configuration.settle - 5_000 + 1);
    for (const node of world.nodes) {
      assert(alarmsOf(world, node).includes('no_fresh_epoch'));
    }
    toNextEpoch(world);
    assert.equal(told().filter((event) => 'alarm' in event && event.alarm === 'no_fresh_epoch').length, 2, 'once each');
    for (const node of world.nodes) {
      world.connect(node, true);
    }
    world.advance(2 * MINUTE);
    assert.deepEqual(alarmsOf(world, world.nodes[0]), []);
  });

  it('tells that no key seals, also when it is an order that left none', () => {
    const world = fleet(1);
    world.advance(MINUTE);
    const [node] = world.nodes;
    world.call(node, (member, now) => member.flush(now));
    world.connect(node, false);
    world.advance(5 * world.configuration.settle);
    assert(alarmsOf(world, node).includes('no_sealing_key'));
  });
});
