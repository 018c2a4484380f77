/** What a ring of so many members costs each of them and the store: real records, made and read with real cryptography. */

import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { KeyShare } from '../../src/crypto/provider.ts';
import type { RingKem } from '../../src/fleet/configuration.ts';
import { epochAt, epochTimes } from '../../src/fleet/epoch-rules.ts';
import { createEpochSecret, keyIdOf } from '../../src/fleet/epoch-secret.ts';
import { FIRST_GENERATION } from '../../src/fleet/generation.ts';
import { type MemberContext, memberContext } from '../../src/fleet/member-context.ts';
import { type Envelope, openEnvelope, openEpochRecord, sealEpochRecord } from '../../src/fleet/records/epoch.ts';
import { openMemberRecord, sealMemberRecord } from '../../src/fleet/records/member.ts';
import { kems } from '../../src/keys/hpke.ts';
import { membership } from './members.ts';

/** Bytes, and milliseconds of CPU time. */
export interface RingCost {
  readonly members: number;
  readonly kem: RingKem;
  readonly memberRecord: number;
  readonly epochRecord: number;
  /** All member records, this epoch's and the next one's. */
  readonly store: number;
  /** One member, once per epoch: encapsulations to all others, the record, its signature. */
  readonly makeEpoch: number;
  /** Each other member, once per epoch: the signature, all envelopes' bounds, its own envelope. */
  readonly readEpoch: number;
  /** With each heartbeat each member reads and checks the records of all. */
  readonly heartbeatBytes: number;
  readonly heartbeatMs: number;
  /** What the store sends per second, to all members together. */
  readonly storeRate: number;
}

export function measureCost(members: number, kem: RingKem): RingCost {
  const { configuration, identities } = membership(members, kem);
  const contexts = [0, 1].map((index) =>
    memberContext({ provider: nodeProvider, configuration, identity: identities[index], uses: [] }),
  );
  const [maker, reader] = contexts;
  const now = Date.now();
  const epoch = epochAt(configuration, now);
  const prekeys = identities.map(() => nodeProvider.generateKeyShare(kems[kem].group));
  const records = identities.map((identity, index) => memberRecordOf(maker, identity, prekeys[index], now, epoch));
  const instances = records.map((bytes) => readMember(maker, kem, bytes));

  const secret = createEpochSecret(nodeProvider, undefined);
  const times = epochTimes(configuration, epoch, now, false);
  const keyId = keyIdOf(nodeProvider, secret);
  const header = { generation: FIRST_GENERATION, epoch, rotation: 0, ...times, creator: maker.instanceId, keyId };
  const make = () =>
    sealEpochRecord({
      trust: maker.trust,
      kem,
      identity: maker.identity,
      header,
      secret,
      recipients: instances.slice(1),
    });
  const made = timed(make, members > 100 ? 2 : 5);
  const record = made.result;

  const read = timed(() => openEpochRecord(reader.trust, kem, record), 20);
  const opened = read.result;
  if (typeof opened === 'string') {
    throw new Error(`the epoch record is refused: ${opened}`);
  }
  // Each prekey opens one envelope.
  let next = 0;
  const open = timed(
    () => {
      const secretOfOne = openEnvelope(reader.trust, kem, opened, opened.envelopes[next] as Envelope, prekeys[++next]);
      if (secretOfOne === undefined) {
        throw new Error('the envelope does not open');
      }
      secretOfOne.erase();
    },
    Math.min(20, members - 1),
  );
  const heartbeat = timed(
    () => records.map((bytes) => openMemberRecord(reader.trust, kem, bytes)),
    members > 100 ? 3 : 20,
  );
  secret.erase();
  for (const prekey of prekeys) {
    prekey.erase();
  }
  const heartbeatBytes = records.reduce((sum, { length }) => sum + length, 0);
  return {
    members,
    kem,
    memberRecord: records[0].length,
    epochRecord: record.length,
    store: heartbeatBytes + 2 * record.length,
    makeEpoch: made.ms,
    readEpoch: read.ms + open.ms,
    heartbeatBytes,
    heartbeatMs: heartbeat.ms,
    storeRate: (members * heartbeatBytes * 1_000) / configuration.heartbeat + epochRate(members, record.length),
  };

  function epochRate(readers: number, length: number): number {
    return (readers * length * 1_000) / configuration.epochLength;
  }
}

function memberRecordOf(
  { trust, bootNonce }: MemberContext,
  identity: MemberContext['identity'],
  prekey: KeyShare,
  now: number,
  epoch: number,
): Uint8Array {
  const keyId = new Uint8Array(16);
  return sealMemberRecord(trust, identity, {
    bootNonce,
    sequence: 1,
    announcedAt: now,
    name: 'web123.example.net',
    prekey: prekey.publicKey,
    notAfter: now + 3_600_000,
    generation: 0,
    skew: 0,
    ratchetDepth: 0,
    processes: 1,
    held: [
      { epoch, keyId },
      { epoch: epoch + 1, keyId },
    ],
  });
}

function readMember({ trust }: MemberContext, kem: RingKem, bytes: Uint8Array) {
  const record = openMemberRecord(trust, kem, bytes);
  if (typeof record === 'string') {
    throw new Error(`a member record is refused: ${record}`);
  }
  return record;
}

/** The least of some runs, of CPU time: others may be at work on the machine. */
function timed<T>(run: () => T, times: number): { readonly result: T; readonly ms: number } {
  let ms = Number.POSITIVE_INFINITY;
  let result: T | undefined;
  for (let i = 0; i < times; i++) {
    const began = process.cpuUsage();
    result = run();
    const { user, system } = process.cpuUsage(began);
    ms = Math.min(ms, (user + system) / 1_000);
  }
  return { result: result as T, ms };
}
