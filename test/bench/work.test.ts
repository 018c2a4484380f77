import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { makeCertificate, pemToDer } from '../../bench/certificate.ts';
import { type Difference, differences, majorOf } from '../../bench/counts/compare.ts';
import type { ScenarioWork, WorkReport } from '../../bench/counts/messages.ts';
import { scenarioNames } from '../../bench/counts/names.ts';
import { countCalls, countMemory } from '../../bench/counts/run.ts';
import { projectRoot } from '../support/project.ts';

const HINT =
  'if this is meant: npm run bench -- --work --save-baseline (for each Node in bench/baseline.json), else: --work --compare';

const baselines: Record<string, WorkReport> = JSON.parse(
  readFileSync(join(projectRoot, 'bench', 'baseline.json'), 'utf8'),
);

/** What the baseline says of this Node; of another, where this one is not in it. */
const baseline = baselines[majorOf(process.version)] ?? Object.values(baselines)[0];

/** What differs between the baseline and a part of what it holds. */
function changed(counted: readonly (Partial<ScenarioWork> & { readonly name: string })[]): Difference[] {
  const scenarios = counted.map((part) => {
    const known = baseline.scenarios.find(({ name }) => name === part.name);
    assert.ok(known !== undefined, part.name);
    return { ...known, ...part };
  });
  return differences(baseline, { node: process.version, scenarios }, GENEROUS);
}

test('the calls of cryptography and the actions of each scenario are those of the baseline', async () => {
  const counted = await countCalls();
  assert.equal(counted.length, scenarioNames.length);
  assert.deepEqual(changed(counted), [], HINT);
});

test('allocations are not far above those of the baseline', async () => {
  const found = changed(await countMemory(['handshake_full_1.3_p256', 'transfer_16k', 'socket_stream_1k']));
  assert.deepEqual(
    found.filter(({ before, now }) => now > before),
    [],
    HINT,
  );
});

test('the baseline has all scenarios and no times, and what the protocol asks for is the same on every Node', () => {
  const [first, ...others] = Object.values(baselines);
  for (const { scenarios } of [first, ...others]) {
    assert.deepEqual(
      scenarios.map(({ name }) => name),
      scenarioNames,
    );
    assert.ok(scenarios.every(({ micros }) => micros === undefined));
  }
  for (const other of others) {
    for (const [index, { name, provider, actions }] of other.scenarios.entries()) {
      const { provider: expected, actions: expectedActions } = first.scenarios[index];
      assert.deepEqual([provider, actions], [expected, expectedActions], name);
    }
  }
});

const plain: ScenarioWork = {
  name: 'transfer_16k',
  heapBytes: 1000,
  externalBytes: 0,
  objects: 100,
  provider: { hmac: 2 },
  native: { createHmac: 2 },
  actions: {},
  wireBytes: 100,
};

function compared(changes: Partial<ScenarioWork>, nodes = ['v20.1.0', 'v20.2.0']): string[] {
  const [before, now] = nodes;
  const found = differences(
    { node: before, scenarios: [plain] },
    { node: now, scenarios: [{ ...plain, ...changes }] },
    0.1,
  );
  return found.map(({ what, before: a, now: b }) => `${what} ${a} ${b}`);
}

test('a comparison tells of every call that differs, also of those that are gone or new', () => {
  assert.deepEqual(compared({ provider: { hmac: 3 } }), ['provider: hmac 2 3']);
  assert.deepEqual(compared({ provider: { hash: 1 } }), ['provider: hash 0 1', 'provider: hmac 2 0']);
});

test('a comparison tells of allocations only beyond its tolerance', () => {
  assert.deepEqual(compared({ heapBytes: 1090 }), []);
  assert.deepEqual(compared({ heapBytes: 1200 }), ['heapBytes 1000 1200']);
  assert.deepEqual(compared({ heapBytes: 800 }), ['heapBytes 1000 800']);
});

test('reports of two major versions of Node are compared by what the protocol asks for alone', () => {
  const changes = { native: { hash: 9 }, heapBytes: 9000 };
  assert.deepEqual(compared(changes, ['v20.1.0', 'v26.0.0']), []);
  assert.equal(compared({ ...changes, provider: {} }, ['v20.1.0', 'v26.0.0']).length, 1);
});

test('a chain for the bench leads from the leaf over as many certificates as asked for to the CA', () => {
  const { ca, cert } = makeCertificate(3);
  const path = [...pemToDer(cert), ...pemToDer(ca)].map((der) => new X509Certificate(der));
  assert.equal(path.length, 4);
  for (const [index, certificate] of path.entries()) {
    assert.ok(certificate.verify((path[index + 1] ?? certificate).publicKey), String(index));
  }
});

test('docs/performance.md has a place for what each run finds', () => {
  const text = readFileSync(join(projectRoot, 'docs', 'performance.md'), 'utf8');
  for (const place of ['table v20', 'table v26', 'profile', 'primitives', 'work', 'growth', 'https', 'fairness']) {
    assert.match(text, new RegExp(`<!-- bench ${place} -->[\\s\\S]*?<!-- end -->`));
  }
});

/** The share by which allocations may differ: a small change is seen by `--work --compare`, this sees a blunder. */
const GENEROUS = 0.4;
