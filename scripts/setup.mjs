// Makes a fresh clone runnable: installs the dependencies and compiles, each only when needed. Used by npm start, npm
// test and npm run bench. Plain JavaScript, for it runs before anything is compiled or installed.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const sourceFolders = ['src', 'test', 'bench', 'examples'].map((name) => join(root, name));
const installStamp = join(root, 'node_modules', '.mayfly-lock');
const buildStamp = join(dist, '.mayfly-build');

function checkNode() {
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node.replace('>=', '');
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [wantedMajor, wantedMinor] = wanted.split('.').map(Number);
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
    fail(
      `Mayfly needs Node.js ${wanted} or later; this is ${process.versions.node}. Get a newer one from https://nodejs.org`,
    );
  }
}

function install() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(installStamp) && readFileSync(installStamp, 'utf8') === lock) {
    return;
  }
  // Packages that npm itself put there for this lock file need no second installation.
  if (!installedByNpm()) {
    say('installing the dependencies (npm ci) …');
    const npm = npmCommand();
    run(
      npm.command,
      [...npm.arguments, 'ci', '--no-audit', '--no-fund', '--loglevel=error'],
      'npm ci',
      'Is the network there? npm ci shows more.',
    );
  }
  writeFileSync(installStamp, lock);
}

/** npm notes what it installed in a hidden lock file: it is newer than ours and knows every package of ours. */
function installedByNpm() {
  const hidden = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(hidden)) {
    return false;
  }
  const installed = JSON.parse(readFileSync(hidden, 'utf8')).packages;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, { version, optional, peer }]) =>
      path === '' || optional === true || peer === true || installed[path]?.version === version,
  );
}

/** npm tells its scripts where it lies; without it (node scripts/setup.mjs) the one in PATH serves. */
function npmCommand() {
  const path = process.env.npm_execpath;
  return path?.endsWith('.js') || path?.endsWith('.cjs')
    ? { command: process.execPath, arguments: [path] }
    : { command: process.platform === 'win32' ? 'npm.cmd' : 'npm', arguments: [] };
}

function build() {
  const inputs = sourceFolders.flatMap((folder) => list(folder, /\.(ts|json)$/));
  inputs.push(join(root, 'tsconfig.json'), join(root, 'package-lock.json'));
  // Names are part of it: a file that was renamed or removed changes no time.
  const fingerprint = createHash('sha256');
  for (const path of inputs) {
    fingerprint.update(`${relative(root, path)}\0${statSync(path).mtimeMs}\n`);
  }
  const current = fingerprint.digest('hex');
  if (existsSync(buildStamp) && readFileSync(buildStamp, 'utf8') === current) {
    return;
  }
  say('compiling …');
  const started = Date.now();
  removeStale();
  run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', root], 'the compilation');
  mkdirSync(dist, { recursive: true });
  writeFileSync(buildStamp, current);
  say(`compiled in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

/** What has no source any more would be run by the tests, or shipped. */
function removeStale() {
  for (const path of list(dist, /\.(js|js\.map|d\.ts)$/)) {
    const source = join(root, relative(dist, path).replace(/\.(js|js\.map|d\.ts)$/, '.ts'));
    if (!existsSync(source)) {
      rmSync(path);
    }
  }
}

function list(folder, pattern) {
  if (!existsSync(folder)) {
    return [];
  }
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      found.push(...list(path, pattern));
    } else if (pattern.test(entry.name)) {
      found.push(path);
    }
  }
  return found;
}

function run(command, commandArguments, what, hint) {
  // Standard output belongs to the command that follows.
  const result = spawnSync(command, commandArguments, { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.error !== undefined) {
    fail(`${what} could not be started: ${result.error.message}`);
  }
  if (result.status !== 0) {
    fail(`${what} failed.${hint === undefined ? '' : ` ${hint}`}`);
  }
}

function say(line) {
  process.stderr.write(`mayfly setup: ${line}\n`);
}

function fail(line) {
  say(line);
  process.exit(1);
}

checkNode();
install();
build();
