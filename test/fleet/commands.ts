/** What can happen to a simulated fleet, as commands of a model-based test. */

import fc from 'fast-check';
import { sameBytes, toHex } from '../../src/bytes/bytes.ts';
import type { Secret } from '../../src/bytes/secret.ts';
import { ringId } from '../../src/fleet/configuration.ts';
import { epochAt, epochTimes } from '../../src/fleet/epoch-rules.ts';
import { createEpochSecret, keyIdOf } from '../../src/fleet/epoch-secret.ts';
import { FIRST_GENERATION, isEvicted } from '../../src/fleet/generation.ts';
import type { Identity } from '../../src/fleet/identity.ts';
import { type EpochHeader, epochSlot, sealEpochRecord } from '../../src/fleet/records/epoch.ts';
import { openMemberRecord } from '../../src/fleet/records/member.ts';
import { openOrderRecord, sealOrderRecord } from '../../src/fleet/records/order.ts';
import { RingTrust } from '../../src/fleet/records/signed.ts';
import type { RecordKind } from './faulty-store.ts';
import type { Invariants } from './invariants.ts';
import { HOUR, MINUTE, type Node, type World } from './world.ts';

export interface Fleet {
  readonly world: World;
  readonly invariants: Invariants;
}

/** All state is in the fleet itself: the model adds nothing but the rules. */
type Nothing = Record<string, never>;

class Happening implements fc.Command<Nothing, Fleet> {
  readonly #name: string;
  readonly #run: (fleet: Fleet) => void;

  constructor(name: string, run: (fleet: Fleet) => void) {
    this.#name = name;
    this.#run = run;
  }

  check(): boolean {
    return true;
  }

  run(_model: Nothing, fleet: Fleet): void {
    this.#run(fleet);
    fleet.invariants.check();
  }

  toString(): string {
    return this.#name;
  }
}

export function pass({ world, invariants }: Fleet, ms: number): void {
  const step = Math.max(world.heartbeat, Math.ceil(ms / 40));
  for (let left = ms; left > 0; left -= step) {
    world.advance(Math.min(step, left));
    invariants.check();
  }
}

/** Ends all faults, waits, and looks whether everybody agrees. */
export function heal(fleet: Fleet): void {
  const { world, invariants } = fleet;
  calm(world);
  for (const node of world.nodes) {
    world.connect(node, true);
    if (node.wallOffset !== 0) {
      world.jump(node, -node.wallOffset);
    }
    if (node.member === undefined) {
      world.start(node);
    }
  }
  const asleep = Math.max(0, ...world.nodes.map(({ asleepUntil }) => asleepUntil - world.time));
  pass(fleet, asleep + 2.2 * world.epochLength);
  // Around a boundary members change keys one after the other, by milliseconds.
  const intoEpoch = world.time % world.epochLength;
  if (Math.min(intoEpoch, world.epochLength - intoEpoch) < MINUTE) {
    pass(fleet, 3 * MINUTE);
  }
  invariants.checkConverged();
}

function calm(world: World): void {
  const { store } = world;
  if (store.time(world.time) !== world.time || store.lies.size > 0) {
    world.storeClockFaultAt = world.time;
  }
  world.loss = 0;
  world.duplication = 0;
  store.brokenNx = false;
  store.clockOffset = 0;
  store.frozenAt = undefined;
  store.lies.clear();
  world.honestSince = world.time;
}

const index = fc.nat({ max: 7 });
const pick = (world: World, at: number): Node => world.nodes[at % world.nodes.length];

function happening<T extends unknown[]>(
  name: string,
  arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> },
  run: (fleet: Fleet, ...values: T) => void,
): fc.Arbitrary<Happening> {
  return fc
    .tuple<T>(...arbitraries)
    .map((values) => new Happening(`${name}(${values.join(', ')})`, (fleet) => run(fleet, ...values)));
}

/** Something in the store has changed that no member did. */
function disturb(world: World): void {
  world.honestSince = Math.max(world.honestSince, world.time);
}

const forgeries = ['bit', 'replay', 'kind', 'cut', 'junk', 'signer'] as const;

/** Puts into the store what no member would have. */
function forge({ world }: Fleet, how: (typeof forgeries)[number], from: number, at: number): void {
  const { store, time } = world;
  const victim = store.history[from % Math.max(1, store.history.length)];
  // One that was cut before may have no place for what is changed here.
  if (victim === undefined || victim.bytes.length < 2 + 32 + 32) {
    return;
  }
  const kinds: readonly RecordKind[] = ['member', 'epoch', 'welcome', 'order'];
  const bytes = Uint8Array.from(victim.bytes);
  const until = time + HOUR;
  disturb(world);
  switch (how) {
    case 'bit':
      bytes[at % bytes.length] ^= 1 << (at % 8);
      store.put(victim.kind, victim.slot, bytes, until, true);
      break;
    case 'replay':
      store.put(victim.kind, victim.slot, bytes, until, at % 2 === 0);
      break;
    case 'kind':
      store.put(kinds[at % kinds.length], victim.slot, bytes, until, true);
      break;
    case 'cut':
      store.put(victim.kind, victim.slot, bytes.subarray(0, at % bytes.length), until, true);
      break;
    case 'junk':
      store.put(victim.kind, victim.slot, bytes.fill(at & 0xff), until);
      break;
    case 'signer':
      // Another member's name on what somebody else signed.
      bytes.set(pick(world, at).file.identity.memberId, 34);
      store.put(victim.kind, victim.slot, bytes, until, true);
      break;
  }
}

/** An order that is right but for the signature, or for the ring that it was signed for. */
function forgeOrder({ world }: Fleet, how: 'unsigned' | 'foreign', at: number): void {
  const { provider, configuration, store, time } = world;
  const { identity } = pick(world, at).file;
  const own = ringId(provider, configuration);
  const trust = new RingTrust(provider, how === 'foreign' ? own.map((byte) => byte ^ 1) : own, configuration.allowList);
  const generation = { number: 40 + at, evicted: [] };
  const unsigned = { memberId: identity.memberId, sign: () => new Uint8Array(64).fill(at) } as unknown as Identity;
  const order = sealOrderRecord(trust, how === 'foreign' ? identity : unsigned, { generation, issuedAt: time });
  store.put('order', toHex(identity.memberId), order, time + HOUR, true);
  disturb(world);
}

/** Who was evicted, but kept its identity, makes a key that it knows, for all whose prekeys it can see. */
export function forgeAsEvicted(world: World): void {
  const judge = world.nodes.find((node) => node.running && (node.member?.generation ?? 0) > 0);
  const order = world.store.history.findLast(({ kind }) => kind === 'order');
  if (judge?.member === undefined || order === undefined) {
    return;
  }
  const { provider, configuration } = world;
  const trust = new RingTrust(provider, judge.member.ringId, configuration.allowList);
  const opened = openOrderRecord(trust, order.bytes);
  const out = world.nodes.find(
    ({ file }) => typeof opened !== 'string' && isEvicted(opened.generation, file.identity.memberId),
  );
  if (typeof opened === 'string' || out === undefined) {
    return;
  }
  const secret = createEpochSecret(provider, undefined);
  putEpoch(world, out.file.identity, { secret, generation: opened.generation, rotation: 9 });
  secret.erase();
}

/** An epoch record by whoever has the identity, for all whose prekeys the store shows. */
export function putEpoch(
  world: World,
  identity: Identity,
  { secret, ...changes }: Partial<EpochHeader> & { readonly secret: Secret },
): void {
  const { provider, configuration, time, store } = world;
  const trust = new RingTrust(provider, ringId(provider, configuration), configuration.allowList);
  const { kem } = configuration;
  const recipients = store.view(time, '').members.flatMap(({ bytes }) => {
    const record = openMemberRecord(trust, kem, bytes);
    return typeof record === 'string' ? [] : [record];
  });
  const own = recipients.find(({ memberId }) => sameBytes(memberId, identity.memberId));
  const epoch = changes.epoch ?? epochAt(configuration, time);
  const header: EpochHeader = {
    generation: FIRST_GENERATION,
    epoch,
    rotation: 0,
    ...epochTimes(configuration, epoch, time, false),
    creator: own?.instanceId ?? new Uint8Array(16),
    keyId: keyIdOf(provider, secret),
    ...changes,
  };
  const record = sealEpochRecord({ trust, kem, identity, header, secret, recipients });
  store.put('epoch', epochSlot(header), record, time + HOUR, true);
}

/** @param days whether whole days may pass: costly */
export function happenings(days: boolean): fc.Arbitrary<Happening>[] {
  const spans = [
    5_000,
    MINUTE,
    5 * MINUTE,
    20 * MINUTE,
    35 * MINUTE,
    HOUR,
    3 * HOUR,
    ...(days ? [9 * HOUR, 25 * HOUR] : []),
  ];
  const time = happening<[number]>('pass', [fc.constantFrom(...spans)], pass);
  return [
    time,
    time,
    time,
    time,
    happening<[number]>('cut off', [index], ({ world }, at) => world.connect(pick(world, at), false)),
    happening<[number]>('connect', [index], ({ world }, at) => world.connect(pick(world, at), true)),
    happening<[]>('split', [], ({ world }) => {
      for (const [at, node] of world.nodes.entries()) {
        world.connect(node, at % 2 === 0);
      }
    }),
    happening<[]>('connect all', [], ({ world }) => {
      for (const node of world.nodes) {
        world.connect(node, true);
      }
    }),
    happening<[number, number]>(
      'lossy',
      [fc.constantFrom(0, 0.1, 0.5), fc.constantFrom(0, 0.3)],
      ({ world }, loss, duplication) => {
        world.loss = loss;
        world.duplication = duplication;
        // Only while nothing is lost can one rely on anything.
        world.honestSince = loss + duplication > 0 ? Number.POSITIVE_INFINITY : Math.max(world.honestSince, world.time);
      },
    ),
    happening<[]>('calm', [], ({ world }) => calm(world)),
    happening<[]>('snapshot', [], ({ world }) => world.store.snapshot()),
    happening<[number]>('roll back', [fc.nat({ max: 3 })], ({ world }, steps) => {
      world.store.rollBack(steps, world.time);
      disturb(world);
    }),
    happening<[]>('wipe', [], ({ world }) => {
      world.store.wipe();
      disturb(world);
    }),
    happening<[]>('broken NX', [], ({ world }) => {
      world.store.brokenNx = true;
    }),
    happening<[(typeof forgeries)[number], number, number]>(
      'forge',
      [fc.constantFrom(...forgeries), fc.nat({ max: 5_000 }), fc.nat({ max: 2_000 })],
      forge,
    ),
    happening<['unsigned' | 'foreign', number]>(
      'forge order',
      [fc.constantFrom('unsigned', 'foreign'), index],
      forgeOrder,
    ),
    happening<[]>('forge as evicted', [], ({ world }) => forgeAsEvicted(world)),
    happening<[number]>(
      'store clock',
      [fc.constantFrom(-3 * HOUR, -5 * MINUTE, 5 * MINUTE, 3 * HOUR)],
      ({ world }, ms) => {
        world.store.clockOffset = ms;
        world.storeClockFaultAt = Number.POSITIVE_INFINITY;
        world.honestSince = Number.POSITIVE_INFINITY;
      },
    ),
    happening<[number, number]>(
      'lie to one',
      [index, fc.constantFrom(-3 * HOUR, 50_000, 3 * HOUR, 30 * HOUR)],
      ({ world }, at, ms) => {
        world.store.lies.set(pick(world, at).member?.slot ?? '', ms);
        world.storeClockFaultAt = Number.POSITIVE_INFINITY;
        world.honestSince = Number.POSITIVE_INFINITY;
      },
    ),
    happening<[]>('freeze store clock', [], ({ world }) => {
      world.store.frozenAt = world.store.time(world.time);
      world.storeClockFaultAt = Number.POSITIVE_INFINITY;
      world.honestSince = Number.POSITIVE_INFINITY;
    }),
    happening<[number, number]>(
      'jump',
      [index, fc.constantFrom(-5 * HOUR, -40 * MINUTE, -30_000, 30_000, 40 * MINUTE, 5 * HOUR)],
      ({ world }, at, ms) => world.jump(pick(world, at), ms),
    ),
    happening<[number, number]>(
      'sleep',
      [index, fc.constantFrom(2 * MINUTE, 50 * MINUTE, 5 * HOUR)],
      ({ world }, at, ms) => world.sleep(pick(world, at), ms),
    ),
    happening<[number]>('crash', [index], ({ world }, at) => world.crash(pick(world, at))),
    happening<[number]>('start', [index], ({ world }, at) => {
      const node = pick(world, at);
      if (node.member === undefined) {
        world.start(node);
      }
    }),
    happening<[number]>('rotate', [index], ({ world }, at) => {
      const node = pick(world, at);
      if (node.running) {
        world.call(node, (member, now) => member.rotate(now));
      }
    }),
    happening<[number]>('flush', [index], ({ world, invariants }, at) => {
      const node = pick(world, at);
      if (node.running) {
        invariants.orders++;
        world.call(node, (member, now) => member.flush(now));
      }
    }),
    happening<[number, number]>('evict', [index, index], ({ world, invariants }, at, whom) => {
      const [node, target] = [pick(world, at), pick(world, whom)];
      // Two are left: without anybody there is nothing to agree on.
      if (node.running && node !== target && invariants.evictions.size < world.nodes.length - 2) {
        invariants.orders++;
        invariants.evictions.add(toHex(target.file.identity.memberId));
        world.call(node, (member, now) => member.evict(now, target.file.identity.memberId));
        disturb(world);
      }
    }),
    happening<[]>('heal', [], heal),
  ];
}
