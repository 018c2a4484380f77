import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseArguments } from '../../bench/arguments.ts';
import { median, significant, spread } from '../../bench/statistics.ts';

const main = fileURLToPath(new URL('../../bench/main.js', import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function bench(...args: string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** What the command line comes to, in this process: `bench` does no more than to hand it on. */
function refusedHere(t: TestContext, args: readonly string[]): Omit<Outcome, 'stdout'> {
  let stderr = '';
  const ended = new Error('the process ends');
  const exit = t.mock.method(process, 'exit', () => {
    throw ended;
  });
  const write = t.mock.method(process.stderr, 'write', (text: string) => {
    stderr += text;
    return true;
  });
  try {
    assert.throws(() => parseArguments(args), ended);
  } finally {
    exit.mock.restore();
    write.mock.restore();
  }
  return { code: Number(exit.mock.calls[0].arguments[0]), stderr };
}

interface JsonRow {
  readonly name: string;
  readonly ours: number;
  readonly nodeTls: number;
  readonly ratio: number;
  readonly goal: number;
  /** Absent where memory did not grow. */
  readonly floor?: { readonly value: number; readonly ratio: number; readonly goalOutOfReach: boolean };
  readonly samePeer?: Readonly<Record<'client' | 'server', { readonly ours: number; readonly nodeTls: number }>>;
  readonly usual?: { readonly ours: number; readonly nodeTls: number };
  readonly primitives: readonly { readonly shareOfOurs: number }[];
}

test('bench --quick --json prints one JSON document with a row for each name and nothing else on stdout', async () => {
  const names = ['handshake_resumed_1.3', 'handshake_resumed_1.2_id', 'transfer_bulk', 'pingpong_1B', 'memory_idle'];
  const only = names.flatMap((name) => ['--only', name]);
  const flags = ['--quick', '--cross', '--json', '--budget-ms', '2000', '--rounds', '1'];
  const { code, stdout, stderr } = await bench(...flags, ...only);
  assert.equal(code, 0, stderr + stdout);
  const document = JSON.parse(stdout) as { rows: JsonRow[] };
  assert.deepEqual(
    document.rows.map(({ name }) => name),
    names,
  );
  for (const { name, ours, nodeTls, ratio, floor, goal } of document.rows) {
    // What is checked is the shape: so short a run says nothing, and memory may even seem not to grow.
    assert.ok(Number.isFinite(ours) && Number.isFinite(nodeTls), stdout);
    const expected = name === 'memory_idle' ? nodeTls / ours : ours / nodeTls;
    if (Number.isFinite(expected)) {
      assert.ok(Math.abs(ratio - expected) <= 0.02 * Math.abs(expected), `${name}: ${stdout}`);
    }
    if (floor === undefined) {
      assert.equal(name, 'memory_idle');
      continue;
    }
    assert.ok(Number.isFinite(floor.value), `the floor of ${name}: ${stdout}`);
    if (Math.abs(floor.ratio - goal) > 0.01) {
      assert.equal(floor.goalOutOfReach, floor.ratio < goal, name);
    }
  }
  for (const { name, samePeer, usual, primitives } of document.rows.filter((row) => row.name !== 'memory_idle')) {
    for (const end of [samePeer?.client, samePeer?.server]) {
      assert.ok(end !== undefined && end.ours > 0 && end.nodeTls > 0, `each end alone: ${name}`);
    }
    assert.equal(usual !== undefined, name.startsWith('handshake'), `the usual code: ${name}`);
    const shares = primitives.map(({ shareOfOurs }) => shareOfOurs);
    assert.ok(
      shares.every((share) => share > 0),
      `time in primitives: ${name}`,
    );
    assert.equal(shares.length > 0, !name.startsWith('handshake_resumed_1.2'), name);
  }
});

test('bench refuses an unknown flag with exit code 2 and a line that names it', async () => {
  const { code, stdout, stderr } = await bench('--fast');
  assert.equal(code, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /^bench: .*--fast/);
});

for (const [what, args, telling] of [
  ['an unknown row', ['--only', 'handshake_2.0'], 'handshake_2.0'],
  ['a number of rounds that is none', ['--rounds', 'many'], 'many'],
  ['an argument that belongs to no flag', ['quick'], 'too many arguments'],
  ['two flags that exclude each other', ['--cross', '--same'], '--cross'],
  ['a row where scenarios are counted', ['--work', '--only', 'transfer_bulk'], 'transfer_bulk'],
  ['a comparison of nothing that was counted', ['--compare'], '--work'],
  ['one JSON document for two runs', ['--json', '--fairness', '--growth'], '--json'],
] as const) {
  test(`bench refuses ${what} with exit code 2 and a line that names it`, (t) => {
    const { code, stderr } = refusedHere(t, args);
    assert.equal(code, 2);
    assert.match(stderr, /^bench: /);
    assert.ok(stderr.includes(telling), stderr);
  });
}

test('bench --help lists the flags and the rows', async () => {
  const { code, stdout } = await bench('--help');
  assert.equal(code, 0);
  assert.match(
    stdout,
    /--quick[\s\S]*--json[\s\S]*--only[\s\S]*--profile[\s\S]*--work[\s\S]*--growth[\s\S]*--https[\s\S]*--fairness/,
  );
  assert.match(stdout.replace(/\s+/g, ' '), /handshake_full_1\.3/);
});

test('the median of an even number of values is the mean of the middle two, whatever their order', () => {
  assert.equal(median([9, 1, 3, 5]), 4);
  assert.equal(median([7, 1, 3]), 3);
});

test('the spread is the distance of the extremes in parts of the median', () => {
  assert.equal(spread([90, 100, 120]), 0.3);
});

test('figures are rounded to their significant digits', () => {
  assert.equal(significant(12345), 12300);
  assert.equal(significant(0.0123456), 0.0123);
});
