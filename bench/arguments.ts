/** The bench's command line. */

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { rows } from './rows/rows.ts';

export interface Arguments {
  readonly quick: boolean;
  readonly json: boolean;
  readonly only: readonly string[] | undefined;
  readonly rounds: number | undefined;
  readonly profile: boolean;
  readonly primitives: boolean;
  readonly cross: boolean;
  readonly same: boolean;
  readonly budgetMs: number | undefined;
}

/** Ends the process: 0 after `--help`, 2 for a wrong flag. */
export function parseArguments(argv: readonly string[]): Arguments {
  const program = new Command('bench')
    .description('Measures Mayfly beside node:tls in the same run, client and server in processes of their own.')
    .usage('[options]')
    .helpOption('--help', 'show this help')
    .option('--quick', 'end within 50 seconds, with the rows that matter most (none of TLS 1.2)', false)
    .option('--json', 'print one JSON document on stdout instead of a table', false)
    .option('--only <name>', `measure this row only (may be repeated): ${rows.map((row) => row.name).join(', ')}`, only)
    .option('--rounds <n>', 'rounds per row and subject (default: 7, quick: 8)', rounds)
    .option(
      '--profile',
      'write CPU profiles of our client and server for each row, and list where the time goes',
      false,
    )
    .option('--primitives', 'measure the cryptographic primitives instead, and the floor that they set', false)
    .option('--cross', 'measure each end of ours apart, against a node:tls peer', false)
    .option('--same', 'run node:tls as both subjects: how far from 1 the ratios lie by chance', false)
    .addOption(new Option('--budget-ms <n>', 'milliseconds for all rows together').argParser(budget).hideHelp())
    .allowExcessArguments(false)
    .configureOutput({ outputError: (text, write) => write(`bench: ${text.replace(/^error: /, '')}`) })
    .showHelpAfterError('Try --help.')
    .exitOverride();
  try {
    program.parse([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exit(error.exitCode === 0 ? 0 : 2);
    }
    throw error;
  }
  const options = program.opts<Arguments>();
  if (options.cross && options.same) {
    process.stderr.write('bench: --cross and --same exclude each other\n');
    process.exit(2);
  }
  return options;
}

function only(value: string, before: readonly string[] | undefined): readonly string[] {
  if (!rows.some((row) => row.name === value)) {
    throw new InvalidArgumentError(`there is no such row; the rows are ${rows.map((row) => row.name).join(', ')}.`);
  }
  return [...(before ?? []), value];
}

function rounds(value: string): number {
  return wholeNumber(value, 1, 1000);
}

function budget(value: string): number {
  return wholeNumber(value, 100, 3_600_000);
}

function wholeNumber(value: string, min: number, max: number): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < min || number > max) {
    throw new InvalidArgumentError(`expected a whole number from ${min} to ${max}.`);
  }
  return number;
}
