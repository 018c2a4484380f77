/** Enemies at the store, and members that mean harm, scenario by scenario. What must hold in all of them is in `model.test.ts`. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { openMemberRecord, prekeyIdOf, sealMemberRecord } from '../../src/fleet/records/member.ts';
import { putEpoch } from './commands.ts';
import { alarmsOf, common, eventsOf, lastOf, settled, toNextEpoch, trustOf } from './scenes.ts';
import { HOUR, MINUTE, World } from './world.ts';

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

describe('whoever has a prekey from a member’s memory, and the store', () => {
  it('is sent no later key by a clock that goes back to when it was announced', () => {
    const world = settled(2);
    const [victim, other] = world.nodes;
    const slot = victim.member?.slot ?? '';
    const stolen = { record: lastOf(world, victim), at: world.time };
    world.advance(30 * HOUR);
    assert.equal(common(world).fresh, true);
    const welcomes = () =>
      world.store.history.filter((entry) => entry.kind === 'welcome' && entry.slot === slot).length;
    const before = welcomes();
    world.connect(victim, false);
    // So far ahead that the victim is forgotten, with the number of its last record; then back.
    for (const offset of [25 * HOUR, stolen.at - world.time]) {
      world.store.wipe();
      world.store.clockOffset = offset;
      world.store.put('member', slot, stolen.record, world.time + HOUR);
      world.advance(2 * world.heartbeat);
    }
    assert.equal(other.member?.status(world.moment(other)).members.length, 1, 'the record passes for a live one');
    assert.equal(welcomes(), before);
  });

  /** What one member says of itself while it is told a time days ahead, and which prekey it then had. */
  const postDated = (world: World) => {
    const [victim] = world.nodes;
    const slot = victim.member?.slot ?? '';
    world.store.lies.set(slot, 72 * HOUR);
    world.advance(MINUTE);
    const record = lastOf(world, victim);
    const said = openMemberRecord(trustOf(world), 'x25519', record);
    assert(typeof said === 'object' && said.announcedAt > world.time + 71 * HOUR);
    world.store.lies.clear();
    world.crash(victim);
    return { slot, record, prekeyId: toHex(prekeyIdOf(world.provider, said.prekey)) };
  };
  const sealedTo = (world: World, prekeyId: string, since: number) =>
    world.store.history.slice(since).filter(({ kind, bytes }) => kind !== 'member' && toHex(bytes).includes(prekeyId))
      .length;

  it('is sent no key of a later day by what the member was made to sign for that day', () => {
    const world = settled(3);
    const [, before, late] = world.nodes;
    world.crash(late);
    const { slot, record, prekeyId } = postDated(world);
    world.crash(before);
    world.advance(72 * HOUR - 2 * MINUTE);
    const since = world.store.history.length;
    world.store.put('member', slot, record, world.time + HOUR);
    world.start(late);
    toNextEpoch(world);
    assert.equal(world.sealing(late)?.fresh, true);
    assert.equal(sealedTo(world, prekeyId, since), 0);
  });

  it('is sent none by a member that is told, once, the day for which it was signed', () => {
    const world = settled(3);
    const { slot, record, prekeyId } = postDated(world);
    const [, fooled] = world.nodes;
    world.store.put('member', slot, record, world.time + HOUR);
    world.store.lies.set(fooled.member?.slot ?? '', 72 * HOUR);
    world.advance(2 * world.heartbeat);
    world.store.lies.clear();
    const since = world.store.history.length;
    world.advance(3 * HOUR);
    assert.equal(world.sealing(fooled)?.fresh, true);
    assert.equal(sealedTo(world, prekeyId, since), 0);
  });
});

describe('whoever has a member’s identity, and says that he is its very process', () => {
  for (const [what, ahead] of [
    ['with a number that it will not come to', 2 ** 40],
    ['with the number that it takes next', 1],
  ] as const) {
    it(`is noticed where both are seen: ${what}`, () => {
      const world = settled(3);
      const [victim, other] = world.nodes;
      const trust = trustOf(world);
      const own = openMemberRecord(trust, 'x25519', lastOf(world, victim));
      assert(typeof own === 'object');
      const prekey = world.provider.generateKeyShare('x25519').publicKey;
      const said = { ...own, prekey, sequence: own.sequence + ahead, announcedAt: world.time };
      const forged = sealMemberRecord(trust, victim.file.identity, said);
      world.store.put('member', ahead === 1 ? 'ff' : `${victim.member?.slot}`, forged, world.time + MINUTE, true);
      world.advance(MINUTE);
      assert.deepEqual(alarmsOf(world, ahead === 1 ? other : victim), ['identity_shared']);
    });
  }
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
