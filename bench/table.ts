/** The table beside `node:tls`: the bench's main run. */

import { mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Arguments } from './arguments.ts';
import type { Engines } from './cast.ts';
import { CastPool } from './cast-pool.ts';
import { makeCertificate } from './certificate.ts';
import { nodeHasHybrid } from './engine.ts';
import { floorRatio } from './floor-ratio.ts';
import type { LedgerCost } from './ledger.ts';
import { LimitMeter } from './limits.ts';
import { machineFacts } from './machine.ts';
import type { Finding } from './main.ts';
import { type MeasureOptions, measure } from './measure.ts';
import type { Role } from './messages.ts';
import { type ProfileSummary, profileText, summariseProfile } from './profile.ts';
import { note, progress } from './progress.ts';
import { type Outcome, toMarkdown, toText } from './report.ts';
import { toJson } from './report-json.ts';
import { type Row, rows } from './rows/rows.ts';
import type { TicketCost } from './tickets.ts';
import { killAll } from './worker-process.ts';

export function table(options: Arguments): Promise<Finding> {
  return measureTable(options, undefined);
}

/** The same with CPU profiles of ours, in less time and without what needs no profile. */
export async function profile(options: Arguments): Promise<Finding> {
  const path = profilePaths();
  const { profiles, ...finding } = await measureTable({ ...options, cross: false }, path);
  for (const { name, text } of profiles) {
    note(`\n${name}\n${text}`);
  }
  const lines = profiles.map(({ row, role, summary }) => `| \`${row}\` | ${role} | ${partsText(summary)} |`);
  return {
    ...finding,
    markdown: ['| row | end of ours | where its time goes |', '|---|---|---|', ...lines].join('\n'),
  };
}

async function measureTable(options: Arguments, profilePath: ProfilePath | undefined): Promise<Measurement> {
  const begin = performance.now();
  const machine = machineFacts();
  // Of a profile, and of two subjects that are the same, the floor says nothing.
  const floor = options.same || profilePath !== undefined ? undefined : 'floor';
  const engines: Engines = { ours: options.same ? 'node' : 'ours', nodeTls: 'node', floor };
  const chosen = rows.filter((row) => options.only?.includes(row.name) ?? (row.quick || !options.quick));
  const budgetMs = budgetOf(options, profilePath !== undefined);
  const hardStop = setHardStop(
    budgetMs + (options.quick && options.budgetMs === undefined ? QUICK_GRACE_MS : GRACE_MS),
  );
  const casts = new CastPool({ engines, certificate: makeCertificate() });
  const meter = new LimitMeter();
  const outcomes: Outcome[] = [];
  let weightLeft = chosen.reduce((sum, row) => sum + row.weight, 0);
  for (const row of chosen) {
    const outcome = await measureOne(row, meter, {
      casts,
      rounds: options.rounds ?? (options.quick ? QUICK_ROUNDS : ROUNDS),
      budgetMs: (budgetMs - (performance.now() - begin)) * (row.weight / weightLeft),
      roundMs: ROUND_MS,
      whole: !options.quick && options.budgetMs === undefined,
      cross: (options.cross || !options.quick) && !options.same,
      progress,
      profilePath,
    });
    weightLeft -= row.weight;
    outcomes.push(hardStop.passed && 'error' in outcome ? { row, error: 'out of time' } : outcome);
    tell(outcomes[outcomes.length - 1]);
  }
  casts.drop();
  clearTimeout(hardStop.timer);
  const report = {
    machine,
    outcomes,
    complaints: [...meter.complaints],
    tickets: await ticketCost(options),
    ledger: await ledgerCost(options),
  };
  const names = { ours: options.same ? 'node:tls' : 'ours', nodeTls: 'node:tls' };
  return {
    text: options.json ? toJson(report) : toText(report, names),
    markdown: toMarkdown(report),
    failed: outcomes.some((outcome) => 'error' in outcome),
    profiles: profilePath === undefined ? [] : readProfiles(outcomes, profilePath),
  };
}

interface Measurement extends Finding {
  readonly profiles: readonly Profile[];
}

interface Profile {
  readonly row: string;
  readonly role: Role;
  /** Of the file, from the current folder. */
  readonly name: string;
  readonly summary: ProfileSummary;
  readonly text: string;
}

type ProfilePath = (row: string, role: Role) => string;

async function measureOne(row: Row, meter: LimitMeter, options: MeasureOptions): Promise<Outcome> {
  if (row.pin === 'hybrid' && !nodeHasHybrid()) {
    return { row, skipped: `node:tls of Node ${process.version} does not know X25519MLKEM768 (OpenSSL 3.5 does)` };
  }
  try {
    // Before the workers have anything to do, which would disturb it.
    const begin = performance.now();
    const limits = await meter.of(row);
    const budgetMs = options.budgetMs - (performance.now() - begin);
    return { ...(await measure(row, { ...options, budgetMs })), limits };
  } catch (error) {
    options.casts.drop();
    return { row, error: (error as Error).message };
  }
}

function budgetOf({ budgetMs, quick, rounds }: Arguments, isProfile: boolean): number {
  if (budgetMs !== undefined) {
    return budgetMs;
  }
  if (quick) {
    return QUICK_BUDGET_MS;
  }
  if (rounds !== undefined) {
    return Number.POSITIVE_INFINITY;
  }
  return isProfile ? PROFILE_BUDGET_MS : BUDGET_MS;
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

function profilePaths(): ProfilePath {
  const directory = join(process.cwd(), 'profiles');
  mkdirSync(directory, { recursive: true });
  return (row, role) => join(directory, `${row.replaceAll(' ', '_')}.${role}.cpuprofile`);
}

function readProfiles(outcomes: readonly Outcome[], path: ProfilePath): Profile[] {
  const profiled = outcomes.filter((outcome) => 'ratio' in outcome && outcome.row.workload !== 'idle');
  return profiled.flatMap(({ row }) =>
    (['client', 'server'] as const).map((role) => {
      const file = path(row.name, role);
      const summary = summariseProfile(file);
      return { row: row.name, role, name: relative(process.cwd(), file), summary, text: profileText(summary) };
    }),
  );
}

function partsText({ parts }: ProfileSummary): string {
  return parts
    .slice(0, 7)
    .map(({ name, share }) => `${Math.round(100 * share)} % ${name}`)
    .join(', ');
}

function tell(outcome: Outcome): void {
  if ('ratio' in outcome) {
    const limit = floorRatio(outcome);
    const floor = limit === undefined ? '' : `, floor ${limit.ratio.toFixed(2)}`;
    note(`${outcome.row.name}: ratio ${outcome.ratio.toFixed(2)}${floor}`);
  } else {
    const why = 'skipped' in outcome ? `left out: ${outcome.skipped}` : `failed: ${outcome.error}`;
    note(`${outcome.row.name}: ${why}`);
  }
}

const ROUNDS = 5;
const ROUND_MS = 1500;
/** All rows, when --rounds does not ask for more. */
const BUDGET_MS = 270_000;
const PROFILE_BUDGET_MS = 45_000;
const QUICK_ROUNDS = 6;
/** Leaves the rest of 50 s to the build before the run and to a loaded machine. */
const QUICK_BUDGET_MS = 38_000;
/** Beyond the budget, for a machine under load. A budget set by hand is a wish, not a limit. */
const QUICK_GRACE_MS = 4_000;
const GRACE_MS = 60_000;
