/** The records of the ring: what was written is read, and nothing else is. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fromHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { ringConfiguration, ringId } from '../../src/fleet/configuration.ts';
import { keyIdOf } from '../../src/fleet/epoch-secret.ts';
import { createIdentityFiles, readIdentityFile } from '../../src/fleet/identity.ts';
import {
  type EpochHeader,
  epochSlot,
  openEnvelope,
  openEpochRecord,
  sealEpochRecord,
} from '../../src/fleet/records/epoch.ts';
import { instanceIdOf, openMemberRecord, prekeyIdOf, sealMemberRecord } from '../../src/fleet/records/member.ts';
import { openOrderRecord, sealOrderRecord } from '../../src/fleet/records/order.ts';
import { type RecordKind, RingTrust } from '../../src/fleet/records/signed.ts';
import { openWelcome, openWelcomeRecord, sealWelcomeRecord } from '../../src/fleet/records/welcome.ts';
import { MAX_MEMBER_RECORD_LENGTH } from '../../src/fleet/store.ts';
import { generateKeyPair } from '../../src/keys/hpke.ts';

const files = createIdentityFiles(provider, 'fleet', ['a', 'b', 'c']).map((text) => readIdentityFile(provider, text));
const [a, b, stranger] = files.map(({ identity }) => identity);
const configuration = ringConfiguration({ fleetName: 'fleet', allowList: [a.publicKey, b.publicKey] });
const trust = new RingTrust(provider, ringId(provider, configuration), configuration.allowList);
const otherConfiguration = ringConfiguration({ fleetName: 'other', allowList: [a.publicKey, b.publicKey] });
const otherTrust = new RingTrust(provider, ringId(provider, otherConfiguration), otherConfiguration.allowList);
const generation = { number: 3, evicted: [b.memberId] };
const secret = Secret.copy('epochSecret', new Uint8Array(32).fill(7));
const keyId = keyIdOf(provider, secret);
const instance = (fill: number) => new Uint8Array(16).fill(fill);

const header: EpochHeader = {
  generation,
  epoch: 500_000,
  rotation: 2,
  createdAt: 1_800_000_000_000,
  sealFrom: 1_800_000_020_000,
  sealUntil: 1_800_003_600_000,
  destroyAt: 1_800_010_800_000,
  creator: instance(1),
  keyId,
};
const { creator: _creator, generation: _generation, ...described } = header;

const member = {
  bootNonce: instance(9),
  sequence: 12,
  announcedAt: 1_800_000_000_123,
  name: 'host ä',
  prekey: new Uint8Array(1216).fill(3),
  notAfter: 1_800_003_600_000,
  generation: 3,
  skew: -1500,
  ratchetDepth: 4,
  processes: 2,
  held: [{ epoch: 500_000, keyId }],
};

function epochRecord(kem: 'x25519' | 'x-wing', recipients: number) {
  const keyPairs = Array.from({ length: recipients }, () => generateKeyPair(provider, kem));
  const record = sealEpochRecord({
    trust,
    kem,
    identity: a,
    header,
    secret,
    recipients: keyPairs.map(({ publicKey }, index) => ({ instanceId: instance(index), prekey: publicKey })),
  });
  return { keyPairs, record };
}

function welcomeRecord(kem: 'x25519' | 'x-wing') {
  const keyPair = generateKeyPair(provider, kem);
  const record = sealWelcomeRecord({
    trust,
    kem,
    identity: a,
    recipient: { instanceId: instance(5), prekey: keyPair.publicKey },
    sentAt: header.createdAt,
    generation,
    keys: [
      { key: { ...described, age: 77 }, secret },
      { key: { ...described, epoch: 500_001, age: 78 }, secret },
    ],
  });
  return { keyPair, record };
}

/** One record of each kind, and how it is read. */
const records: Record<RecordKind, { bytes: Uint8Array; open: (bytes: Uint8Array, by?: RingTrust) => unknown }> = {
  member: {
    bytes: sealMemberRecord(trust, a, member),
    open: (bytes, by = trust) => openMemberRecord(by, 'x-wing', bytes),
  },
  epoch: { bytes: epochRecord('x25519', 2).record, open: (bytes, by = trust) => openEpochRecord(by, 'x25519', bytes) },
  welcome: {
    bytes: welcomeRecord('x25519').record,
    open: (bytes, by = trust) => openWelcomeRecord(by, 'x25519', bytes),
  },
  order: {
    bytes: sealOrderRecord(trust, a, { generation, issuedAt: 1 }),
    open: (bytes, by = trust) => openOrderRecord(by, bytes),
  },
};

describe('records of the ring', () => {
  it('a member record gives back what was written', () => {
    const read = openMemberRecord(trust, 'x-wing', records.member.bytes);
    assert(typeof read !== 'string');
    const instanceId = instanceIdOf(provider, a.memberId, member.bootNonce);
    assert.deepEqual(read, { ...member, memberId: a.memberId, instanceId });
  });

  it('an order gives back what was written', () => {
    const read = openOrderRecord(trust, records.order.bytes);
    assert.deepEqual(read, { memberId: a.memberId, generation, issuedAt: 1 });
  });

  for (const kem of ['x25519', 'x-wing'] as const) {
    it(`${kem}: each envelope of an epoch record opens to the secret, with its own prekey only`, () => {
      const { keyPairs, record } = epochRecord(kem, 3);
      const read = openEpochRecord(trust, kem, record);
      assert(typeof read !== 'string');
      const { envelopes, boundTo: _boundTo, memberId, ...rest } = read;
      assert.deepEqual(rest, header);
      assert.deepEqual(memberId, a.memberId);
      for (const [index, keyPair] of keyPairs.entries()) {
        assert.deepEqual(envelopes[index].prekeyId, prekeyIdOf(provider, keyPair.publicKey));
        const opened = openEnvelope(trust, kem, read, envelopes[index], keyPair);
        assert.deepEqual(opened?.expose(), secret.expose());
      }
      const another = generateKeyPair(provider, kem);
      assert.equal(openEnvelope(trust, kem, read, envelopes[0], another), undefined);
    });

    it(`${kem}: an envelope does not open under another header, or as another creator's`, () => {
      for (const change of [{ boundTo: new Uint8Array(32) }, { memberId: b.memberId }]) {
        const { keyPairs, record } = epochRecord(kem, 1);
        const read = openEpochRecord(trust, kem, record);
        assert(typeof read !== 'string');
        assert.equal(openEnvelope(trust, kem, { ...read, ...change }, read.envelopes[0], keyPairs[0]), undefined);
      }
    });

    it(`${kem}: a welcome gives its keys to its recipient`, () => {
      const { keyPair, record } = welcomeRecord(kem);
      const read = openWelcomeRecord(trust, kem, record);
      assert(typeof read !== 'string');
      assert.deepEqual(
        read.keys.map(({ epoch, age }) => [epoch, age]),
        [
          [500_000, 77],
          [500_001, 78],
        ],
      );
      const opened = openWelcome(trust, kem, read, keyPair);
      assert.deepEqual(
        opened?.map((one) => one.expose()),
        [secret.expose(), secret.expose()],
      );
    });
  }

  it('one recipient with a prekey that is no key keeps nobody from theirs', () => {
    const good = generateKeyPair(provider, 'x25519');
    const record = sealEpochRecord({
      trust,
      kem: 'x25519',
      identity: a,
      header,
      secret,
      recipients: [
        { instanceId: instance(1), prekey: new Uint8Array(32) },
        { instanceId: instance(2), prekey: new Uint8Array(31) },
        { instanceId: instance(3), prekey: good.publicKey },
      ],
    });
    const read = openEpochRecord(trust, 'x25519', record);
    assert(typeof read !== 'string');
    assert.equal(read.envelopes.length, 2);
    assert.deepEqual(openEnvelope(trust, 'x25519', read, read.envelopes[1], good)?.expose(), secret.expose());
  });

  for (const [kind, { bytes, open }] of Object.entries(records)) {
    it(`a ${kind} record is refused when any byte of it differs`, () => {
      fc.assert(
        fc.property(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
          const other = Uint8Array.from(bytes);
          other[at] ^= change;
          assert.equal(typeof open(other), 'string');
        }),
        { numRuns: 60 },
      );
    });

    it(`a ${kind} record is refused when it is cut or followed by something`, () => {
      for (const length of [0, 1, 65, 66, 130, bytes.length - 64, bytes.length - 1]) {
        assert.equal(typeof open(bytes.subarray(0, length)), 'string');
      }
      assert.equal(typeof open(Uint8Array.of(...bytes, 0)), 'string');
    });

    it(`a ${kind} record of another ring is refused as such`, () => {
      assert.equal(open(bytes, otherTrust), 'foreign_ring');
    });

    it(`a ${kind} record passes for no other kind`, () => {
      for (const [other, reader] of Object.entries(records)) {
        if (other !== kind) {
          const disguised = Uint8Array.from(bytes);
          disguised[1] = reader.bytes[1];
          assert.equal(reader.open(disguised), bytes.length > MAX_MEMBER_RECORD_LENGTH ? 'oversized' : 'bad_signature');
        }
      }
    });
  }

  it('who is not on the allow-list signs in vain, also under a name that is on it', () => {
    const strangers = sealOrderRecord(trust, stranger, { generation, issuedAt: 1 });
    assert.equal(openOrderRecord(trust, strangers), 'unknown_signer');
    strangers.set(a.memberId, 34);
    assert.equal(openOrderRecord(trust, strangers), 'bad_signature');
  });

  it('records longer than their kind may be are not looked at', () => {
    assert.equal(openMemberRecord(trust, 'x-wing', new Uint8Array(MAX_MEMBER_RECORD_LENGTH + 1)), 'oversized');
  });

  it('an order to evict whom the allow-list does not name is malformed', () => {
    const order = { generation: { number: 1, evicted: [stranger.memberId] }, issuedAt: 1 };
    assert.equal(openOrderRecord(trust, sealOrderRecord(trust, a, order)), 'malformed');
  });

  it('a name that would steer a terminal is made harmless', () => {
    const read = openMemberRecord(trust, 'x-wing', sealMemberRecord(trust, a, { ...member, name: 'a\u001b[2Jb' }));
    assert(typeof read !== 'string');
    assert.equal(read.name, 'a [2Jb');
  });

  it('epoch slots tell generations, epochs and rotations apart', () => {
    assert.equal(epochSlot(header), '3.7a120.2');
  });

  it('the bytes of a signed record have the layout of its description', () => {
    const { bytes } = records.order;
    assert.deepEqual(bytes.subarray(0, 2), fromHex('0104'));
    assert.deepEqual(bytes.subarray(2, 34), trust.ringId);
    assert.deepEqual(bytes.subarray(34, 66), a.memberId);
    assert.equal(bytes.length, 66 + 8 + 2 + 32 + 8 + 64);
  });
});
