/** The tables for people, and those of the documentation; `report-json.ts` has the document for programs. */

import Table from 'cli-table3';
import pc from 'picocolors';
import type { EndRatio, Figures } from './figures.ts';
import { floorRatio } from './floor-ratio.ts';
import type { LedgerCost } from './ledger.ts';
import type { Limits } from './limits.ts';
import type { MachineFacts } from './machine.ts';
import type { Result } from './measure.ts';
import { roundedLedger } from './report-json.ts';
import type { Row } from './rows/rows.ts';
import { significant } from './statistics.ts';
import type { TicketCost } from './tickets.ts';

/** A row that was measured, with what its primitives cost. */
export interface Measured extends Result {
  readonly limits: Limits;
}

/** A row that could not be measured. */
export interface Failure {
  readonly row: Row;
  readonly error: string;
}

/** A row that does not apply here. */
export interface Skipped {
  readonly row: Row;
  readonly skipped: string;
}

export type Outcome = Measured | Failure | Skipped;

export interface Report {
  readonly machine: MachineFacts;
  readonly outcomes: readonly Outcome[];
  /** What could not be measured beside the rows. */
  readonly complaints: readonly string[];
  /** Undefined when not measured. */
  readonly tickets?: TicketCost;
  readonly ledger?: LedgerCost;
}

export function toText(report: Report, names: { readonly ours: string; readonly nodeTls: string }): string {
  const { machine } = report;
  const main = makeTable(['row', names.ours, names.nodeTls, 'ratio', 'goal', 'floor', 'of floor', 'spread']);
  for (const outcome of report.outcomes) {
    main.push('ratio' in outcome ? measuredRow(outcome) : unmeasuredRow(outcome));
  }
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, OpenSSL ${machine.openssl}, load ${machine.load}`,
    main.toString(),
    'ratio: above 1 = Mayfly is better. spread: (max − min) ÷ median over the rounds, ours and node:tls.',
    ...(report.outcomes.some(hasFloor) ? [FLOOR_LEGEND] : []),
    ...cpuTable(report, names),
    ...endsTable(report),
    ...limitsTable(report),
    ...report.complaints,
  ];
  if (report.tickets !== undefined) {
    lines.push(`tickets: seal ${significant(report.tickets.seal)} µs, open ${significant(report.tickets.open)} µs`);
  }
  if (report.ledger !== undefined) {
    const { secrets, silent, listening } = roundedLedger(report.ledger);
    const words = ({ kib, micros }: LedgerCost['silent']) => `${kib} KiB, ${micros} µs of CPU`;
    lines.push(
      `ledger: a full handshake makes ${secrets} secrets at both ends together; while nobody listens it takes ${words(silent)}; with`,
      `the ledger ${words(listening)} (KiB: allocated on the heap)`,
    );
  }
  return lines.join('\n');
}

function hasFloor(outcome: Outcome): boolean {
  return 'ratio' in outcome && outcome.floor !== undefined;
}

function cpuTable({ outcomes }: Report, names: { readonly ours: string }): string[] {
  const table = makeTable(['CPU per unit', '', `client ${names.ours}/node/floor`, `server ${names.ours}/node/floor`]);
  for (const outcome of outcomes) {
    if ('ratio' in outcome) {
      const { row, ours, nodeTls, floor } = outcome;
      const parties = floor === undefined ? [ours, nodeTls] : [ours, nodeTls, floor];
      const of = (pick: (figures: Figures) => number | undefined): string =>
        parties.map((figures) => significant(pick(figures) ?? 0)).join(' / ');
      const heap = ours.heap === undefined ? '' : ` (${of((figures) => figures.heap)})`;
      const unit = row.workload === 'idle' ? 'KiB' : `µs per ${row.per}`;
      table.push([row.name, unit, of(({ client }) => client) + heap, of(({ server }) => server)]);
    }
  }
  return table.length === 0 ? [] : [table.toString(), 'memory: in brackets, heap and external alone.'];
}

function endsTable({ outcomes }: Report): string[] {
  const crossed = outcomes.filter((outcome): outcome is Measured => 'ends' in outcome && outcome.ends !== undefined);
  if (crossed.length === 0) {
    return [];
  }
  const table = makeTable([
    'one end alone',
    'client ours/node',
    'ratio',
    'server ours/node',
    'ratio',
    'usual code',
    'ratio',
  ]);
  for (const { row, ends, usual } of crossed) {
    const of = (end: EndRatio | undefined): [string, string] =>
      end === undefined ? ['', ''] : [both(end.ours, end.nodeTls), end.ratio.toFixed(2)];
    table.push([
      row.name,
      ...of(ends?.client),
      ...of(ends?.server),
      usual === undefined ? '' : `${both(usual.ours.value, usual.nodeTls.value)} ${row.unit}`,
      usual === undefined ? '' : usual.ratio.toFixed(2),
    ]);
  }
  return [
    table.toString(),
    'one end alone: CPU µs per unit, the peer being node:tls for both. usual code: `ca` given on each connect.',
  ];
}

function limitsTable({ outcomes }: Report): string[] {
  const table = makeTable(['time in primitives', 'of', 'µs per unit', 'share of ours', 'share of node:tls']);
  for (const outcome of outcomes) {
    if ('ratio' in outcome) {
      for (const share of sharesOf(outcome)) {
        table.push([outcome.row.name, ...share]);
      }
    }
  }
  return table.length === 0 ? [] : [table.toString(), 'both ends together; primitives measured alone in the same run.'];
}

/** What, µs, and the two shares. */
function sharesOf({ ours, nodeTls, limits }: Measured): [string, string, string, string][] {
  return limits.map(({ what, micros }) => [
    what,
    String(significant(micros)),
    percent(micros / (ours.client + ours.server)),
    percent(micros / (nodeTls.client + nodeTls.server)),
  ]);
}

/** For docs/performance.md. */
export function toMarkdown(report: Report): string {
  const lines = [
    '| row | ours | `node:tls` | ratio | goal | floor | of floor | client alone | server alone | usual code | time in primitives |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
  ];
  for (const outcome of report.outcomes) {
    const { name, unit, goal } = outcome.row;
    if (!('ratio' in outcome)) {
      lines.push(
        `| \`${name}\` | ${'skipped' in outcome ? outcome.skipped : outcome.error} | | | ${goal} | | | | | | |`,
      );
      continue;
    }
    const { ours, nodeTls, ratio, ends, usual } = outcome;
    const limit = floorRatio(outcome);
    const reached = goal !== undefined && ratio >= goal ? `**${ratio.toFixed(2)}**` : ratio.toFixed(2);
    const shares = sharesOf(outcome).map(([what, , share]) => `${share} (${what})`);
    lines.push(
      `| \`${name}\` | ${significant(ours.value)} ${unit} | ${significant(nodeTls.value)} ${unit} | ${reached} | ${goalText(outcome)} | ${limit?.ratio.toFixed(2) ?? ''} | ${limit === undefined ? '' : percent(limit.share)} | ` +
        `${ends?.client.ratio.toFixed(2) ?? ''} | ${ends?.server.ratio.toFixed(2) ?? ''} | ${usual?.ratio.toFixed(2) ?? ''} | ${shares.join('; ')} |`,
    );
  }
  if (report.outcomes.some(hasFloor)) {
    lines.push('', FLOOR_LEGEND);
  }
  return [...lines, ...report.complaints.map((complaint) => `\n${complaint}`)].join('\n');
}

function makeTable(head: readonly string[]): InstanceType<typeof Table> {
  const colAligns = head.map((_, index) => (index === 0 ? 'left' : 'right') as 'left' | 'right');
  return new Table({ head: [...head], colAligns, style: { head: [], border: [], compact: true } });
}

function measuredRow(outcome: Measured): string[] {
  const { row, ours, nodeTls, ratio } = outcome;
  const limit = floorRatio(outcome);
  return [
    `${row.name}\n${pc.dim(wrap(row.what, NAME_WIDTH))}`,
    `${significant(ours.value, 4)} ${row.unit}`,
    `${significant(nodeTls.value, 4)} ${row.unit}`,
    colouredRatio(ratio, row.goal),
    goalText(outcome),
    limit?.ratio.toFixed(2) ?? '',
    limit === undefined ? '' : percent(limit.share),
    `${percent(ours.spread)} / ${percent(nodeTls.spread)}`,
  ];
}

function unmeasuredRow(outcome: Failure | Skipped): { colSpan?: number; content: string }[] {
  const why = 'skipped' in outcome ? pc.yellow(outcome.skipped) : pc.red(outcome.error);
  return [{ content: outcome.row.name }, { colSpan: 7, content: why }];
}

function colouredRatio(ratio: number, goal: number | undefined): string {
  const text = ratio.toFixed(2);
  if (goal !== undefined && ratio >= goal) {
    return pc.green(text);
  }
  return ratio >= 1 ? pc.yellow(text) : pc.red(text);
}

function goalText(outcome: Measured): string {
  const { goal } = outcome.row;
  if (goal === undefined) {
    return '';
  }
  return floorRatio(outcome)?.outOfReach === true ? `${goal} ${OUT_OF_REACH}` : String(goal);
}

/** In lines of at most `width`, at blanks. */
function wrap(text: string, width: number): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const longer = `${lines[lines.length - 1]} ${word}`.trim();
    if (longer.length > width) {
      lines.push(word);
    } else {
      lines[lines.length - 1] = longer;
    }
  }
  return lines.join('\n');
}

function both(a: number, b: number): string {
  return `${significant(a)} / ${significant(b)}`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** Characters: room for the longest name of a row, so that the table fits a terminal of 120. */
const NAME_WIDTH = 40;
const OUT_OF_REACH = '†';
const FLOOR_LEGEND =
  'floor: what does nothing but the unavoidable calls of node:crypto and net ÷ node:tls, the highest ratio there can be; of\n' +
  `floor: how near ours comes to it. ${OUT_OF_REACH} after a goal: above the floor, out of reach with node:crypto.`;
