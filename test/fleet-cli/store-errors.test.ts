import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreErrors } from '../../src/cli/store-errors.ts';

test('each failure of the store is counted, and told when it is new or when ten minutes have passed', () => {
  const errors = new StoreErrors();
  const refused = new Error('connect ECONNREFUSED 127.0.0.1:6379');
  assert.equal(errors.add(refused, 0), 'connect ECONNREFUSED 127.0.0.1:6379');
  assert.equal(errors.add(refused, 20_000), undefined);
  assert.equal(errors.add(new Error('OOM command not allowed'), 20_000), 'OOM command not allowed');
  assert.equal(errors.add(refused, 20_001), undefined, 'not in turns');
  assert.equal(errors.add(refused, 40_000), 'connect ECONNREFUSED 127.0.0.1:6379');
  assert.equal(errors.add(refused, 639_999), undefined);
  assert.equal(errors.add(refused, 640_000), 'connect ECONNREFUSED 127.0.0.1:6379');
  assert.equal(errors.count, 7);
});
