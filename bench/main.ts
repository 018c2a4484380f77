/**
 * `npm run bench`: Mayfly beside `node:tls` in the same run. Progress on stderr, the result on stdout.
 *
 * Exit codes: 0 all rows measured, 1 a row failed, 2 a wrong flag.
 */

import { mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type Arguments, parseArguments } from './arguments.ts';
import { makeCertificate } from './certificate.ts';
import type { LedgerCost } from './ledger.ts';
import { machineFacts } from './machine.ts';
import { measure } from './measure.ts';
import { killAll } from './pair.ts';
import { PairPool, type Subjects } from './pair-pool.ts';
import { topFunctions } from './profile.ts';
import { type Failure, type Outcome, toJson, toText } from './report.ts';
import { type Row, rows } from './rows/rows.ts';
import type { TicketCost } from './tickets.ts';

const begin = performance.now();

async function main(): Promise<void> {
  const options = parseArguments(process.argv.slice(2));
  process.on('exit', killAll);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => process.exit(130));
  }
  if (options.primitives) {
    const { primitives } = await import('./primitives.ts');
    process.stdout.write(`${await primitives({ json: options.json })}\n`);
    return;
  }
  await bench(options);
}

async function bench(options: Arguments): Promise<void> {
  const machine = machineFacts();
  const certificate = makeCertificate();
  const profilePath = options.profile ? profilePaths() : undefined;
  const variants = subjectsOf(options);
  const chosen = rows.filter((row) => options.only?.includes(row.name) ?? (row.quick || !options.quick));
  const budgetMs = options.budgetMs ?? (options.quick ? QUICK_BUDGET_MS : Number.POSITIVE_INFINITY);
  const hardStop = setHardStop(budgetMs + (options.budgetMs === undefined ? QUICK_GRACE_MS : GRACE_MS));

  const outcomes: Outcome[] = [];
  let weightLeft = variants.length * totalWeight(chosen);
  for (const variant of variants) {
    const pairs = new PairPool(variant.subjects, certificate);
    for (const plain of chosen) {
      const row = { ...plain, name: plain.name + variant.suffix };
      const share = (budgetMs - (performance.now() - begin)) * (row.weight / weightLeft);
      weightLeft -= row.weight;
      const outcome = await measure(row, {
        pairs,
        rounds: options.rounds ?? (options.quick ? QUICK_ROUNDS : ROUNDS),
        budgetMs: share,
        roundMs: ROUND_MS,
        progress,
        profilePath,
      }).catch((error: Error): Failure => {
        pairs.drop();
        return { row, error: hardStop.passed ? 'out of time' : error.message };
      });
      outcomes.push(outcome);
      tell(outcome);
    }
    pairs.drop();
  }
  clearTimeout(hardStop.timer);
  progress('');
  if (profilePath !== undefined) {
    tellProfiles(outcomes, profilePath);
  }
  const tickets = await ticketCost(options);
  const report = { machine, outcomes, tickets, ledger: await ledgerCost(options) };
  const names = { ours: options.same ? 'node:tls' : 'ours', nodeTls: 'node:tls' };
  process.stdout.write(`${options.json ? toJson(report) : toText(report, names)}\n`);
  if (outcomes.some((outcome) => 'error' in outcome)) {
    process.exitCode = 1;
  }
}

function totalWeight(chosen: readonly Row[]): number {
  return chosen.reduce((sum, row) => sum + row.weight, 0);
}

interface Variant {
  readonly suffix: string;
  readonly subjects: Subjects;
}

function subjectsOf(options: Arguments): Variant[] {
  const node = { client: 'node', server: 'node' } as const;
  if (options.same) {
    return [{ suffix: '', subjects: { ours: node, nodeTls: node } }];
  }
  if (options.cross) {
    return [
      { suffix: ' (server)', subjects: { ours: { client: 'node', server: 'ours' }, nodeTls: node } },
      { suffix: ' (client)', subjects: { ours: { client: 'ours', server: 'node' }, nodeTls: node } },
    ];
  }
  return [{ suffix: '', subjects: { ours: { client: 'ours', server: 'ours' }, nodeTls: node } }];
}

/** A bounded run ends even when a worker hangs: its row, and those after it, are reported as out of time. */
function setHardStop(limitMs: number): { passed: boolean; timer?: NodeJS.Timeout } {
  const stop: { passed: boolean; timer?: NodeJS.Timeout } = { passed: false };
  if (Number.isFinite(limitMs)) {
    const stopAll = (): void => {
      stop.passed = true;
      killAll();
      // Rows that follow start workers of their own: end these as well.
      stop.timer = setTimeout(stopAll, 50);
    };
    stop.timer = setTimeout(stopAll, limitMs);
  }
  return stop;
}

async function ticketCost(options: Arguments): Promise<TicketCost | undefined> {
  if (options.same || (options.only !== undefined && !options.only.some((name) => name.includes('resumed')))) {
    return undefined;
  }
  const { measureTickets } = await import('./tickets.ts');
  return measureTickets();
}

async function ledgerCost(options: Arguments): Promise<LedgerCost | undefined> {
  if (options.same || (options.only !== undefined && !options.only.some((name) => name.includes('full')))) {
    return undefined;
  }
  const { measureLedger } = await import('./ledger.ts');
  return measureLedger();
}

function profilePaths(): (row: string, role: 'client' | 'server') => string {
  const directory = join(process.cwd(), 'profiles');
  mkdirSync(directory, { recursive: true });
  return (row, role) => join(directory, `${row.replaceAll(' ', '_')}.${role}.cpuprofile`);
}

function tellProfiles(outcomes: readonly Outcome[], path: ReturnType<typeof profilePaths>): void {
  for (const outcome of outcomes) {
    if ('error' in outcome || outcome.row.workload === 'idle') {
      continue;
    }
    for (const role of ['client', 'server'] as const) {
      const file = path(outcome.row.name, role);
      process.stderr.write(`\n${relative(process.cwd(), file)}\n${topFunctions(file)}\n`);
    }
  }
}

function tell(outcome: Outcome): void {
  progress('');
  const text = 'error' in outcome ? `failed: ${outcome.error}` : `ratio ${outcome.ratio.toFixed(2)}`;
  process.stderr.write(`${outcome.row.name}: ${text}\n`);
}

/** One line that is written over on a terminal; nothing elsewhere, where it would only fill a log. */
function progress(text: string): void {
  if (process.stderr.isTTY) {
    process.stderr.write(`\r\x1b[2K${text}`);
  }
}

const ROUNDS = 7;
const ROUND_MS = 1500;
const QUICK_ROUNDS = 8;
/** Leaves the rest of 50 s to the build before the run and to a loaded machine. */
const QUICK_BUDGET_MS = 38_000;
/** Beyond the budget, for a machine under load. A budget set by hand is a wish, not a limit. */
const QUICK_GRACE_MS = 4_000;
const GRACE_MS = 60_000;

await main();
