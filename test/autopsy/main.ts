/**
 * `npm run autopsy`: the whole examination at full scale, and what it found, as a table. See docs/memory.md.
 *
 *     npm run autopsy -- [--short] [--json] [--core] [--hunt]
 *
 * `--core` searches a core dump by gcore as well, registers included; `--hunt` tries whatever looks like an x25519 private key.
 * Exit code 1 when something was found that docs/memory.md does not explain.
 */

import { parseArgs } from 'node:util';
import { type Examination, Examiner, type Find } from './examiner.ts';
import { X25519_PUBLIC_KEY } from './key-shares.ts';
import { isLookedFor } from './kinds.ts';
import { huntPrivateKeys } from './private-key-hunt.ts';
import type { Scale } from './scale.ts';
import type { ToldSecret } from './testimony.ts';
import { countSecrets, isFromMlKemInJavaScript, isInRegisters, isRemainder, type Row, tabulate } from './verdict.ts';

interface Stage {
  readonly subject: string;
  readonly moment: string;
  /** Different secrets that were looked for, and found. */
  readonly wanted: number;
  readonly found: number;
  readonly megabytes: number;
  readonly rows: readonly Row[];
  readonly unexplained: number;
}

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    core: { type: 'boolean', default: false },
    hunt: { type: 'boolean', default: false },
  },
});
if (process.platform !== 'linux') {
  process.stderr.write('the autopsy reads /proc/PID/mem: it needs Linux\n');
  process.exit(2);
}
const scale: Scale = values.short ? 'short' : 'full';
const stages: Stage[] = [];

await examineMayfly();
await examinePrimitives();
await examineServers();
if (values.json) {
  process.stdout.write(`${JSON.stringify({ node: process.version, scale, stages }, null, 2)}\n`);
}
process.exitCode = stages.some(({ unexplained }) => unexplained > 0) ? 1 : 0;

async function examineMayfly(): Promise<void> {
  const examiner = await Examiner.start('mayfly', scale);
  const { testimony, connections } = examiner;
  const wanted = testimony.ended.filter(isLookedFor);
  say(`Mayfly, server and client in one process: ${connections} connections, ${testimony.secrets.size} secrets`);
  note('Mayfly', 'all has ended', wanted, examiner.searchMemory(wanted));
  const publicKeys = [...testimony.secrets.values()].filter(({ kind }) => kind === X25519_PUBLIC_KEY);
  hunt(examiner, publicKeys, 'all has ended');
  await examiner.collectGarbage();
  note('Mayfly', 'after a collection of garbage', wanted, examiner.searchMemory(wanted));
  hunt(examiner, publicKeys, 'after a collection of garbage');
  if (values.core) {
    const examination = examiner.searchCore(wanted);
    if (examination === undefined) {
      say('  there is no gcore here');
    } else {
      note('Mayfly', 'in a core dump, with registers', wanted, examination);
    }
  }
  await examiner.end();
}

async function examinePrimitives(): Promise<void> {
  const examiner = await Examiner.start('primitives', scale);
  const wanted = examiner.testimony.ended;
  say(`The primitives of node:crypto alone: ${wanted.length} secrets`);
  note('node:crypto', 'all has ended', wanted, examiner.searchMemory(wanted));
  await examiner.end();
}

/** Side by side: what both ends of a connection know, and of node:tls its ticket keys. */
async function examineServers(): Promise<void> {
  for (const tls of ['mayfly', 'native'] as const) {
    const subject = tls === 'native' ? 'node:tls server' : 'Mayfly server';
    const examiner = await Examiner.startServer(tls, scale);
    const { ended } = examiner.testimony;
    const ofConnections = ended.filter(({ kind }) => kind !== 'ticketKey');
    say(`${subject}, clients in another process: ${examiner.connections} connections, ${ended.length} secrets`);
    note(subject, 'connections closed, server listening', ofConnections, examiner.searchMemory(ofConnections));
    await examiner.closeServer();
    note(subject, 'server closed', ended, examiner.searchMemory(ended));
    await examiner.collectGarbage();
    note(subject, 'after a collection of garbage', ended, examiner.searchMemory(ended));
    await examiner.end();
  }
}

function note(subject: string, moment: string, wanted: readonly ToldSecret[], { finds, searched }: Examination): void {
  const rows = tabulate(finds);
  // Another library's finds are for comparison.
  const unexplained = subject.startsWith('Mayfly') ? finds.filter((find) => !isExplained(find)).length : 0;
  const different = new Set(wanted.map(({ bytes }) => Buffer.from(bytes).toString('hex'))).size;
  const stage = {
    subject,
    moment,
    wanted: different,
    found: countSecrets(finds),
    megabytes: searched / 1e6,
    rows,
    unexplained,
  };
  stages.push(stage);
  say(`  ${moment}: ${stage.found} of ${different} found in ${stage.megabytes.toFixed(0)} MB`);
  for (const { kind, form, where, secrets, places, left, of } of rows) {
    say(`    ${kind}, ${form}, ${where}: ${secrets} in ${places} places, at most ${left} of ${of} bytes`);
  }
}

function isExplained(find: Find): boolean {
  return isFromMlKemInJavaScript(find) || isRemainder(find) || isInRegisters(find);
}

function hunt(examiner: Examiner, publicKeys: readonly ToldSecret[], moment: string): void {
  if (values.hunt) {
    const { found, tried } = huntPrivateKeys(
      examiner,
      publicKeys.map(({ bytes }) => bytes),
    );
    say(`  x25519 private keys, ${moment}: ${found} of ${publicKeys.length} found (${tried} places tried)`);
  }
}

function say(line: string): void {
  if (!values.json) {
    process.stdout.write(`${line}\n`);
  }
}
