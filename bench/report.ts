/** The tables for people, the document for programs, and the tables of the documentation. */

import Table from 'cli-table3';
import pc from 'picocolors';
import type { EndRatio, Figures } from './figures.ts';
import type { LedgerCost } from './ledger.ts';
import type { Limits } from './limits.ts';
import type { MachineFacts } from './machine.ts';
import type { Result } from './measure.ts';
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

export function toJson(report: Report): string {
  const tickets = report.tickets && { seal: significant(report.tickets.seal), open: significant(report.tickets.open) };
  return JSON.stringify({
    rows: report.outcomes.map(jsonRow),
    tickets,
    ledger: report.ledger && roundedLedger(report.ledger),
    machine: report.machine,
    complaints: report.complaints,
  });
}

function jsonRow(outcome: Outcome): object {
  const { name, unit, goal } = outcome.row;
  if (!('ratio' in outcome)) {
    return { name, ours: null, nodeTls: null, ratio: null, unit, goal, ...outcome, row: undefined };
  }
  const { ours, nodeTls, ratio, ends, usual, limits } = outcome;
  return {
    name,
    ours: significant(ours.value, 4),
    nodeTls: significant(nodeTls.value, 4),
    ratio: significant(ratio),
    unit,
    goal,
    cpuRatio: significant((nodeTls.client + nodeTls.server) / (ours.client + ours.server)),
    spread: { ours: significant(ours.spread, 2), nodeTls: significant(nodeTls.spread, 2) },
    ends: { ours: endsOf(ours), nodeTls: endsOf(nodeTls) },
    samePeer: ends && { client: roundedEnd(ends.client), server: roundedEnd(ends.server) },
    usual: usual && {
      ours: significant(usual.ours.value, 4),
      nodeTls: significant(usual.nodeTls.value, 4),
      ratio: significant(usual.ratio),
    },
    primitives: limits.map(({ what, micros }) => ({
      what,
      micros: significant(micros),
      shareOfOurs: significant(micros / (ours.client + ours.server)),
      shareOfNodeTls: significant(micros / (nodeTls.client + nodeTls.server)),
    })),
  };
}

function roundedEnd({ ours, nodeTls, ratio, rate }: EndRatio): EndRatio {
  return {
    ours: significant(ours),
    nodeTls: significant(nodeTls),
    ratio: significant(ratio),
    rate: significant(rate, 4),
  };
}

function roundedLedger({ secrets, silent, listening }: LedgerCost): LedgerCost {
  const rounded = ({ kib, micros }: LedgerCost['silent']) => ({ kib: significant(kib), micros: significant(micros) });
  return { secrets, silent: rounded(silent), listening: rounded(listening) };
}

function endsOf(figures: Figures): Record<string, number> {
  const ends = { client: significant(figures.client), server: significant(figures.server) };
  return figures.heap === undefined ? ends : { ...ends, heap: significant(figures.heap) };
}

export function toText(report: Report, names: { readonly ours: string; readonly nodeTls: string }): string {
  const { machine } = report;
  const main = makeTable([
    'row',
    names.ours,
    names.nodeTls,
    'ratio',
    'goal',
    'spread',
    `client ${names.ours}/node`,
    `server ${names.ours}/node`,
  ]);
  for (const outcome of report.outcomes) {
    main.push('ratio' in outcome ? measuredRow(outcome) : unmeasuredRow(outcome));
  }
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, OpenSSL ${machine.openssl}, load ${machine.load}`,
    main.toString(),
    'ratio: above 1 = Mayfly is better. client, server: µs of CPU per unit at each end (memory: KiB; in brackets, heap and',
    'external alone). spread: (max − min) ÷ median over the rounds, ours and node:tls.',
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
    '| row | ours | `node:tls` | ratio | goal | client alone | server alone | usual code | time in primitives |',
    '|---|---|---|---|---|---|---|---|---|',
  ];
  for (const outcome of report.outcomes) {
    const { name, unit, goal } = outcome.row;
    if (!('ratio' in outcome)) {
      lines.push(`| \`${name}\` | ${'skipped' in outcome ? outcome.skipped : outcome.error} | | | ${goal} | | | | |`);
      continue;
    }
    const { ours, nodeTls, ratio, ends, usual } = outcome;
    const reached = goal !== undefined && ratio >= goal ? `**${ratio.toFixed(2)}**` : ratio.toFixed(2);
    const shares = sharesOf(outcome).map(([what, , share]) => `${share} (${what})`);
    lines.push(
      `| \`${name}\` | ${significant(ours.value)} ${unit} | ${significant(nodeTls.value)} ${unit} | ${reached} | ${goal} | ` +
        `${ends?.client.ratio.toFixed(2) ?? ''} | ${ends?.server.ratio.toFixed(2) ?? ''} | ${usual?.ratio.toFixed(2) ?? ''} | ${shares.join('; ')} |`,
    );
  }
  return [...lines, ...report.complaints.map((complaint) => `\n${complaint}`)].join('\n');
}

function makeTable(head: readonly string[]): InstanceType<typeof Table> {
  const colAligns = head.map((_, index) => (index === 0 ? 'left' : 'right') as 'left' | 'right');
  return new Table({ head: [...head], colAligns, style: { head: [], border: [], compact: true } });
}

function measuredRow({ row, ours, nodeTls, ratio }: Measured): string[] {
  const heap = ours.heap === undefined || nodeTls.heap === undefined ? '' : ` (${both(ours.heap, nodeTls.heap)})`;
  return [
    `${row.name}\n${pc.dim(row.what)}`,
    `${significant(ours.value, 4)} ${row.unit}`,
    `${significant(nodeTls.value, 4)} ${row.unit}`,
    colouredRatio(ratio, row.goal),
    row.goal === undefined ? '' : String(row.goal),
    `${percent(ours.spread)} / ${percent(nodeTls.spread)}`,
    both(ours.client, nodeTls.client) + heap,
    both(ours.server, nodeTls.server),
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

function both(a: number, b: number): string {
  return `${significant(a)} / ${significant(b)}`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
