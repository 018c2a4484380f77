import assert from 'node:assert/strict';
import test from 'node:test';
import type { Convergence } from '../../bench/ring/convergence.ts';
import type { RingCost } from '../../bench/ring/cost.ts';
import { ring } from '../../bench/ring/ring.ts';

test('bench --ring measures what so many members cost, and how soon they agree', () => {
  const { text, markdown } = ring({ json: true, members: 4 });
  const told = JSON.parse(text) as { costs: readonly RingCost[]; convergence: readonly Convergence[] };
  assert.deepEqual(
    told.costs.map(({ members, kem }) => [members, kem]),
    [
      [4, 'x-wing'],
      [4, 'x25519'],
    ],
  );
  const [hybrid, classical] = told.costs;
  // An envelope holds an encapsulation: 1120 bytes by X-Wing, 32 by X25519.
  assert.equal(hybrid.epochRecord - classical.epochRecord, 3 * (1120 - 32));
  for (const cost of told.costs) {
    assert.equal(cost.heartbeatBytes, 4 * cost.memberRecord);
    assert(cost.makeEpoch > 0 && cost.readEpoch > 0 && cost.heartbeatMs > 0);
  }
  const [{ start, partition }] = told.convergence;
  assert(start !== undefined && partition.open !== undefined && partition.agreed !== undefined);
  assert.equal(partition.ratcheted, 2, 'those that were cut off had to ratchet');
  assert(partition.agreed >= partition.open);
  assert.match(markdown, /^\| 4 \| X-Wing \| /m);
});
