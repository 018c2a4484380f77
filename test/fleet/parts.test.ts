/** The small parts of the ring: configuration, identities, generations, epoch secrets, times. */

import assert from 'node:assert/strict';
import { hkdfSync } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { sameBytes, toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { createNodeProvider, nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { type RingOptions, ringConfiguration, ringId } from '../../src/fleet/configuration.ts';
import { creationTime, epochTimes, refuseTimes, turnOf } from '../../src/fleet/epoch-rules.ts';
import { createEpochSecret, keyIdOf, ratchet, workingKey } from '../../src/fleet/epoch-secret.ts';
import {
  FIRST_GENERATION,
  type Generation,
  isEvicted,
  mergeGenerations,
  nextGeneration,
  sameGeneration,
} from '../../src/fleet/generation.ts';
import { createIdentityFiles, readIdentityFile, verifyingKey } from '../../src/fleet/identity.ts';
import { elapsed } from '../../src/fleet/ring-time.ts';

const HOUR = 3_600_000;
const key = (fill: number) => new Uint8Array(32).fill(fill);
const options: RingOptions = { fleetName: 'fleet', allowList: [key(1), key(2)] };
const configuration = ringConfiguration(options);

describe('the configuration of a ring', () => {
  it('has an id that any difference changes, and the order of lists does not', () => {
    const id = (changes: Partial<RingOptions>) =>
      toHex(ringId(provider, ringConfiguration({ ...options, ...changes })));
    const same = id({});
    assert.equal(id({ allowList: [key(2), key(1)] }), same);
    assert.equal(id({ policies: ['a', 'b'] }), id({ policies: ['b', 'a'] }));
    const different: Partial<RingOptions>[] = [
      { fleetName: 'other' },
      { allowList: [key(1), key(3)] },
      { allowList: [key(1)] },
      { policies: ['default', 'other'] },
      { epochLength: 2 * HOUR },
      { ticketLifetime: HOUR },
      { ticketLifetime12: HOUR / 2 },
      { heartbeat: 5_000 },
      { dangerouslyClassicalKem: true },
    ];
    assert.equal(new Set([same, ...different.map(id)]).size, different.length + 1);
  });

  it('refuses what would let a key live for more than a day, and what makes no sense', () => {
    const wrong: Partial<RingOptions>[] = [
      { ticketLifetime: 22 * HOUR + 1 },
      { epochLength: 6 * HOUR, ticketLifetime: 12 * HOUR + 1 },
      { epochLength: 6 * HOUR + 1 },
      { epochLength: 5_999 },
      { epochLength: 60_000, ticketLifetime: 23 * HOUR },
      { heartbeat: HOUR / 12 + 1 },
      { heartbeat: Number.NaN },
      { ticketLifetime12: 3 * HOUR },
      { fleetName: '' },
      { fleetName: 'x'.repeat(65) },
      { policies: [] },
      { policies: ['a', 'a'] },
      { allowList: [] },
      { allowList: [key(1), key(1)] },
      { allowList: [new Uint8Array(31)] },
    ];
    for (const changes of wrong) {
      assert.throws(
        () => ringConfiguration({ ...options, ...changes }),
        { code: 'TLS_ERR_CONFIG' },
        JSON.stringify(changes),
      );
    }
  });
});

describe('identities', () => {
  const texts = createIdentityFiles(provider, 'fleet', ['a', 'b']);

  it('files of one fleet carry one seed each and everyone’s public keys', () => {
    const files = texts.map((text) => readIdentityFile(provider, text));
    assert.deepEqual(files[0].members, files[1].members);
    assert.deepEqual(
      files.map(({ identity }) => toHex(identity.publicKey)),
      files[0].members.map(({ publicKey }) => toHex(publicKey)),
    );
    const seeds = texts.map((text) => JSON.parse(text).seed as string);
    assert.equal(texts[0].includes(seeds[1]), false);
  });

  it('what one signs, its public key verifies', () => {
    const { identity } = readIdentityFile(provider, texts[0]);
    const data = key(9);
    const signature = identity.sign(data);
    assert(provider.verify('ed25519', verifyingKey(provider, identity.publicKey), data, signature));
    data[0] ^= 1;
    assert.equal(provider.verify('ed25519', verifyingKey(provider, identity.publicKey), data, signature), false);
  });

  it('a file that is none is refused, without a word of what it holds', () => {
    const content = JSON.parse(texts[0]);
    const broken = [
      '',
      '[]',
      'null',
      texts[0].slice(0, -5),
      JSON.stringify({ ...content, mayflyIdentity: 2 }),
      JSON.stringify({ ...content, seed: content.seed.slice(1) }),
      JSON.stringify({ ...content, seed: `${content.seed.slice(0, -1)}!` }),
      JSON.stringify({ ...content, members: content.members.slice(1) }),
      JSON.stringify({ ...content, members: [{ name: 1 }] }),
      JSON.stringify({ ...content, members: {} }),
    ];
    for (const text of broken) {
      assert.throws(
        () => readIdentityFile(provider, text),
        (error: Error & { code?: string }) =>
          error.code === 'TLS_ERR_CONFIG' &&
          !error.message.includes(content.seed.slice(0, 8)) &&
          error.cause === undefined,
      );
    }
    assert.throws(() => createIdentityFiles(provider, 'fleet', ['a', 'a']), { code: 'TLS_ERR_CONFIG' });
  });
});

describe('generations', () => {
  const ids = Array.from({ length: 4 }, (_, index) => key(index));
  const arbitrary = fc
    .tuple(fc.nat({ max: 5 }), fc.subarray(ids))
    .map(([number, evicted]): Generation => ({ number, evicted }));

  it('merge to the same, whichever comes first, and merging again changes nothing', () => {
    fc.assert(
      fc.property(arbitrary, arbitrary, (a, b) => {
        const merged = mergeGenerations(a, b);
        assert(sameGeneration(merged, mergeGenerations(b, a)));
        assert(sameGeneration(merged, mergeGenerations(merged, a)));
        assert(sameGeneration(merged, mergeGenerations(merged, merged)));
      }),
    );
  });

  it('never shrink, and a key of the merged one was never given to whom it evicts', () => {
    fc.assert(
      fc.property(arbitrary, arbitrary, (a, b) => {
        const merged = mergeGenerations(a, b);
        assert(merged.number >= Math.max(a.number, b.number));
        for (const one of [a, b]) {
          assert(one.evicted.every((id) => isEvicted(merged, id)));
          // Whoever made keys of this number must have known all who are evicted by now.
          assert(one.number < merged.number || one.evicted.length === merged.evicted.length);
        }
      }),
    );
  });

  it('an older order that comes again changes nothing', () => {
    const older = nextGeneration(FIRST_GENERATION, ids[0]);
    const newer = nextGeneration(older);
    assert(sameGeneration(mergeGenerations(newer, older), newer));
  });
});

describe('epoch secrets', () => {
  const secret = Secret.copy('epochSecret', key(5));

  it('are HKDF of fresh randomness, salted with the one before', () => {
    let call = 0;
    const replayed = createNodeProvider({ random: (bytes) => bytes.fill(++call) });
    const made = createEpochSecret(replayed, secret);
    // The first draw is the input, HKDF-Extract is HMAC (RFC 5869 §2.2).
    assert.deepEqual(Uint8Array.from(made.expose()), Uint8Array.from(provider.hmac('sha256', key(5), key(1))));
  });

  it('are not made of randomness that is zero or repeats itself', () => {
    for (const fill of [0, 7]) {
      const broken = createNodeProvider({ random: (bytes) => bytes.fill(fill) });
      assert.throws(() => createEpochSecret(broken, secret), { code: 'TLS_ERR_INTERNAL' });
    }
  });

  it('give ids and working keys that have nothing in common, whatever the label', () => {
    const outputs = [
      toHex(keyIdOf(provider, secret)),
      toHex(ratchet(provider, secret, 1).expose()),
      toHex(ratchet(provider, secret, 2).expose()),
      ...['a', 'b'].flatMap((policy) =>
        (['mayfly', 'mayfly-12', 'nginx-80', 'haproxy-80'] as const).map((target) =>
          toHex(workingKey(provider, secret, { policy, target }).expose()),
        ),
      ),
    ].map((hex) => hex.slice(0, 32));
    assert.equal(new Set(outputs).size, outputs.length);
  });

  it('a working key is HKDF-Expand with policy and target in its info', () => {
    const info = Buffer.from('mayfly ring 1 working\x07default\x08nginx-80', 'latin1');
    // HKDF-Expand alone: Extract is undone by taking the pseudorandom key as the secret of hkdfSync's second step.
    const expected: Uint8Array[] = [];
    let previous: Uint8Array = new Uint8Array(0);
    for (let counter = 1; counter <= 3; counter++) {
      previous = provider.hmac('sha256', key(5), Buffer.concat([previous, info, Uint8Array.of(counter)]));
      expected.push(Uint8Array.from(previous));
    }
    const made = workingKey(provider, secret, { policy: 'default', target: 'nginx-80' });
    assert(sameBytes(made.expose(), Buffer.concat(expected).subarray(0, 80)));
    assert.notDeepEqual(made.expose(), new Uint8Array(hkdfSync('sha256', key(5), '', info, 80)));
  });
});

describe('the times of an epoch', () => {
  const epoch = 500_000;
  const start = epoch * HOUR;

  it('begin no sooner than everybody can have the key, unless there is nobody else', () => {
    assert.equal(epochTimes(configuration, epoch, start - HOUR / 2, false).sealFrom, start);
    assert.equal(epochTimes(configuration, epoch, start - 1, false).sealFrom, start - 1 + configuration.settle);
    assert.equal(epochTimes(configuration, epoch, start + 5, true).sealFrom, start + 5);
  });

  it('are refused when they are not those that the rules give', () => {
    const times = epochTimes(configuration, epoch, start + 1000, false);
    const now = start + 2000;
    assert.equal(refuseTimes(configuration, epoch, times, now), undefined);
    for (const field of ['sealFrom', 'sealUntil', 'destroyAt'] as const) {
      for (const change of [-1, 1]) {
        const wrong = { ...times, [field]: times[field] + change };
        assert.equal(refuseTimes(configuration, epoch, wrong, now), 'bad_times', `${field} ${change}`);
      }
    }
    assert.equal(refuseTimes(configuration, epoch + 1, times, now), 'bad_times');
    assert.equal(
      refuseTimes(configuration, epoch, epochTimes(configuration, epoch, start - HOUR - 1, false), now),
      'bad_times',
    );
  });

  it('are untimely when the epoch is over, two ahead, or made in the future', () => {
    const of = (at: number, createdAt: number) =>
      refuseTimes(configuration, epoch, epochTimes(configuration, epoch, createdAt, false), at);
    assert.equal(of(start + HOUR, start), 'untimely');
    assert.equal(of(start + HOUR - 1, start), undefined);
    assert.equal(of(start - HOUR - 1, start - HOUR - 1), 'untimely');
    assert.equal(of(start, start + configuration.maxSkew + 1), 'untimely');
    assert.equal(of(start, start + configuration.maxSkew), undefined);
  });

  it('are made from half an epoch ahead on, by one after the other', () => {
    for (let fill = 0; fill < 50; fill++) {
      const at = creationTime(provider, configuration, epoch, new Uint8Array(16).fill(fill));
      assert(at >= start - HOUR / 2 && at < start - HOUR / 2 + HOUR / 8);
    }
  });

  it('turns are drawn: each of the candidates has another, and all draw the same', () => {
    const all = Array.from({ length: 6 }, (_, index) => new Uint8Array(16).fill(index));
    const turns = all.map((one) =>
      turnOf(
        provider,
        key(1),
        one,
        all.filter((other) => other !== one),
      ),
    );
    assert.deepEqual([...turns].sort(), [0, 1, 2, 3, 4, 5]);
  });

  it('pass by whichever clock says more', () => {
    const since = { wall: 1000, monotonic: 50 };
    assert.equal(elapsed(since, { wall: 1500, monotonic: 60 }), 500);
    assert.equal(elapsed(since, { wall: 400, monotonic: 60 }), 10);
    assert.equal(elapsed(since, { wall: 400, monotonic: 50 }), 0);
  });
});
