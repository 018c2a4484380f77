/** The figures of one subject in one row. */

import type { PairSample } from './cast.ts';
import { median, spread } from './statistics.ts';

export interface Figures {
  /** In the row's unit. */
  readonly value: number;
  /** (max − min) ÷ median over the rounds. */
  readonly spread: number;
  /** Per unit, µs; for the memory row KiB of each end. */
  readonly client: number;
  readonly server: number;
  /** For the memory row: KiB of V8 heap and external memory of both ends, mean. */
  readonly heap?: number;
}

/** One end beside the same end of node:tls, with the same peer. */
export interface EndRatio {
  /** CPU time per unit, µs. */
  readonly ours: number;
  readonly nodeTls: number;
  /** Above 1: ours takes less. */
  readonly ratio: number;
  /** In the row's unit: what our end reaches with this peer, where the slower of the two decides. */
  readonly rate: number;
}

export function summarise(samples: readonly PairSample[]): Figures {
  const rates = samples.map((sample) => sample.count / sample.seconds);
  return {
    value: median(rates),
    spread: spread(rates),
    client: median(samples.map((sample) => sample.cpuMicros / sample.total)),
    server: median(samples.map((sample) => sample.serverCpuMicros / sample.total)),
  };
}
