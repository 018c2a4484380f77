// Which test files share a process, and which processes are started first.
//
// A process of Node costs 0.2 s before its first test, and compiles what it needs once more: files that only compute share
// one. Files that start programs, or that change or measure the whole process, have one of their own. Long ones go first, so
// that none is left over at the end; how long is what the last run took, or else a guess.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Folders whose files share processes. A folder that is not named here has a process for each file. */
const sharing = new Set([
  ...['bytes', 'certificates', 'client-auth', 'combinations', 'compression', 'connection', 'connection12', 'crypto'],
  ...['early', 'ech', 'fleet', 'handshake', 'handshake12', 'house', 'keys', 'keys12', 'ledger', 'limits', 'messages'],
  ...['messages12', 'native', 'node', 'policy', 'psk', 'quic', 'record', 'record12', 'renegotiation', 'session'],
  ...['stapling', 'traces'],
]);

/** Files in those folders that need a process of their own all the same. */
const alone = new Map([
  ['node/leaks', 'measures the heap'],
  ['policy/key-renewal', 'looks at a timer that all connections of a process share'],
  ['policy/cli', 'starts programs'],
  ['crypto/random-pool', 'looks at a pool that all tests of a process share'],
]);

/** Seconds, before there was a run: only of those that would be missed if they came last. */
const guesses = {
  'faults/faults': 25,
  'fleet-cli/fleet': 14,
  'count/browsers': 12,
  'theft/theft': 11,
  'agent/servers': 12,
  'fleet-redis/fleet': 10,
  'agent/cli': 8,
  'cli/rotation': 9,
  'cli/status': 9,
  'bench/bench': 8,
  'machine-ring/machine-ring': 8,
  'cli/connect': 6,
  'cli/renewal': 6,
  'cli/serve': 6,
  'fleet/life': 6,
  'node/leaks': 6,
  'interop/chromium': 6,
  'interop/chromium-12': 6,
  'fleet-cli/workers': 6,
};

const SHARED_GUESS = 0.5;
const ALONE_GUESS = 3;
/** So many files share a process on average: enough for what is compiled once, not so many that one is left over at the end. */
const FILES_SHARING = 12;

/**
 * @param {readonly { name: string, path: string }[]} files name: `record/deframer`
 * @param {{ times: Readonly<Record<string, number>>, folder: string }} options seconds of each name in the last run; where
 *   the files that make the processes are written
 * @returns {{ names: readonly string[], path: string }[]} processes, the longest first
 */
export function plan(files, { times, folder }) {
  const cost = ({ name }) => times[name] ?? guesses[name] ?? (isShared(name) ? SHARED_GUESS : ALONE_GUESS);
  const all = [
    ...files.filter(({ name }) => !isShared(name)).map((file) => ({ files: [file], cost: cost(file) })),
    ...shares(
      files.filter(({ name }) => isShared(name)),
      cost,
    ),
  ].sort((a, b) => b.cost - a.cost);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return all.map((one) => ({ names: one.files.map(({ name }) => name), path: writeProcess(folder, one.files) }));
}

export function readTimes(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return {};
  }
}

function isShared(name) {
  return sharing.has(name.split('/')[0]) && !alone.has(name);
}

/** Neighbours stay together, as they import the same; by what they take, not by how many they are. */
function shares(files, cost) {
  const total = files.reduce((sum, file) => sum + cost(file), 0);
  const most = total / Math.ceil(files.length / FILES_SHARING);
  const all = [];
  for (const file of files) {
    const last = all.at(-1);
    if (last !== undefined && last.cost + cost(file) <= most) {
      last.files.push(file);
      last.cost += cost(file);
    } else {
      all.push({ files: [file], cost: cost(file) });
    }
  }
  return all;
}

/** A module that imports the files: `cli-serve.mjs`, or `bytes-reader-and-11-more.mjs`. */
function writeProcess(folder, files) {
  const more = files.length > 1 ? `-and-${files.length - 1}-more` : '';
  const path = join(folder, `${files[0].name.replaceAll('/', '-')}${more}.mjs`);
  const list = files.map((file) => ({ name: file.name, url: pathToFileURL(file.path).href }));
  const loader = new URL('./test-together.mjs', import.meta.url).href;
  writeFileSync(
    path,
    `import { together } from ${JSON.stringify(loader)};\nawait together(${JSON.stringify(list, null, 2)});\n`,
  );
  return path;
}
