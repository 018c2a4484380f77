// Which test files share a process, and which processes are started first.
//
// A process of Node costs 0.2 s before its first test, and compiles what it needs once more: half a second of a core where
// servers and programs are talked to. Files share one, but for those that mostly wait for time to pass, which would keep
// the others of their process waiting, and those that change or measure the whole process. Long ones go first, so that none
// is left over at the end; how long is what the last run took, or else a guess.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Folders whose files share processes. A folder that is not named here has a process for each file. */
const sharing = new Set([
  ...[
    'agent',
    'bench',
    'bogo',
    'bytes',
    'certificates',
    'cli',
    'client-auth',
    'combinations',
    'compression',
    'connection',
  ],
  ...['connection12', 'count', 'crypto', 'early', 'ech', 'fleet', 'fleet-cli', 'fleet-redis', 'handshake'],
  ...['handshake12', 'house', 'interop', 'keys', 'keys12', 'ledger', 'limits', 'messages', 'messages12', 'native'],
  ...['node', 'policy', 'psk', 'quic', 'record', 'record12', 'renegotiation', 'session', 'stapling', 'traces'],
]);

/** Files in those folders that need a process of their own all the same. */
const alone = new Map([
  ['node/leaks', 'measures the heap'],
  ['node/http2-leaks', 'measures the heap'],
  ['node/outliving', 'measures what young objects are kept, which depends on what V8 has learned from those before'],
  ['cli/outliving', 'the same'],
  ['policy/key-renewal', 'looks at a timer that all connections of a process share'],
  ['crypto/random-pool', 'looks at a pool that all tests of a process share'],
  ['agent/cli', 'waits for rotations'],
  ['agent/servers', 'waits for rotations'],
  ['bench/bench', 'is long by itself'],
  ['cli/renewal', 'waits for certificates to be renewed'],
  ['cli/rotation', 'waits for rotations'],
  ['fleet-cli/fleet', 'waits for epochs'],
  ['fleet-cli/workers', 'waits for rotations'],
  ['fleet-redis/fleet', 'waits for epochs'],
  ['interop/chromium', 'is long by itself'],
  ['interop/firefox', 'is long by itself'],
]);

/** Seconds on two cores, before there was a run: of those that take much longer than others. */
const guesses = {
  'interop/chromium': 20,
  'interop/firefox': 18,
  'faults/faults': 23,
  'cli/serve': 23,
  'fleet-cli/fleet': 20,
  'theft/theft': 18,
  'bench/bench': 17,
  'fleet-cli/workers': 13,
  'agent/servers': 13,
  'cli/status': 13,
  'autopsy/autopsy': 12,
  'machine-ring/machine-ring': 11,
  'interop/chromium-12': 11,
  'node/virtual-hosts': 11,
  'count/serve': 10,
  'cli/connect': 10,
  'cli/renewal': 10,
  'crypto/key-shares': 10,
  'cli/rotation': 9,
  'cli/proxy': 9,
  'fleet-redis/fleet': 9,
  'autopsy/surfaces': 9,
  'agent/cli': 8,
  'example/fleet': 7,
  'fleet-redis/deployments': 7,
  'bench/work': 7,
  'node/leaks': 7,
  'interop/wireshark': 7,
  'node/late-certificates': 7,
  'handshake/tampered-records': 7,
  'node/stream-cases': 7,
  'fleet/outage': 7,
  'crypto/dhe': 7,
  'fleet/model': 6,
  'register/register': 6,
  'interop/ring-under-load': 6,
  'interop/java-12': 5,
  'handshake12/bit-flips': 5,
  'policy/key-renewal': 5,
  'fleet/life': 5,
  'cli/client-certificates': 5,
  'interop/openssl-server': 5,
  'connection12/matrix': 5,
  'cli/serve-refusals': 4,
  'bogo/shim': 4,
  'interop/openssl-server-12': 4,
  'fleet-cli/refusals': 4,
  'cli/drain': 4,
  'fleet/making': 4,
  'interop/openssl-client': 4,
  'interop/gnutls': 4,
  'interop/openssl-client-12': 4,
  'node/connection-life': 3,
  'interop/java': 3,
  'interop/node-tls-12': 3,
  'policy/cli': 3,
  'early/http': 3,
  'fleet/ring': 3,
  'node/client-certificates': 3,
  'interop/gnutls-12': 3,
  'renegotiation/limits': 3,
  'connection/properties': 3,
  'handshake/unexpected-messages': 3,
  'renegotiation/data': 3,
  'node/handshake-cases': 3,
  'node/http': 3,
  'interop/quic': 3,
  'interop/dhe-12': 3,
  'early/serve': 3,
  'crypto/signing': 2,
  'interop/curl': 2,
  'interop/wolfssl': 2,
  'interop/erlang': 2,
  'combinations/cut-off': 2,
  'interop/psk': 2,
  'fleet-redis/store': 2,
  'combinations/combinations': 2,
};

const SHARED_GUESS = 0.5;
const ALONE_GUESS = 3;
/** So many files share a process on average: enough for what is compiled once, not so many that one is left over at the end. */
const FILES_SHARING = 20;

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
