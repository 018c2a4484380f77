/**
 * `npm run bench`: Mayfly beside `node:tls` in the same run. Progress on stderr, the result on stdout.
 *
 * Exit codes: 0 all measured, 1 something failed, 2 a wrong flag.
 */

import { type Arguments, type Mode, parseArguments } from './arguments.ts';
import { note, progress } from './progress.ts';
import { killAll } from './worker-process.ts';

/** What a run prints, and what it puts into the documentation. */
export interface Finding {
  readonly text: string;
  readonly markdown?: string;
  /** Part of it could not be measured. */
  readonly failed?: boolean;
}

async function main(): Promise<void> {
  const options = parseArguments(process.argv.slice(2));
  process.on('exit', killAll);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => process.exit(130));
  }
  if (options.writeDocs) {
    const { checkPlaces } = await import('./write-docs.ts');
    checkPlaces(options.modes);
  }
  for (const mode of options.modes) {
    try {
      await run(mode, options);
    } catch (error) {
      // The runs that follow have nothing to do with it.
      note(`bench: ${mode}: ${(error as Error).message}`);
      process.exitCode = 1;
    }
  }
}

async function run(mode: Mode, options: Arguments): Promise<void> {
  const { text, markdown, failed } = await runs[mode](options);
  progress('');
  process.stdout.write(`${text}\n`);
  if (failed === true) {
    process.exitCode = 1;
  }
  if (options.writeDocs && markdown !== undefined) {
    const { writeDocs } = await import('./write-docs.ts');
    writeDocs(mode, markdown);
  }
}

/** Each is loaded when it is run. */
const runs: Record<Mode, (options: Arguments) => Promise<Finding>> = {
  table: async (options) => (await import('./table.ts')).table(options),
  profile: async (options) => (await import('./table.ts')).profile(options),
  work: async (options) => (await import('./counts/work.ts')).work({ ...options, progress }),
  growth: async (options) => (await import('./growth/growth.ts')).growth(options),
  https: async (options) => (await import('./https/https.ts')).https(options),
  fairness: async (options) => (await import('./fairness/fairness.ts')).fairness(options),
  ring: async (options) => (await import('./ring/ring.ts')).ring(options),
  primitives: async (options) => (await import('./primitives.ts')).primitives(options),
};

await main();
