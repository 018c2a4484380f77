/** What a member tells operators about its ring: never a key's bytes. Times are milliseconds since the epoch, ring time. */

import { toHex } from '../bytes/bytes.ts';
import type { Moment } from '../session/clock.ts';
import type { RingAlarm } from './actions.ts';
import { epochAt } from './epoch-rules.ts';
import type { Generation } from './generation.ts';
import type { HeldKey, HeldKeyState } from './held-key.ts';
import type { HeldKeys } from './held-keys.ts';
import { shortName } from './identity.ts';
import type { MemberContext } from './member-context.ts';
import type { MemberRecord } from './records/member.ts';
import type { RecordRefusal } from './records/refusal.ts';
import { elapsed, ringTime } from './ring-time.ts';
import type { Visit } from './visit.ts';

export interface RingStatus {
  /** Hex. */
  readonly ringId: string;
  readonly fleetName: string;
  /** The first 4 bytes, hex. */
  readonly member: string;
  readonly generation: number;
  /** Member ids, the first 4 bytes, hex. */
  readonly evicted: readonly string[];
  /** Of the last visit; absent before the first one. */
  readonly lastVisit: { readonly ago: number; readonly time: number; readonly skew: number } | undefined;
  readonly failedVisits: number;
  /** How often a process came while as many of its identity ran as are meant to, if only for a moment. */
  readonly secondProcesses: number;
  readonly sealingKey: string | undefined;
  /** Milliseconds since the sealing key was made; a fresh one is younger than 2 epochs. */
  readonly sealingKeyAge: number | undefined;
  readonly ratchetDepth: number;
  /** Whether a fresh key for the epoch after this one is at hand. */
  readonly nextEpochPresent: boolean;
  readonly members: readonly MemberStatus[];
  readonly keys: readonly KeyStatus[];
  readonly refusals: Readonly<Partial<Record<RecordRefusal, number>>>;
  readonly alarms: readonly RingAlarm[];
}

export interface MemberStatus {
  readonly member: string;
  readonly instance: string;
  readonly name: string;
  readonly announcedAt: number;
  readonly skew: number;
  readonly generation: number;
  readonly ratchetDepth: number;
  /** First 4 bytes of the ids of the keys it could hand on, hex. */
  readonly held: readonly string[];
}

export interface KeyStatus {
  /** First 4 bytes of the key id, hex. */
  readonly key: string;
  readonly epoch: number;
  readonly state: HeldKeyState;
  readonly ratchetDepth: number;
  readonly createdAt: number;
  readonly sealFrom: number;
  readonly sealUntil: number;
  readonly destroyAt: number;
  /** Milliseconds. */
  readonly age: number;
  readonly ticketsSealed: number;
  readonly ticketsOpened: number;
}

/** What a status is made of. */
export interface StatusSource {
  readonly context: MemberContext;
  readonly now: Moment;
  readonly generation: Generation;
  readonly lastVisit: Visit | undefined;
  readonly failedVisits: number;
  readonly secondProcesses: number;
  readonly sealing: HeldKey | undefined;
  readonly keys: HeldKeys;
  readonly peers: readonly MemberRecord[];
  readonly refusals: RingStatus['refusals'];
  readonly alarms: readonly RingAlarm[];
}

export function ringStatus(source: StatusSource): RingStatus {
  const { context, now, generation, lastVisit, sealing, keys } = source;
  const { configuration, trust, identity } = context;
  const epoch = lastVisit && epochAt(configuration, ringTime(lastVisit.anchor, now));
  return {
    ringId: toHex(trust.ringId),
    fleetName: configuration.fleetName,
    member: shortName(identity.memberId),
    generation: generation.number,
    evicted: generation.evicted.map(shortName),
    lastVisit: lastVisit && { ago: elapsed(lastVisit.now, now), time: lastVisit.time, skew: lastVisit.skew },
    failedVisits: source.failedVisits,
    secondProcesses: source.secondProcesses,
    sealingKey: sealing && shortName(sealing.keyId),
    sealingKeyAge: sealing?.age(now),
    ratchetDepth: sealing?.depth ?? 0,
    nextEpochPresent: epoch !== undefined && keys.has(epoch + 1, now),
    members: source.peers.map(memberStatus),
    keys: [...keys.all].filter((key) => key.state(now) !== 'ended').map((key) => keyStatus(key, now)),
    refusals: source.refusals,
    alarms: source.alarms,
  };
}

function memberStatus(peer: MemberRecord): MemberStatus {
  const { name, announcedAt, skew, generation, ratchetDepth } = peer;
  return {
    member: shortName(peer.memberId),
    instance: shortName(peer.instanceId),
    name,
    announcedAt,
    skew,
    generation,
    ratchetDepth,
    held: peer.held.map(({ keyId }) => shortName(keyId)),
  };
}

function keyStatus(key: HeldKey, now: Moment): KeyStatus {
  return {
    key: shortName(key.keyId),
    epoch: key.epoch,
    state: key.state(now),
    ratchetDepth: key.depth,
    ...key.times,
    age: key.age(now),
    ticketsSealed: key.uses.sealed,
    ticketsOpened: key.uses.opened,
  };
}
