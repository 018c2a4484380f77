// Runs the compiled tests: node scripts/test.mjs [--name=…] [folder or file …], e.g. `npm test -- record cli/serve`.
// `--dist=FOLDER` takes them from where else they were compiled to.

import { setMaxListeners } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { plan, readTimes } from './test-plan.mjs';

/** Milliseconds for one process: many times what the longest takes. One that hangs must not take the report with it. */
const PROCESS_TIMEOUT = 600_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const options = process.argv.slice(2).filter((argument) => argument.startsWith('-'));
const patterns = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const unknown = options.find((option) => !/^--(name|dist)=./.test(option));
if (unknown !== undefined) {
  fail(`unknown option ${unknown}. Usage: npm test -- [--name=PATTERN] [folder or file …]`);
}
const [dist = join(root, 'dist')] = valuesOf('dist').map((path) => resolve(path));
const testNamePatterns = valuesOf('name');
const timesFile = join(dist, '.test-times.json');

const files = list(join(dist, 'test'))
  .map((path) => ({ path, name: strip(relative(join(dist, 'test'), path).split(sep).join('/')) }))
  .filter(({ name }) => patterns.length === 0 || patterns.some((pattern) => matches(name, pattern)));
if (files.length === 0) {
  fail(
    patterns.length === 0
      ? 'no compiled tests: run node scripts/setup.mjs first'
      : `no test file matches ${patterns.join(', ')}`,
  );
}

const times = readTimes(timesFile);
const folder = join(dist, '.test-processes');
// Where tests are chosen by name, a file may have none: Node's own way of running each file knows how to pass over it.
const processes =
  testNamePatterns.length > 0
    ? files.map(({ name, path }) => ({ names: [name], path }))
    : plan(files, { times, folder });
const nameOf = new Map(processes.map(({ path, names }) => [path, names.join(', ')]));

process.chdir(root);
// Tests look at what commands print: no colours, whatever the terminal.
process.env.NO_COLOR = '1';
delete process.env.FORCE_COLOR;
const stop = new AbortController();
// Each process listens.
setMaxListeners(0, stop.signal);
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => stop.abort());
}

const stream = run({
  files: processes.map(({ path }) => path),
  // Many wait for timers or for programs that they started: more at once than cores, so that none idles.
  concurrency: Math.max(4, Math.min(16, 2 * availableParallelism())),
  timeout: PROCESS_TIMEOUT,
  signal: stop.signal,
  ...(testNamePatterns.length > 0 && { testNamePatterns }),
});

/** Begun, and not ended: if there is one left in the end, its process hung or died in it. */
const begun = new Map();
const taken = {};
let counted = false;
const guard = setTimeout(giveUp, PROCESS_TIMEOUT + 30_000);
for (const type of ['test:dequeue', 'test:complete', 'test:fail', 'test:diagnostic']) {
  stream.on(type, (data) => took(type, data));
}
stream.compose(new spec()).pipe(process.stdout);
stream.on('end', () => {
  clearTimeout(guard);
  for (const test of begun.values()) {
    process.exitCode = 1;
    process.stderr.write(`still running when its process ended: ${titleOf(test)}\n`);
  }
  if (!counted || stop.signal.aborted) {
    process.exitCode = 1;
  }
  writeFileSync(timesFile, `${JSON.stringify({ ...times, ...taken }, null, 2)}\n`);
});

function took(type, data) {
  guard.refresh();
  const isProcess = data.nesting === 0 && nameOf.has(data.name);
  const id = `${data.file}\0${data.line}\0${data.column}\0${data.nesting}\0${data.name}`;
  if (type === 'test:dequeue' && !isProcess) {
    begun.set(id, data);
  } else if (type === 'test:complete') {
    begun.delete(id);
    const name = data.nesting === 0 ? (nameOf.get(data.name) ?? data.name) : '';
    if (files.some((file) => file.name === name)) {
      taken[name] = Math.round(data.details.duration_ms / 10) / 100;
    }
  } else if (type === 'test:fail' && data.todo === undefined) {
    process.exitCode = 1;
    if (isProcess && !stop.signal.aborted) {
      process.stderr.write(`the process for ${nameOf.get(data.name)} failed: ${data.details.error?.message}\n`);
    }
  } else if (type === 'test:diagnostic' && /^tests [1-9]/.test(data.message)) {
    counted = true;
  }
}

/** A process that does not end though it was told to, as one in an endless loop. */
function giveUp() {
  for (const test of begun.values()) {
    process.stderr.write(`hangs: ${titleOf(test)}\n`);
  }
  process.exit(1);
}

/** `record/deframer` for a file, `test/record/deframer.test.ts: its name` for a test in it. */
function titleOf({ file = '', name }) {
  const path = relative(dist, file).split(sep).join('/');
  return path.startsWith('test/') ? `${path.replace(/\.js$/, '.ts')}: ${name}` : name;
}

/** `record`, `cli/serve`, `test/record/deframer.test.ts`: whole folders and files, as source or compiled. */
function matches(name, pattern) {
  return `/test/${name}/`.includes(`/${strip(pattern.replace(/^(\.\/)?(dist\/)?/, ''))}/`);
}

function strip(path) {
  return path.replace(/(\.test)?\.(ts|js)$/, '').replace(/\/$/, '');
}

function valuesOf(option) {
  const start = `--${option}=`;
  return options.filter((given) => given.startsWith(start)).map((given) => given.slice(start.length));
}

function list(path) {
  if (!existsSync(path)) {
    return [];
  }
  return readdirSync(path, { withFileTypes: true })
    .flatMap((entry) => {
      const inside = join(path, entry.name);
      return entry.isDirectory() ? list(inside) : entry.name.endsWith('.test.js') ? [inside] : [];
    })
    .sort();
}

function fail(line) {
  process.stderr.write(`${line}\n`);
  process.exit(1);
}
