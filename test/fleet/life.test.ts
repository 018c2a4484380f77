/** The life of keys in a fleet, scenario by scenario. What must hold in all of them is in `model.test.ts`. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EMPTY, sameBytes } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { Member } from '../../src/fleet/member.ts';
import { alarmsOf, common, eventsOf, fleet, sealingIds, settled, toNextEpoch } from './scenes.ts';
import { SecretLedger } from './secret-ledger.ts';
import { HOUR, MINUTE, type Node } from './world.ts';

describe('a fleet that starts', () => {
  it('makes one key, which none seals under before all can open it', () => {
    const world = fleet(3);
    const made = () => world.nodes.flatMap((node) => eventsOf(node, 'epoch_made'));
    while (made().length === 0) {
      world.advance(100);
    }
    assert.equal(made().length, 1);
    // Until each has heard of it from the other two.
    let unsealed = 0;
    while (sealingIds(world).includes(undefined)) {
      const sealing = world.nodes.map((node) => world.sealing(node)).find((key) => key !== undefined);
      assert(sealing === undefined || world.nodes.every((node) => world.opens(node, sealing.id)));
      world.advance(100);
      unsealed += 100;
    }
    assert(unsealed > 1_000 && unsealed < 10_000, `${unsealed} ms`);
    assert.equal(common(world).depth, 0);
    assert.equal(made().length, 1);
  });

  it('waits two heartbeats with a key of which not all have said that they have it', () => {
    const world = fleet(3);
    const made = () => world.nodes.flatMap((node) => eventsOf(node, 'epoch_made'));
    while (made().length === 0) {
      world.advance(100);
    }
    const [silent, ...others] = world.nodes.filter((node) => eventsOf(node, 'epoch_made').length === 0);
    assert.equal(others.length, 1);
    world.connect(silent, false);
    world.advance(15_000);
    assert.deepEqual(sealingIds(world), [undefined, undefined, undefined]);
    world.advance(10_000);
    const ids = sealingIds(world).filter((id) => id !== undefined);
    assert.equal(ids.length, 2);
  });

  it('of one member seals within seconds: there is nobody to wait for', () => {
    const world = fleet(1);
    world.advance(5_000);
    assert(world.sealing(world.nodes[0]));
  });

  it('works the same with real cryptography, hybrid', () => {
    const world = settled(3, { provider: nodeProvider, ring: { dangerouslyClassicalKem: false } });
    common(world);
    toNextEpoch(world, 5 * MINUTE);
    assert.equal(common(world).fresh, true);
  });
});

describe('the next epoch', () => {
  it('is there half an epoch before anyone seals under it, and then all do', () => {
    const world = settled(4);
    const before = common(world).id;
    world.advance(world.epochLength / 2 - MINUTE + world.epochLength / 8 + MINUTE);
    for (const node of world.nodes) {
      assert.equal(node.member?.status(world.moment(node)).nextEpochPresent, true);
    }
    assert.equal(common(world).id, before);
    toNextEpoch(world);
    const after = common(world);
    assert.notEqual(after.id, before);
    assert.equal(after.fresh, true);
    for (const node of world.nodes) {
      assert(world.opens(node, before));
    }
  });

  it('takes each secret at the end of its epoch, and the working keys when their tickets have ended', () => {
    const world = settled(2, { ring: { ticketLifetime: 90 * MINUTE, ticketLifetime12: 30 * MINUTE } });
    const [node] = world.nodes;
    const key = common(world);
    const secrets = (['mayfly', 'mayfly-12'] as const).map((target) => key.workingSecret('default', target));
    const erased = () => [!key.hasSecret, secrets[1]?.erased, secrets[0]?.erased];
    toNextEpoch(world, -1);
    assert.deepEqual(erased(), [false, false, false]);
    world.advance(2);
    assert.deepEqual(erased(), [true, false, false]);
    world.advance(30 * MINUTE - 5);
    assert.deepEqual(erased(), [true, false, false]);
    world.advance(10);
    assert.deepEqual(erased(), [true, true, false]);
    world.advance(HOUR - 20);
    assert.equal(world.opens(node, key.id), true);
    world.advance(20);
    assert.deepEqual(erased(), [true, true, true]);
    assert.equal(world.opens(node, key.id), false);
    assert.throws(() => secrets[0]?.expose(), { code: 'TLS_ERR_SECRET_ERASED' });
  });

  it('goes on from the secret before, and after a flush from nothing', () => {
    const ledger = new SecretLedger();
    try {
      const world = settled(2, { ledger });
      const saltOf = (secret: Uint8Array, salts: readonly Uint8Array[]) =>
        salts.findIndex((salt) =>
          ledger.all.some(({ bytes }) => sameBytes(world.provider.hmac('sha256', salt, bytes), secret)),
        );
      const first = Uint8Array.from(common(world).secret.expose());
      toNextEpoch(world);
      const second = Uint8Array.from(common(world).secret.expose());
      assert.equal(saltOf(second, [EMPTY, first]), 1);
      world.call(world.nodes[0], (member, now) => member.flush(now));
      world.advance(90_000);
      assert.equal(saltOf(common(world).secret.expose(), [EMPTY, first, second]), 0);
    } finally {
      ledger.stop();
    }
  });
});

describe('a joiner', () => {
  it('gets the current key and the next, and none from before', () => {
    const world = fleet(3);
    world.crash(world.nodes[2]);
    world.advance(2 * HOUR + 50 * MINUTE);
    const [veteran, , joiner] = world.nodes;
    world.start(joiner);
    world.advance(30_000);
    const fresh = (node: Node) => world.opening(node).filter((key) => key.fresh);
    assert.equal(fresh(veteran).length, 4);
    assert.deepEqual(
      fresh(joiner).map(({ epoch }) => epoch),
      fresh(veteran)
        .slice(2)
        .map(({ epoch }) => epoch),
    );
    assert.equal(world.sealing(joiner)?.id, world.sealing(veteran)?.id);
  });

  it('makes no key of its own while others have one', () => {
    const world = settled(2);
    world.crash(world.nodes[1]);
    world.advance(5 * MINUTE);
    world.start(world.nodes[1]);
    world.advance(5 * MINUTE);
    assert.equal(eventsOf(world.nodes[1], 'epoch_made').length, 0);
    common(world);
  });

  it('whose helper falls silent is helped by the next', () => {
    const world = settled(5);
    const joiner = world.nodes[4];
    world.crash(joiner);
    world.advance(5 * MINUTE);
    world.start(joiner);
    world.advance(2_000);
    // Whoever's turn it is next: all but one can no longer be reached.
    for (const node of world.nodes.slice(1, 4)) {
      world.connect(node, false);
    }
    world.advance(2 * MINUTE);
    assert.equal(world.sealing(joiner)?.id, world.sealing(world.nodes[0])?.id);
  });

  it('with the identity of a running member raises an alarm', () => {
    const world = settled(2);
    const [node, other] = world.nodes;
    const { provider, configuration } = world;
    const thief = new Member({ provider, configuration, identity: node.file.identity, uses: [] });
    const copy = Object.assign(Object.create(Object.getPrototypeOf(node)) as Node, node, { member: thief, events: [] });
    world.call(copy, (member, now) => member.start(now));
    world.advance(3 * MINUTE);
    assert.deepEqual(alarmsOf(world, other), ['identity_shared']);
    assert(alarmsOf(world, node).includes('identity_shared'));
  });

  it('with the identity of a running member, for seconds, is told of by everyone, once; a restart is not', () => {
    const world = settled(3);
    const [node, other, restarted] = world.nodes;
    world.crash(restarted);
    world.start(restarted);
    world.advance(MINUTE);
    const told = () => world.nodes.map((one) => eventsOf(one, 'second_process').length);
    assert.deepEqual(told(), [0, 0, 0]);
    const { provider, configuration } = world;
    const thief = new Member({ provider, configuration, identity: node.file.identity, uses: [] });
    const copy = Object.assign(Object.create(Object.getPrototypeOf(node)) as Node, node, { member: thief, events: [] });
    world.call(copy, (member, now) => member.start(now));
    world.advance(1.5 * world.heartbeat);
    assert(eventsOf(copy, 'key_received').length > 0, 'he has what he came for');
    world.call(copy, (member, now) => member.leave(now));
    world.advance(5 * MINUTE);
    assert.deepEqual(told(), [1, 1, 1]);
    assert.equal(other.member?.status(world.moment(other)).secondProcesses, 1);
    assert.deepEqual(alarmsOf(world, other), []);
  });

  it('with the identity of a member that stands still is told of when that one goes on, by all that saw him', () => {
    const world = settled(3);
    const [victim] = world.nodes;
    world.sleep(victim, 90 * MINUTE);
    world.connect(victim, false);
    world.advance(30 * MINUTE);
    const { provider, configuration } = world;
    const thief = new Member({ provider, configuration, identity: victim.file.identity, uses: [] });
    const copy = Object.assign(Object.create(Object.getPrototypeOf(victim)) as Node, victim, {
      ...{ member: thief, events: [], asleepUntil: 0, connected: true },
    });
    world.call(copy, (member, now) => member.start(now));
    world.advance(1.5 * world.heartbeat);
    world.call(copy, (member, now) => member.leave(now));
    const told = () => world.nodes.map((one) => eventsOf(one, 'second_process').length);
    const known = eventsOf(copy, 'announced').map((event) => 'instance' in event && event.instance);
    const welcomed = world.nodes.flatMap((one) => eventsOf(one, 'welcomed').slice(-1));
    assert(welcomed.some((event) => 'instance' in event && known.includes(event.instance)));
    world.advance(58 * MINUTE);
    assert.deepEqual(told(), [0, 0, 0], 'so far he may be its restart');
    world.connect(victim, true);
    world.advance(5 * MINUTE);
    assert.deepEqual(told(), [0, 1, 1]);
  });

  it('with the identity of a member that stands still, and who is there still when that one goes on, raises an alarm', () => {
    const world = settled(2);
    const [victim, other] = world.nodes;
    world.sleep(victim, 30 * MINUTE);
    world.advance(20 * MINUTE);
    const { provider, configuration } = world;
    const thief = new Member({ provider, configuration, identity: victim.file.identity, uses: [] });
    const copy = Object.assign(Object.create(Object.getPrototypeOf(victim)) as Node, victim, {
      ...{ member: thief, events: [], asleepUntil: 0 },
    });
    world.call(copy, (member, now) => member.start(now));
    world.advance(9 * MINUTE);
    assert.deepEqual(alarmsOf(world, other), []);
    world.advance(3 * MINUTE);
    assert.deepEqual(alarmsOf(world, other), ['identity_shared']);
    assert(alarmsOf(world, victim).includes('identity_shared'));
  });
});
