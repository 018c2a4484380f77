/** Starts the workers of `--work` and gathers what they print. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ScenarioCalls, ScenarioMemory, ScenarioTime, ScenarioWork, WorkReport } from './messages.ts';
import { scenarioNames } from './names.ts';

const execute = promisify(execFile);
const worker = fileURLToPath(new URL('./worker.js', import.meta.url));
const callsWorker = fileURLToPath(new URL('./calls-worker.js', import.meta.url));

export interface WorkOptions {
  /** Scenarios; absent for all. */
  readonly only?: readonly string[];
  /** Also CPU time. */
  readonly time: boolean;
  /** Also instructions, which takes a minute and a half and needs valgrind. */
  readonly instructions: boolean;
  readonly progress: (text: string) => void;
}

/** One after the other: what is allocated would not mind company, CPU time would. */
export async function measureWork(options: WorkOptions): Promise<WorkReport> {
  const found: ScenarioWork[] = [];
  for (const name of scenarioNames) {
    if (options.only?.includes(name) === false) {
      continue;
    }
    options.progress(`${name}: counting`);
    const [[memory], [calls]] = [await countMemory([name]), await countCalls([name])];
    let micros: number | undefined;
    if (options.time) {
      options.progress(`${name}: timing`);
      [{ micros }] = await run<ScenarioTime>([worker, 'time', name]);
    }
    found.push({ ...memory, ...calls, micros });
  }
  const instructions = options.instructions ? await countInstructions(found, options) : undefined;
  return {
    node: process.version,
    scenarios: found.map((work) => ({ ...work, instructions: instructions?.get(work.name) })),
  };
}

/** Calls of cryptography and actions; of all scenarios for no names. */
export function countCalls(names: readonly string[] = []): Promise<ScenarioCalls[]> {
  return run<ScenarioCalls>([callsWorker, ...names]);
}

export function countMemory(names: readonly string[]): Promise<ScenarioMemory[]> {
  return run<ScenarioMemory>([...MEMORY_FLAGS, worker, 'memory', ...names]);
}

/** One JSON object per line. */
async function run<T>(given: readonly string[]): Promise<T[]> {
  const { stdout } = await execute(process.execPath, [...given]);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/**
 * What many operations take less what two take, divided: so the start of the process and the preparation stay out. Of a
 * few scenarios, as each needs two runs of some fifteen seconds; by as many at a time as there are cores.
 */
async function countInstructions(found: readonly ScenarioWork[], options: WorkOptions): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  try {
    await execute('valgrind', ['--version']);
  } catch {
    process.stderr.write('instructions: left out, valgrind is not in PATH (perf is not needed)\n');
    return counts;
  }
  const waiting = found.filter(({ name }) => instructionRuns[name] !== undefined);
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { name } = next;
      options.progress(`${name}: instructions`);
      const few = await instructionsOf(name, FEW);
      const many = await instructionsOf(name, instructionRuns[name]);
      counts.set(name, Math.round((many - few) / (instructionRuns[name] - FEW)));
    }
  };
  await Promise.all([lane(), lane()]);
  return counts;
}

async function instructionsOf(name: string, runs: number): Promise<number> {
  const flags = ['--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null'];
  const { stderr } = await execute('valgrind', [
    ...flags,
    process.execPath,
    ...INSTRUCTION_FLAGS,
    worker,
    'repeat',
    String(runs),
    name,
  ]);
  const [, refs] = /I\s+refs:\s+([\d,]+)/.exec(stderr) ?? [];
  if (refs === undefined) {
    throw new Error(`valgrind told no number of instructions: ${stderr.slice(-200)}`);
  }
  return Number(refs.replaceAll(',', ''));
}

const FEW = 2;
const instructionRuns: Readonly<Record<string, number>> = {
  'handshake_full_1.3_p256': 52,
  handshake_psk_dhe: 52,
  'handshake_ticket_1.2': 52,
  transfer_16k: 1002,
  pingpong_1b: 1002,
};
const INSTRUCTION_FLAGS = ['--jitless', '--single-threaded', '--hash-seed=1'];
/** Nothing is compiled, so that no allocation is optimised away in one run and not in another; nothing is collected. MiB. */
const MEMORY_FLAGS = [
  '--no-opt',
  '--no-maglev',
  '--no-sparkplug',
  '--single-threaded',
  '--expose-gc',
  '--min-semi-space-size=256',
  '--max-semi-space-size=256',
];
