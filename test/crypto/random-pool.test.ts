import assert from 'node:assert/strict';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { test } from 'node:test';

test('random bytes that were not handed out are erased from the pool a second later, and fresh ones follow', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const crypto = createRequire(import.meta.url)('node:crypto') as { randomFillSync(bytes: Uint8Array): Uint8Array };
  const { randomFillSync } = crypto;
  const filled: Uint8Array[] = [];
  crypto.randomFillSync = (bytes) => {
    filled.push(bytes);
    return randomFillSync(bytes);
  };
  syncBuiltinESMExports();
  // Only now, for the pool to see that.
  const { pooledRandom } = await import('../../src/crypto/random-pool.ts');
  const [first, second] = [new Uint8Array(32), new Uint8Array(32)];
  pooledRandom(first);
  const [pool] = filled;
  assert.equal(pool.length, 8192);
  assert.ok(
    pool.subarray(0, 32).every((byte) => byte === 0),
    'what was handed out is not there any more',
  );
  assert.ok(!pool.every((byte) => byte === 0));
  t.mock.timers.tick(999);
  assert.ok(!pool.every((byte) => byte === 0));
  t.mock.timers.tick(1);
  assert.ok(pool.every((byte) => byte === 0));
  pooledRandom(second);
  assert.equal(filled.length, 2, 'it was filled anew');
  assert.notDeepEqual(second, first);
  assert.ok(!second.every((byte) => byte === 0), 'and gives no zeros');
  t.mock.timers.tick(1000);
  assert.ok(pool.every((byte) => byte === 0));
});
