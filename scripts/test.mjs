// Runs the compiled tests: node scripts/test.mjs [--name=…] [folder or file …], e.g. `npm test -- record cli/serve`.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tests = join(root, 'dist', 'test');
const flags = process.argv.slice(2).filter((argument) => argument.startsWith('-'));
const patterns = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));

const files = list(tests).filter((file) => patterns.length === 0 || patterns.some((pattern) => matches(file, pattern)));
if (files.length === 0) {
  process.stderr.write(
    patterns.length === 0
      ? 'no compiled tests: run node scripts/setup.mjs first\n'
      : `no test file matches ${patterns.join(', ')}\n`,
  );
  process.exit(1);
}

// Each file is a process of its own, and many start further ones: more at once than cores only makes them wait.
const concurrency = Math.max(2, Math.min(8, availableParallelism()));
const nodeFlags = [
  '--test',
  '--test-reporter=spec',
  `--test-concurrency=${concurrency}`,
  ...flags.map((flag) => flag.replace(/^--name=/, '--test-name-pattern=')),
];
const runner = spawn(process.execPath, [...nodeFlags, ...files], {
  cwd: root,
  stdio: 'inherit',
  // Tests look at what commands print: no colours, whatever the terminal.
  env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
});
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => runner.kill(signal));
}
runner.on('error', (error) => {
  process.stderr.write(`the test runner could not be started: ${error.message}\n`);
  process.exit(1);
});
runner.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));

/** `record`, `cli/serve`, `test/record/deframer.test.ts`: whole folders and files, as source or compiled. */
function matches(file, pattern) {
  const strip = (path) => path.replace(/(\.test)?\.(ts|js)$/, '').replace(/\/$/, '');
  const path = `/${strip(relative(join(root, 'dist'), file).split(sep).join('/'))}/`;
  return path.includes(`/${strip(pattern.replace(/^(\.\/)?(dist\/)?/, ''))}/`);
}

function list(folder) {
  if (!existsSync(folder)) {
    return [];
  }
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? list(path) : entry.name.endsWith('.test.js') ? [path] : [];
    })
    .sort();
}
