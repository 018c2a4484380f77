/** The bench's command line. */

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { scenarioNames } from './counts/names.ts';
import { rows } from './rows/rows.ts';

/** What is measured: the table beside `node:tls`, or one of the questions that have a run of their own. */
export type Mode = 'table' | 'profile' | 'work' | 'growth' | 'https' | 'fairness' | 'primitives' | 'ring';

export interface Arguments {
  /** In the order in which they run. */
  readonly modes: readonly Mode[];
  readonly quick: boolean;
  readonly json: boolean;
  readonly only: readonly string[] | undefined;
  readonly rounds: number | undefined;
  readonly cross: boolean;
  readonly same: boolean;
  readonly writeDocs: boolean;
  readonly instructions: boolean;
  /** A file; true for the baseline. */
  readonly compare: string | boolean;
  readonly saveBaseline: boolean;
  readonly members: number | undefined;
  readonly budgetMs: number | undefined;
}

type Given = Omit<Arguments, 'modes'> & Partial<Record<Mode | 'all', boolean>>;

/** Ends the process: 0 after `--help`, 2 for a wrong flag. */
export function parseArguments(argv: readonly string[]): Arguments {
  const program = new Command('bench')
    .description('Measures Mayfly beside node:tls in the same run, client and server in processes of their own.')
    .usage('[options]')
    .helpOption('--help', 'show this help')
    .option('--quick', 'end within 50 seconds, with the rows that matter most (none of TLS 1.2)', false)
    .option('--json', 'print one JSON document on stdout instead of a table', false)
    .option(
      '--only <name>',
      `measure this row only (may be repeated): ${rows.map((row) => row.name).join(', ')}; with --work: ${scenarioNames.join(', ')}`,
      collect,
    )
    .option('--rounds <n>', 'rounds per row and subject (default: 5, quick: 6)', rounds)
    .option(
      '--profile',
      'write CPU profiles of our client and server for each row (one minute), and list where the time goes',
      false,
    )
    .option('--cross', 'with --quick too: measure each end apart, against the same peer', false)
    .option('--same', 'run node:tls as both subjects: how far from 1 the ratios lie by chance', false)
    .option('--work', 'count work and not time: calls of cryptography, allocations, actions', false)
    .option(
      '--compare [file]',
      'with --work: print what differs from the baseline, or from a file of --work --json',
      false,
    )
    .option('--save-baseline', 'with --work: make this the baseline of this version of Node', false)
    .option('--instructions', 'with --work: count instructions too, under valgrind (two minutes)', false)
    .option('--growth', 'how cost grows with connections, sessions, keys, certificates, record sizes, workers', false)
    .option('--https', 'requests per second beside node:https, node:http2, nginx and HAProxy (wrk, h2load)', false)
    .option('--fairness', 'latency of a living connection under a flood of handshakes', false)
    .option('--primitives', 'measure the cryptographic primitives, and the floor that they set', false)
    .option('--ring', 'what the ring of a fleet costs by its members, and how soon it agrees', false)
    .option('--members <n>', 'with --ring: so many, instead of 10, 100 and 512', members)
    .option('--all', 'the table, then all of the above but the ring', false)
    .option('--write-docs', 'put the result into docs/performance.md, or docs/fleet.md', false)
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
  const given = program.opts<Given>();
  const modes = given.all === true ? ALL_MODES : modesOf(given);
  checkTogether(given, modes);
  return { ...given, modes };
}

function modesOf(given: Given): readonly Mode[] {
  const named = MODES.filter((mode) => given[mode] === true);
  return named.length === 0 ? ['table'] : named;
}

function checkTogether(given: Given, modes: readonly Mode[]): void {
  if (given.cross && given.same) {
    refuse('--cross and --same exclude each other');
  }
  if (given.json && modes.length > 1) {
    refuse('--json prints one document: give one of the runs');
  }
  const forWork = given.instructions || given.compare !== false || given.saveBaseline;
  if (forWork && !modes.includes('work')) {
    refuse('--compare, --save-baseline and --instructions go with --work');
  }
  if (given.members !== undefined && !modes.includes('ring')) {
    refuse('--members goes with --ring');
  }
  const names: readonly string[] = modes.includes('work') ? scenarioNames : rows.map(({ name }) => name);
  const unknown = given.only?.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    refuse(`--only ${unknown}: there is none of this name; there are ${names.join(', ')}`);
  }
}

function refuse(why: string): never {
  process.stderr.write(`bench: ${why}\n`);
  process.exit(2);
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

function rounds(value: string): number {
  return wholeNumber(value, 1, 1000);
}

/** A ring of one has nobody to agree with; 512 instances are as many as there may be. */
function members(value: string): number {
  return wholeNumber(value, 2, 512);
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

const MODES: readonly Mode[] = ['table', 'profile', 'work', 'growth', 'https', 'fairness', 'primitives', 'ring'];
const ALL_MODES: readonly Mode[] = ['table', 'profile', 'primitives', 'fairness', 'https', 'growth', 'work'];
