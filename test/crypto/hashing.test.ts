import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { hmac, hmacOfRandomKey, publicHmac } from '../../src/crypto/hashing.ts';
import { createNodeProvider, nodeProvider } from '../../src/crypto/node-provider.ts';
import { assertBytes, bytes, runVectors } from './wycheproof.ts';

test('HMAC-SHA256 agrees with Wycheproof', () => {
  interface Vector {
    readonly key: string;
    readonly msg: string;
    readonly tag: string;
  }
  const counts = runVectors<unknown, Vector>('hmac_sha256_test.json', (vector) => {
    const expected = bytes(vector.tag);
    const mac = nodeProvider.hmac('sha256', bytes(vector.key), bytes(vector.msg)).subarray(0, expected.length);
    assert.equal(nodeProvider.equal(mac, expected), vector.result === 'valid');
    return vector.result;
  });
  assert.deepEqual(counts, { valid: 66, invalid: 108 });
});

test('the fast HMAC equals its plain twin for keys and data of any length, before and after', () => {
  for (const name of ['sha256', 'sha384'] as const) {
    const hashLength = name === 'sha256' ? 32 : 48;
    const keys = fc.oneof(
      fc.uint8Array({ minLength: hashLength, maxLength: hashLength }),
      fc.uint8Array({ maxLength: 200 }),
    );
    const data = fc.oneof(fc.uint8Array({ maxLength: 255 }), fc.uint8Array({ minLength: 254, maxLength: 600 }));
    fc.assert(
      fc.property(keys, data, (key, message) => {
        assertBytes(hmacOfRandomKey(name, key, message), hmac(name, key, message));
        assertBytes(publicHmac(name, key, message), hmac(name, key, message));
        assertBytes(hmacOfRandomKey(name, key, message), hmac(name, key, message));
      }),
      { numRuns: 300 },
    );
  }
});

test('a running hash gives the value so far and goes on', () => {
  for (const name of ['sha256', 'sha384'] as const) {
    const running = nodeProvider.createHash(name);
    assertBytes(running.digest(), nodeProvider.hash(name, new Uint8Array(0)));
    running.update(Uint8Array.of(1, 2));
    assertBytes(running.digest(), createHash(name).update(Uint8Array.of(1, 2)).digest());
    running.update(Uint8Array.of(3));
    assertBytes(running.digest(), nodeProvider.hash(name, Uint8Array.of(1, 2, 3)));
  }
});

test('a running hash and its copies give the same for short, long and mixed inputs, whenever they are read', () => {
  const part = fc.record({
    data: fc.oneof(fc.uint8Array({ maxLength: 90 }), fc.uint8Array({ minLength: 400, maxLength: 3000 })),
    read: fc.boolean(),
    fork: fc.boolean(),
  });
  for (const name of ['sha256', 'sha384'] as const) {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        let running = nodeProvider.createHash(name);
        const all = createHash(name);
        const left: [ReturnType<typeof nodeProvider.createHash>, Uint8Array][] = [];
        for (const { data, read, fork } of parts) {
          const lent = Uint8Array.from(data);
          running.update(lent);
          lent.fill(0);
          all.update(data);
          if (read) {
            assertBytes(running.digest(), all.copy().digest());
          }
          if (fork) {
            left.push([running, all.copy().digest()]);
            running = running.copy();
          }
        }
        assertBytes(running.digest(), all.digest());
        for (const [one, expected] of left) {
          assertBytes(one.digest(), expected);
        }
      }),
      { numRuns: 60 },
    );
  }
});

test('hashes that begin and end in any order do not disturb each other, though they use the same memory', () => {
  const step = fc.record({
    at: fc.nat({ max: 4 }),
    does: fc.constantFrom('update', 'fork', 'end'),
    data: fc.oneof(fc.uint8Array({ maxLength: 90 }), fc.uint8Array({ minLength: 400, maxLength: 1300 })),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const begin = () => ({ ours: nodeProvider.createHash('sha256'), theirs: createHash('sha256') });
      const hashes = Array.from({ length: 5 }, begin);
      for (const { at, does, data } of steps) {
        const { ours, theirs } = hashes[at];
        if (does === 'update') {
          ours.update(data);
          theirs.update(data);
        } else if (does === 'fork') {
          hashes[(at + 1) % 5].ours.end();
          hashes[(at + 1) % 5] = { ours: ours.copy(), theirs: theirs.copy() };
        } else {
          ours.end();
          hashes[at] = begin();
        }
        for (const each of hashes) {
          assertBytes(each.ours.digest(), each.theirs.copy().digest());
        }
      }
    }),
    { numRuns: 100 },
  );
});

test('equal tells equal from different bytes and lengths', () => {
  assert.equal(nodeProvider.equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true);
  assert.equal(nodeProvider.equal(Uint8Array.of(1, 2), Uint8Array.of(1, 3)), false);
  assert.equal(nodeProvider.equal(Uint8Array.of(1, 2), Uint8Array.of(1)), false);
  assert.equal(nodeProvider.equal(new Uint8Array(0), new Uint8Array(0)), true);
});

test('random fills every length, without repeating itself', () => {
  const seen = new Set<string>();
  for (let round = 0; round < 3000; round++) {
    const length = [16, 32, 64, 500, 512, 513, 9000][round % 7];
    const filled = new Uint8Array(length);
    nodeProvider.random(filled);
    seen.add(Buffer.from(filled.subarray(length - 16)).toString('hex'));
  }
  assert.equal(seen.size, 3000);
  nodeProvider.random(new Uint8Array(0));
});

test('an injected source of randomness is what random gives', () => {
  const provider = createNodeProvider({ random: (target) => target.fill(7) });
  const filled = new Uint8Array(3);
  provider.random(filled);
  assertBytes(filled, Uint8Array.of(7, 7, 7));
});
