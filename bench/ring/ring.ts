/**
 * `--ring`: what a ring of 10, 100 and 512 members costs, in bytes and in time, and how soon it agrees. Sizes and times are
 * of real records with real cryptography; network and clocks of the agreement are simulated.
 */

import type { RingKem } from '../../src/fleet/configuration.ts';
import { MAX_INSTANCES } from '../../src/fleet/store.ts';
import { note } from '../progress.ts';
import { type Convergence, simulateConvergence } from './convergence.ts';
import { measureCost, type RingCost } from './cost.ts';

export interface RingBenchOptions {
  readonly json: boolean;
  /** Instead of the usual ones. */
  readonly members?: number;
}

export interface RingFinding {
  readonly text: string;
  readonly markdown: string;
}

export function ring(options: RingBenchOptions): RingFinding {
  const sizes = options.members === undefined ? SIZES : [options.members];
  const costs: RingCost[] = [];
  const convergence: Convergence[] = [];
  for (const members of sizes) {
    for (const kem of ['x-wing', 'x25519'] as const) {
      note(`${members} members, ${kem} …`);
      costs.push(measureCost(members, kem));
    }
  }
  // Beyond what a ring may have: what the limit spares.
  const beyond = options.members === undefined ? extrapolate(costs, BEYOND, 'x-wing') : undefined;
  for (const members of options.members === undefined ? sizes.filter((size) => size <= SIMULATED) : sizes) {
    note(`${members} members agree${members > 200 ? ', which takes minutes to simulate' : ''} …`);
    convergence.push(simulateConvergence(members));
  }
  const all = beyond === undefined ? costs : [...costs, beyond];
  const markdown = `${costTable(all)}\n\n${convergenceTable(convergence)}`;
  const json = JSON.stringify({ costs, ...(beyond === undefined ? {} : { computed: beyond }), convergence }, null, 2);
  return { text: options.json ? json : markdown, markdown };
}

/** All of it grows with the members, and what all read together with their square. */
function extrapolate(costs: readonly RingCost[], members: number, kem: RingKem): RingCost {
  const [a, b] = costs.filter((cost) => cost.kem === kem).slice(-2);
  const line = (value: (cost: RingCost) => number) =>
    value(a) + ((value(b) - value(a)) * (members - a.members)) / (b.members - a.members);
  const heartbeatBytes = members * b.memberRecord;
  return {
    members,
    kem,
    memberRecord: b.memberRecord,
    epochRecord: line((cost) => cost.epochRecord),
    store: line((cost) => cost.store),
    makeEpoch: line((cost) => cost.makeEpoch),
    readEpoch: Math.max(
      b.readEpoch,
      line((cost) => cost.readEpoch),
    ),
    heartbeatBytes,
    heartbeatMs: line((cost) => cost.heartbeatMs),
    storeRate: (b.storeRate / b.members ** 2) * members ** 2,
  };
}

function costTable(costs: readonly RingCost[]): string {
  return markdownTable(
    [
      'members',
      'keys by',
      'in the store',
      'epoch record',
      'to make an epoch',
      'to read it',
      'each reads per heartbeat',
      'and checks in',
      'the store sends',
    ],
    costs.map((cost) => [
      cost.members > MAX_INSTANCES ? `*${cost.members.toLocaleString('en')}, computed*` : String(cost.members),
      cost.kem === 'x-wing' ? 'X-Wing' : 'X25519',
      bytes(cost.store),
      bytes(cost.epochRecord),
      time(cost.makeEpoch),
      time(cost.readEpoch),
      bytes(cost.heartbeatBytes),
      time(cost.heartbeatMs),
      `${bytes(cost.storeRate)}/s`,
    ]),
  );
}

function convergenceTable(rows: readonly Convergence[]): string {
  return markdownTable(
    ['members', 'all start at once: one key after', 'half were cut off: all open all after', 'one fresh key after'],
    rows.map(({ members, start, partition }) => [
      String(members),
      heartbeats(start),
      heartbeats(partition.open),
      heartbeats(partition.agreed),
    ]),
  );
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, index) => (index < 2 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

/** Three digits: more would pretend. */
function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
  return `${Number((count / 1000 ** unit).toPrecision(3))} ${units[unit]}`;
}

function time(ms: number): string {
  return ms < 1_000 ? `${Number(ms.toPrecision(2))} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function heartbeats(count: number | undefined): string {
  return count === undefined ? 'not within an epoch' : `${count.toFixed(1)} heartbeats`;
}

const SIZES = [10, 100, MAX_INSTANCES];
const BEYOND = 1_000;
/** The work of a simulation grows with the square, too: more take minutes and gigabytes, and have to be asked for. */
const SIMULATED = 100;
