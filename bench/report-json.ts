/** The bench's document for programs. */

import type { EndRatio, Figures } from './figures.ts';
import { floorRatio } from './floor-ratio.ts';
import type { LedgerCost } from './ledger.ts';
import type { Result } from './measure.ts';
import type { Outcome, Report } from './report.ts';
import { significant } from './statistics.ts';

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
  const { ours, nodeTls, floor, ratio, ends, usual, limits } = outcome;
  return {
    name,
    ours: significant(ours.value, 4),
    nodeTls: significant(nodeTls.value, 4),
    ratio: significant(ratio),
    unit,
    goal,
    floor: floorOf(outcome),
    cpuRatio: significant((nodeTls.client + nodeTls.server) / (ours.client + ours.server)),
    spread: {
      ours: significant(ours.spread, 2),
      nodeTls: significant(nodeTls.spread, 2),
      floor: floor && significant(floor.spread, 2),
    },
    ends: { ours: endsOf(ours), nodeTls: endsOf(nodeTls), floor: floor && endsOf(floor) },
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

function floorOf(result: Result): object | undefined {
  const { floor, nodeTls } = result;
  const limit = floorRatio(result);
  return (
    floor &&
    limit && {
      value: significant(floor.value, 4),
      ratio: significant(limit.ratio),
      ofFloor: significant(limit.share),
      goalOutOfReach: limit.outOfReach,
      cpuRatio: significant((nodeTls.client + nodeTls.server) / (floor.client + floor.server)),
    }
  );
}

function roundedEnd({ ours, nodeTls, ratio, rate }: EndRatio): EndRatio {
  return {
    ours: significant(ours),
    nodeTls: significant(nodeTls),
    ratio: significant(ratio),
    rate: significant(rate, 4),
  };
}

export function roundedLedger({ secrets, silent, listening }: LedgerCost): LedgerCost {
  const rounded = ({ kib, micros }: LedgerCost['silent']) => ({ kib: significant(kib), micros: significant(micros) });
  return { secrets, silent: rounded(silent), listening: rounded(listening) };
}

function endsOf(figures: Figures): Record<string, number> {
  const ends = { client: significant(figures.client), server: significant(figures.server) };
  return figures.heap === undefined ? ends : { ...ends, heap: significant(figures.heap) };
}
