/**
 * Measures one row: all subjects warm up, then take turns (A B C D, D C B A, …) in rounds; medians, their ratio, and how
 * far the rounds lie apart. Budgets are in time, never in counts, so that a slow machine takes no longer.
 *
 *     ours ↔ ours, node:tls ↔ node:tls       the row's figures and ratio
 *     floor ↔ floor                          the highest ratio there can be
 *     ours ↔ node:tls, node:tls ↔ ours       each end alone, against the same peer
 *     `ca` on each connect                   as most code has it, instead of a context for all
 */

import type { Cast, Match, PairSample } from './cast.ts';
import type { CastPool } from './cast-pool.ts';
import { type EndRatio, type Figures, summarise } from './figures.ts';
import { measureMemory } from './memory.ts';
import type { Party } from './messages.ts';
import type { Row } from './rows/rows.ts';

export interface MeasureOptions {
  readonly casts: CastPool;
  readonly rounds: number;
  /** Milliseconds for the whole row, processes' starts included; Infinity runs `roundMs` rounds whatever they take. */
  readonly budgetMs: number;
  /** Milliseconds of one round of one subject when the budget is no bound. */
  readonly roundMs: number;
  /** Rows that have a whole number of bytes transfer all of them, whatever it takes. */
  readonly whole: boolean;
  /** Also each end alone, and the usual code. */
  readonly cross: boolean;
  readonly progress: (text: string) => void;
  /** Where to write CPU profiles of the first subject; undefined for none. */
  readonly profilePath?: (row: string, role: 'client' | 'server') => string;
}

export interface Result {
  readonly row: Row;
  readonly ours: Figures;
  readonly nodeTls: Figures;
  /** Above 1: ours is better. */
  readonly ratio: number;
  /** What does nothing but the unavoidable: absent where it took no part. */
  readonly floor?: Figures;
  /** Each end of ours beside that of node:tls, the other end being node:tls for both: CPU time per unit. */
  readonly ends?: { readonly client: EndRatio; readonly server: EndRatio };
  /** `ca` on each connect. */
  readonly usual?: { readonly ours: Figures; readonly nodeTls: Figures; readonly ratio: number };
}

export async function measure(row: Row, options: MeasureOptions): Promise<Result> {
  return row.workload === 'idle' ? measureMemory(row, options) : measureRate(row, options);
}

/** One of a round's turns. */
interface Turn extends Match {
  readonly usual: boolean;
}

async function measureRate(row: Row, options: MeasureOptions): Promise<Result> {
  const { budgetMs, progress } = options;
  const begin = performance.now();
  const bounded = Number.isFinite(budgetMs);
  const left = (): number => budgetMs - (performance.now() - begin);
  const cast = await options.casts.take(row.workload);
  const errand = (turn: Turn) => ({ pin: row.pin, usual: turn.usual, options: row.options });
  const together = togetherOf(options);
  const warmUpMs = bounded ? left() * WARM_UP_SHARE : LONGEST_WARM_UP_MS;
  for (const turn of together) {
    progress(`${row.name}: warm-up`);
    await warmUp((ms) => cast.drive(turn, ms, errand(turn)), warmUpMs);
  }
  for (const turn of turnsOf(row, options).slice(together.length)) {
    // The code is compiled by now; what is new to it is the peer.
    await cast.drive(turn, Math.min(WARM_UP_SLICE_MS, warmUpMs / 10), errand(turn));
  }
  if (options.profilePath !== undefined) {
    await cast.startProfile('ours');
  }
  const turns = schedule(row, options);
  const samples = new Map<Turn, PairSample[]>();
  for (const [index, turn] of turns.entries()) {
    if (bounded && index >= turnsOf(row, options).length && left() < 2 * MINIMUM_MS) {
      break;
    }
    progress(`${row.name}: ${index + 1} of ${turns.length}`);
    // What is left is shared anew each time: an overrun of one turn is taken from the later ones.
    const share = bounded ? (left() / (turns.length - index)) * TURN_SHARE : options.roundMs;
    const ms = row.whole !== undefined && options.whole ? WHOLE_RUN_MS : Math.max(MINIMUM_MS, share);
    const sample = await cast.drive(turn, ms, errand(turn));
    samples.set(turn, [...(samples.get(turn) ?? []), sample]);
  }
  if (options.profilePath !== undefined) {
    await stopProfile(cast, row, options.profilePath);
  }
  return conclude(row, (turn) => samples.get(turn));
}

function stopProfile(cast: Cast, row: Row, path: NonNullable<MeasureOptions['profilePath']>): Promise<void> {
  return cast.stopProfile('ours', { client: path(row.name, 'client'), server: path(row.name, 'server') });
}

/** All turns of all rounds. What is not the row's own ratio takes part in every other round. */
function schedule(row: Row, options: MeasureOptions): Turn[] {
  const turns: Turn[] = [];
  const together = togetherOf(options);
  for (let round = 0; round < options.rounds; round++) {
    const all = round % 2 === 0 ? turnsOf(row, options) : together;
    turns.push(...(round % 2 === 0 ? all : all.toReversed()));
  }
  return turns;
}

function turnsOf(row: Row, options: MeasureOptions): readonly Turn[] {
  const together = togetherOf(options);
  if (!options.cross) {
    return together;
  }
  return row.per === 'handshake' ? [...together, ...apart, ...usual] : [...together, ...apart];
}

/** Each party with itself. */
function togetherOf({ casts }: MeasureOptions): readonly Turn[] {
  return casts.parties.map((party) => withItself[party]);
}

/**
 * Until the CPU time per unit no longer falls, or the time is up: code that runs once per handshake is compiled only
 * after some thousand of them. CPU time and not the rate, which other processes disturb more.
 */
async function warmUp(drive: (ms: number) => Promise<PairSample>, longestMs: number): Promise<void> {
  const end = performance.now() + longestMs;
  const sliceMs = Math.min(WARM_UP_SLICE_MS, longestMs / 4);
  let best = Number.POSITIVE_INFINITY;
  let slicesWithoutGain = 0;
  while (slicesWithoutGain < STEADY_SLICES && performance.now() + sliceMs / 2 < end) {
    const { total, cpuMicros, serverCpuMicros } = await drive(sliceMs);
    const cost = (cpuMicros + serverCpuMicros) / total;
    slicesWithoutGain = cost < best * (1 - WARM_UP_GAIN) ? 0 : slicesWithoutGain + 1;
    best = Math.min(best, cost);
  }
}

function conclude(row: Row, samplesOf: (turn: Turn) => readonly PairSample[] | undefined): Result {
  const figures = (turn: Turn): Figures | undefined => {
    const samples = samplesOf(turn);
    return samples === undefined ? undefined : summarise(samples);
  };
  const [ours, nodeTls] = [withItself.ours, withItself.nodeTls].map(figures) as [Figures, Figures];
  const result: Result = { row, ours, nodeTls, ratio: ours.value / nodeTls.value, floor: figures(withItself.floor) };
  const [ourClient, ourServer] = apart.map(figures);
  if (ourClient === undefined || ourServer === undefined) {
    return result;
  }
  const ends = {
    client: endRatio(ourClient.client, nodeTls.client, ourClient.value),
    server: endRatio(ourServer.server, nodeTls.server, ourServer.value),
  };
  const [oursUsual, nodeUsual] = usual.map(figures);
  return oursUsual === undefined || nodeUsual === undefined
    ? { ...result, ends }
    : { ...result, ends, usual: { ours: oursUsual, nodeTls: nodeUsual, ratio: oursUsual.value / nodeUsual.value } };
}

function endRatio(ours: number, nodeTls: number, rate: number): EndRatio {
  return { ours, nodeTls, ratio: nodeTls / ours, rate };
}

function turn(client: Party, server: Party, usual = false): Turn {
  return { client, server, usual };
}

const withItself: Readonly<Record<Party, Turn>> = {
  ours: turn('ours', 'ours'),
  nodeTls: turn('nodeTls', 'nodeTls'),
  floor: turn('floor', 'floor'),
};
/** Our client, then our server, each with the other end of node:tls. */
const apart: readonly Turn[] = [turn('ours', 'nodeTls'), turn('nodeTls', 'ours')];
const usual: readonly Turn[] = [turn('ours', 'ours', true), turn('nodeTls', 'nodeTls', true)];

/** Of a bounded row's time: what the warm-up of each party may take. */
const WARM_UP_SHARE = 0.2;
const LONGEST_WARM_UP_MS = 20_000;
const WARM_UP_SLICE_MS = 500;
const WARM_UP_GAIN = 0.02;
const STEADY_SLICES = 4;
/** Leaves room for what surrounds a turn: the last connections, questions to the workers. */
const TURN_SHARE = 0.9;
const MINIMUM_MS = 20;
const WHOLE_RUN_MS = 60_000;
