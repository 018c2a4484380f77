/** The life of keys in a fleet, scenario by scenario; what must hold in all of them is in `model.test.ts`. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EMPTY, sameBytes, toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { RingEvent } from '../../src/fleet/actions.ts';
import { Member } from '../../src/fleet/member.ts';
import { openEpochRecord } from '../../src/fleet/records/epoch.ts';
import { RingTrust } from '../../src/fleet/records/signed.ts';
import { forgeAsEvicted, putEpoch } from './commands.ts';
import { SecretLedger } from './secret-ledger.ts';
import { createToyProvider } from './toy-provider.ts';
import { HOUR, MINUTE, type Node, World, type WorldOptions } from './world.ts';

function fleet(nodes: number, options: Partial<WorldOptions> = {}): World {
  const world = new World({ provider: createToyProvider(1), nodes, ...options });
  world.startAll();
  return world;
}

/** Past the beginning: all have the first key and seal under it. */
function settled(nodes: number, options: Partial<WorldOptions> = {}): World {
  const world = fleet(nodes, options);
  world.advance(MINUTE);
  return world;
}

function sealingIds(world: World): (string | undefined)[] {
  return world.nodes.map((node) => world.sealing(node)?.id);
}

/** The one key that all seal under. */
function common(world: World) {
  const keys = world.nodes.map((node) => world.sealing(node));
  assert(keys[0], 'node0 seals');
  assert.equal(new Set(sealingIds(world)).size, 1, 'all seal under the same key');
  return keys[0];
}

function eventsOf(node: Node, kind: RingEvent['kind']): RingEvent[] {
  return node.events.filter((event) => event.kind === kind);
}

function alarmsOf(world: World, node: Node): readonly string[] {
  return node.member?.status(world.moment(node)).alarms ?? [];
}

/** Runs until the next epoch begins, and a little further. */
function toNextEpoch(world: World, further = 1_000): void {
  world.advance(world.epochLength - (world.time % world.epochLength) + further);
}

describe('a fleet that starts', () => {
  it('makes one key, which none seals under before all can open it', () => {
    const world = fleet(3);
    const made = () => world.nodes.flatMap((node) => eventsOf(node, 'epoch_made'));
    while (made().length === 0) {
      world.advance(100);
    }
    assert.equal(made().length, 1);
    world.advance(15_000);
    assert.deepEqual(sealingIds(world), [undefined, undefined, undefined]);
    assert.deepEqual(
      world.nodes.map((node) => world.opening(node).length),
      [1, 1, 1],
    );
    world.advance(10_000);
    assert.equal(common(world).depth, 0);
    assert.equal(made().length, 1);
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
});

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
    const world = settled(3);
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
    world.jump(wrong, -5 * MINUTE);
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
    world.advance(2 * HOUR + 1);
    assert.equal(common(world).depth, 2);
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

describe('whoever can write to the store', () => {
  it('cannot bring back what is over by bringing back the records', () => {
    const world = settled(2);
    const first = common(world).id;
    world.store.snapshot();
    world.advance(4 * HOUR);
    world.store.rollBack(0, world.time);
    world.advance(5 * MINUTE);
    for (const node of world.nodes) {
      assert(world.opening(node).every((key) => key.id !== first && key.times.destroyAt > world.time));
      assert(Object.keys(node.member?.status(world.moment(node)).refusals ?? {}).length > 0);
    }
    toNextEpoch(world);
    assert.equal(common(world).fresh, true);
  });

  it('cannot keep an epoch from being made by putting junk in its place', () => {
    const world = settled(2);
    const epoch = common(world).epoch + 1;
    world.store.put('epoch', `0.${epoch.toString(16)}.0`, new Uint8Array(500).fill(1), world.time + 2 * HOUR);
    toNextEpoch(world);
    assert.equal(common(world).fresh, true);
  });

  it('cannot make a member of who is not on the list', () => {
    const world = settled(2);
    const stranger = new World({ provider: world.provider, nodes: 1 }).nodes[0];
    const trust = trustOf(world);
    const record = trust.seal(stranger.file.identity, 'order', (body) => body.u64(5).u16(0).u64(1));
    world.store.put('order', toHex(stranger.file.identity.memberId), record, world.time + HOUR);
    const before = common(world).id;
    world.advance(MINUTE);
    assert.equal(common(world).id, before);
    assert.equal(
      world.nodes[0].member?.status(world.moment(world.nodes[0])).refusals.unknown_signer !== undefined,
      true,
    );
  });

  it('finds each prekey used once: a second envelope for it opens nothing', () => {
    const world = settled(2);
    const [, node] = world.nodes;
    const envelopes = (prekey: string) =>
      world.store.history.filter(({ bytes }) => toHex(bytes).includes(prekey)).length;
    const announced = toHex(lastOf(world, node)).slice(0, 400);
    assert.equal(envelopes(announced), 1);
    const received = eventsOf(node, 'key_received').length + eventsOf(node, 'epoch_made').length;
    // All of the past once more.
    for (const { kind, slot, bytes } of [...world.store.history]) {
      world.store.put(kind, slot, bytes, world.time + HOUR, true);
    }
    world.advance(MINUTE);
    assert.equal(eventsOf(node, 'key_received').length + eventsOf(node, 'epoch_made').length, received);
  });
});

describe('a member that makes keys wrongly', () => {
  const zero = new Uint8Array(32);
  const good = new Uint8Array(32).fill(5);
  const cases: [string, string, Uint8Array, (world: World) => Parameters<typeof putEpoch>[2] | object][] = [
    ['a key that is all zero', 'bad_key', zero, () => ({})],
    ['a key that is not the one in the header', 'bad_envelope', good, () => ({ keyId: new Uint8Array(16) })],
    ['a key that seals for longer', 'bad_times', good, ({ time }) => ({ sealUntil: time + 3 * HOUR })],
    ['a key that opens for longer', 'bad_times', good, ({ time }) => ({ destroyAt: time + 20 * HOUR })],
    ['a key of the epoch after the next', 'untimely', good, (world) => ({ epoch: Math.floor(world.time / HOUR) + 2 })],
  ];
  for (const [what, refusal, bytes, change] of cases) {
    it(`is not followed: ${what}`, () => {
      const world = settled(3);
      const [, insider, node] = world.nodes;
      const before = common(world).id;
      const secret = Secret.copy('epochSecret', bytes);
      putEpoch(world, insider.file.identity, { secret, rotation: 3, ...change(world) });
      world.advance(MINUTE);
      assert.equal(common(world).id, before);
      assert.equal(world.opening(node).filter(({ fresh }) => fresh).length, 1);
      const { refusals } = node.member?.status(world.moment(node)) ?? { refusals: {} };
      assert.deepEqual(Object.keys(refusals), [refusal]);
    });
  }

  it('is not followed: a key that was there before, under another epoch', () => {
    const world = settled(3);
    const [, insider, node] = world.nodes;
    const key = common(world);
    const secret = key.secret.clone();
    toNextEpoch(world, 5 * MINUTE);
    const before = common(world).id;
    putEpoch(world, insider.file.identity, { secret, rotation: 3 });
    world.advance(MINUTE);
    assert.equal(common(world).id, before);
    assert.equal(world.opening(node).find(({ id }) => id === key.id)?.epoch, key.epoch);
    assert.equal(node.member?.status(world.moment(node)).refusals.bad_key !== undefined, true);
  });
});

function trustOf({ provider, configuration, nodes }: World): RingTrust {
  const ringId = nodes.find(({ member }) => member !== undefined)?.member?.ringId;
  assert(ringId);
  return new RingTrust(provider, ringId, configuration.allowList);
}

/** The last record that a node announced itself with. */
function lastOf(world: World, node: Node): Uint8Array {
  const record = world.store.history.findLast(({ kind, slot }) => kind === 'member' && slot === node.member?.slot);
  assert(record);
  return record.bytes;
}
