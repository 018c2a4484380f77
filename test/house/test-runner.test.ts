/** `npm test` itself: whatever goes wrong in a test file ends the run with exit code 1, and names the file. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { run } from '../cli/support.ts';
import { projectRoot } from '../support/project.ts';

interface Planned {
  readonly names: readonly string[];
  readonly path: string;
}

type Plan = (
  files: readonly { name: string; path: string }[],
  options: { times: Readonly<Record<string, number>>; folder: string },
) => readonly Planned[];

const folder = mkdtempSync(join(tmpdir(), 'mayfly-runner-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `scripts/test.mjs` on test files with this content, by name. */
async function runTests(name: string, files: Readonly<Record<string, string>>) {
  const dist = join(folder, name);
  for (const [file, body] of Object.entries(files)) {
    const path = join(dist, 'test', `${file}.test.js`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `import assert from 'node:assert';\nimport { describe, test } from 'node:test';\n${body}\n`);
  }
  writeFileSync(join(dist, 'package.json'), '{ "type": "module" }');
  const script = join(projectRoot, 'scripts', 'test.mjs');
  const env = { NODE_TEST_CONTEXT: undefined };
  const { code, stdout, stderr } = await run(process.execPath, [script, `--dist=${dist}`], { env });
  const count = (what: string) => Number(new RegExp(`^ℹ ${what} (\\d+)$`, 'm').exec(stdout)?.[1]);
  return { code, text: stdout + stderr, tests: count('tests'), pass: count('pass'), fail: count('fail') };
}

const good = `describe('a suite', () => { test('good', () => {}); });`;

describe('npm test', { concurrency: true }, () => {
  test('ends with 0 where all is well', async () => {
    const { code, text, ...counts } = await runTests('good', {
      'record/a': good,
      'record/b': good,
      'register/c': good,
    });
    assert.equal(code, 0, text);
    assert.deepEqual(counts, { tests: 3, pass: 3, fail: 0 });
  });

  test('names the file of a test that fails, and of one that cannot be loaded; all others run', async () => {
    const { code, text, ...counts } = await runTests('bad', {
      'record/a': `test('bad', () => assert.equal(1, 2));`,
      'record/b': `throw new Error('not today');`,
      'record/c': good,
    });
    assert.equal(code, 1, text);
    assert.deepEqual(counts, { tests: 3, pass: 1, fail: 2 });
    assert.match(text, /✖ record\/a/);
    assert.match(text, /test at .*record\/a\.test\.js:3/);
    assert.match(text, /✖ record\/b[\s\S]*not today/);
    assert.match(text, /✔ record\/c/);
  });

  test('names the file in which a process died', async () => {
    const { code, text } = await runTests('died', {
      'record/a': good,
      // What it told before takes its time to arrive.
      'record/b': `test('deadly', () => new Promise(() => setTimeout(() => process.kill(process.pid, 'SIGKILL'), 300)));`,
      'register/c': good,
    });
    assert.equal(code, 1, text);
    assert.match(text, /the process for record\/a, record\/b failed/);
    assert.match(text, /still running when its process ended: record\/b\n/);
    assert.match(text, /✔ register\/c/);
  });

  test('runs each file in one process, those that take long first', async () => {
    const { plan } = (await import(pathToFileURL(join(projectRoot, 'scripts', 'test-plan.mjs')).href)) as {
      plan: Plan;
    };
    const names = [
      'bytes/a',
      'register/long',
      'register/short',
      'node/leaks',
      ...Array.from({ length: 30 }, (_, i) => `record/${i}`),
    ];
    const files = names.map((name) => ({ name, path: join(folder, `${name}.test.js`) }));
    const times = { 'register/long': 99, 'register/short': 0.1 };
    const processes = plan(files, { times, folder: join(folder, 'plan') });
    assert.deepEqual(processes.flatMap((one) => one.names).sort(), [...names].sort());
    assert.deepEqual(processes[0].names, ['register/long']);
    assert.deepEqual(processes.at(-1)?.names, ['register/short']);
    assert.deepEqual(processes.find((one) => one.names.includes('node/leaks'))?.names, ['node/leaks']);
    assert(processes.length <= 7, 'files that only compute share processes');
    for (const { names: inside, path } of processes) {
      const content = readFileSync(path, 'utf8');
      assert(inside.every((name) => content.includes(`/${name}.test.js`)));
    }
  });
});
