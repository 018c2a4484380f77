/** How a ring stands, from what lies in its store: every record verified, no key opened. Times in milliseconds. */

import { toHex } from '../../bytes/bytes.ts';
import { epochAt } from '../../fleet/epoch-rules.ts';
import { isEvicted } from '../../fleet/generation.ts';
import { memberIdOf, shortName } from '../../fleet/identity.ts';
import { listId } from '../../fleet/member-list.ts';
import type { EpochRecord } from '../../fleet/records/epoch.ts';
import type { MemberRecord } from '../../fleet/records/member.ts';
import { MAX_INSTANCES } from '../../fleet/store.ts';
import { nodeProvider } from '../../node/fleet.ts';
import type { RingAccess, RingSight } from './access.ts';
import { skewWords } from './words.ts';

export interface MemberReport {
  /** As the identity file calls it. */
  readonly name: string;
  /** First 4 bytes, hex, as all ids here. */
  readonly member: string;
  readonly state: 'running' | 'silent' | 'absent' | 'evicted';
  readonly instance?: string;
  /** What the process calls itself. */
  readonly process?: string;
  readonly seenAgo?: number;
  readonly skew?: number;
  readonly generation?: number;
  readonly ratchetDepth?: number;
  /** False where its clock is so far behind that what others could seal a key to seems over. */
  readonly getsKeys?: boolean;
  readonly hasThisEpoch?: boolean;
  readonly hasNextEpoch?: boolean;
}

export interface EpochReport {
  readonly epoch: number;
  readonly rotation: number;
  readonly key: string;
  readonly state: 'seals' | 'waits' | 'opens';
  readonly age: number;
  readonly sealsIn: number;
  readonly sealsFor: number;
  readonly erasedIn: number;
  /** The name of who made it. */
  readonly madeBy: string;
  /** Running processes that say they have it. */
  readonly held: number;
}

export interface RingReport {
  readonly fleetName: string;
  readonly ringId: string;
  readonly store: string;
  /** The store's clock, milliseconds since the epoch. */
  readonly time: number;
  /** The clock here minus that of the store. */
  readonly skew: number;
  readonly epoch: number;
  readonly epochLength: number;
  /** Until the next epoch. */
  readonly epochLeft: number;
  readonly nextEpochPresent: boolean;
  readonly generation: number;
  readonly evicted: readonly string[];
  readonly members: readonly MemberReport[];
  /** Who runs here holds this very list: with another one it would be in another ring. */
  readonly list: { readonly id: string; readonly members: number; readonly running: number };
  readonly epochs: readonly EpochReport[];
  readonly ratchetDepth: number;
  readonly refusals: RingSight['refusals'];
  readonly alarms: readonly { readonly alarm: string; readonly text: string }[];
}

export function reportOf(access: RingAccess, sight: RingSight): RingReport {
  const { plan, where } = access;
  const { visit, generation } = sight;
  const { configuration, file, ringId } = plan;
  const { time } = visit;
  const epoch = epochAt(configuration, time);
  const names = new Map(
    file.members.map(({ name, publicKey }) => [toHex(memberIdOf(nodeProvider, publicKey)), name] as const),
  );
  const nameOf = (memberId: Uint8Array) => names.get(toHex(memberId)) ?? shortName(memberId);
  const isRunning = (record: MemberRecord) => record.announcedAt > time - 4 * configuration.heartbeat;
  const counted = visit.members.filter((record) => !isEvicted(generation, record.memberId));
  const running = counted.filter(isRunning);
  const has = (record: MemberRecord, wanted: number) => record.held.some((held) => held.epoch === wanted);
  const members = [...names].flatMap(([id, name]): MemberReport[] => {
    const member = id.slice(0, 8);
    if (generation.evicted.some((one) => toHex(one) === id)) {
      return [{ name, member, state: 'evicted' }];
    }
    const own = counted.filter((record) => toHex(record.memberId) === id);
    if (own.length === 0) {
      return [{ name, member, state: 'absent' }];
    }
    return own.map((record) => ({
      name,
      member,
      state: isRunning(record) ? 'running' : 'silent',
      instance: shortName(record.instanceId),
      process: record.name,
      seenAgo: Math.max(0, time - record.announcedAt),
      skew: record.skew,
      generation: record.generation,
      ratchetDepth: record.ratchetDepth,
      getsKeys: record.skew >= -configuration.maxSkew || record.notAfter >= time + configuration.heartbeat,
      hasThisEpoch: has(record, epoch),
      hasNextEpoch: has(record, epoch + 1),
    }));
  });
  const records = visit.epochs.filter(
    (record) => record.generation.number === generation.number && record.sealUntil > time,
  );
  const sealing = sealingOf(records, epoch, time);
  const epochs = [...records]
    .sort((a, b) => a.epoch - b.epoch || a.rotation - b.rotation || (toHex(a.keyId) < toHex(b.keyId) ? -1 : 1))
    .map(
      (record): EpochReport => ({
        epoch: record.epoch,
        rotation: record.rotation,
        key: shortName(record.keyId),
        state: record === sealing ? 'seals' : record.sealFrom > time ? 'waits' : 'opens',
        age: time - record.createdAt,
        sealsIn: Math.max(0, record.sealFrom - time),
        sealsFor: record.sealUntil - Math.max(time, record.sealFrom),
        erasedIn: record.destroyAt - time,
        madeBy: nameOf(record.memberId),
        held: running.filter(({ held }) => held.some(({ keyId }) => toHex(keyId) === toHex(record.keyId))).length,
      }),
    );
  const ratchetDepth = Math.max(0, ...running.map((record) => record.ratchetDepth));
  const base = {
    fleetName: configuration.fleetName,
    ringId: toHex(ringId),
    store: where,
    time,
    skew: visit.skew,
    epoch,
    epochLength: configuration.epochLength,
    epochLeft: (epoch + 1) * configuration.epochLength - time,
    nextEpochPresent: records.some((record) => record.epoch === epoch + 1),
    generation: generation.number,
    evicted: generation.evicted.map(nameOf),
    members,
    list: {
      id: listId(nodeProvider, file),
      members: names.size,
      running: new Set(running.map(({ memberId }) => toHex(memberId))).size,
    },
    epochs,
    ratchetDepth,
    refusals: sight.refusals,
  };
  return { ...base, alarms: alarmsOf(access, base, running) };
}

/** The key that members choose, as far as the records tell. */
function sealingOf(records: readonly EpochRecord[], epoch: number, time: number): EpochRecord | undefined {
  return records
    .filter((record) => record.epoch === epoch && record.sealFrom <= time)
    .sort((a, b) => b.rotation - a.rotation || (toHex(a.keyId) < toHex(b.keyId) ? -1 : 1))[0];
}

function alarmsOf(
  { plan }: RingAccess,
  report: Omit<RingReport, 'alarms'>,
  running: readonly MemberRecord[],
): RingReport['alarms'] {
  const { maxSkew, heartbeat, epochLength, settle } = plan.configuration;
  const alarms: { alarm: string; text: string }[] = [];
  const add = (alarm: string, text: string) => alarms.push({ alarm, text });
  if (running.length === 0) {
    add('no_members', 'nobody runs: are --rotate and --lifetime those of the servers? With others it is another ring');
    return alarms;
  }
  const away = report.members.filter(({ skew }) => skew !== undefined && Math.abs(skew) > maxSkew);
  if (away.length > 0) {
    const clocks = [...new Map(away.map(({ name, skew = 0 }) => [name, skew]))];
    const words = clocks.map(([name, skew]) => `${name} (${skewWords(skew)} the store’s)`).join(', ');
    add('clock_skew', `the clock is wrong at ${words}: such a member makes no keys`);
  }
  const left = report.members.filter(({ getsKeys }) => getsKeys === false);
  if (left.length > 0) {
    add('clock_behind', `${namesOf(left)} gets no keys until its clock agrees with the store’s`);
  }
  if (Math.abs(report.skew) > maxSkew) {
    add('clock_skew_here', `the clock of this machine is ${skewWords(report.skew)} the store’s`);
  }
  if (report.ratchetDepth > 0) {
    const behind = report.members.filter(({ ratchetDepth }) => (ratchetDepth ?? 0) > 0);
    add(
      'no_fresh_epoch',
      `${namesOf(behind)} seals under a ratcheted key: no fresh one came for up to ${report.ratchetDepth} epochs`,
    );
  }
  const age = report.epochs.find(({ state }) => state === 'seals')?.age ?? 0;
  if (age > 2 * epochLength || report.ratchetDepth > 1) {
    add('sealing_key_old', 'tickets are sealed under randomness that is older than two epochs');
  }
  const gone = epochLength - report.epochLeft;
  if (!report.epochs.some(({ epoch }) => epoch === report.epoch) && gone > 4 * settle) {
    add('no_epoch', 'the store has no key of this epoch: tickets are ratcheted, or there are none');
  }
  if (!report.nextEpochPresent && gone > 0.625 * epochLength + 3 * heartbeat) {
    add('next_epoch_late', 'the key of the next epoch should be there by now');
  }
  if (running.length > MAX_INSTANCES) {
    add(
      'ring_full',
      `${running.length} processes run, and a ring is made for ${MAX_INSTANCES}: some wait for each key`,
    );
  }
  const lagging = report.members.filter(({ generation }) => generation !== undefined && generation < report.generation);
  if (lagging.length > 0) {
    add('generation_behind', `${namesOf(lagging)} has not heard of the last flush or eviction yet`);
  }
  const shared = sharedIdentities(running);
  if (shared > 0) {
    add('identity_shared', 'more processes run with one identity than are meant to: a copied file, or a thief');
  }
  return alarms;
}

function sharedIdentities(running: readonly MemberRecord[]): number {
  const groups = new Map<string, { count: number; allowed: number }>();
  for (const { memberId, processes } of running) {
    const id = toHex(memberId);
    const { count, allowed } = groups.get(id) ?? { count: 0, allowed: processes };
    groups.set(id, { count: count + 1, allowed: Math.min(allowed, processes) });
  }
  return [...groups.values()].filter(({ count, allowed }) => count > allowed).length;
}

function namesOf(members: readonly MemberReport[]): string {
  return [...new Set(members.map(({ name }) => name))].join(', ');
}
