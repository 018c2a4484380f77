/** The table for people and the document for programs. */

import Table from 'cli-table3';
import pc from 'picocolors';
import type { LedgerCost } from './ledger.ts';
import type { MachineFacts } from './machine.ts';
import type { Figures, Result } from './measure.ts';
import type { Row } from './rows/rows.ts';
import { significant } from './statistics.ts';
import type { TicketCost } from './tickets.ts';

/** A row that could not be measured. */
export interface Failure {
  readonly row: Row;
  readonly error: string;
}

export type Outcome = Result | Failure;

export interface Report {
  readonly machine: MachineFacts;
  readonly outcomes: readonly Outcome[];
  /** Undefined when not measured. */
  readonly tickets?: TicketCost;
  readonly ledger?: LedgerCost;
}

export function toJson(report: Report): string {
  const rows = report.outcomes.map((outcome) => {
    const { name, unit, goal } = outcome.row;
    if ('error' in outcome) {
      return { name, ours: null, nodeTls: null, ratio: null, unit, goal, error: outcome.error };
    }
    const { ours, nodeTls, ratio } = outcome;
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
    };
  });
  const tickets = report.tickets && { seal: significant(report.tickets.seal), open: significant(report.tickets.open) };
  return JSON.stringify({
    rows,
    tickets,
    ledger: report.ledger && roundedLedger(report.ledger),
    machine: report.machine,
  });
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
  const table = new Table({
    head: [
      'row',
      names.ours,
      names.nodeTls,
      'ratio',
      'goal',
      'spread',
      `client ${names.ours}/node`,
      `server ${names.ours}/node`,
    ],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const outcome of report.outcomes) {
    table.push('error' in outcome ? failedRow(outcome) : measuredRow(outcome));
  }
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, OpenSSL ${machine.openssl}, load ${machine.load}`,
    table.toString(),
    'ratio: above 1 = Mayfly is better. client, server: µs of CPU per unit at each end (memory: KiB; in brackets, heap and',
    'external alone). spread: (max − min) ÷ median over the rounds, ours and node:tls.',
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

function measuredRow({ row, ours, nodeTls, ratio }: Result): string[] {
  const both = (a: number, b: number): string => `${significant(a)} / ${significant(b)}`;
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

function failedRow({ row, error }: Failure): { colSpan?: number; content: string }[] {
  return [{ content: row.name }, { colSpan: 7, content: pc.red(error) }];
}

function colouredRatio(ratio: number, goal: number | undefined): string {
  const text = ratio.toFixed(2);
  if (goal !== undefined && ratio >= goal) {
    return pc.green(text);
  }
  return ratio >= 1 ? pc.yellow(text) : pc.red(text);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
