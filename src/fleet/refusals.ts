/** Refused records: counted each time, told once for each slot, as a hostile one is there again at every visit. */

import type { RingEvent } from './actions.ts';
import type { RecordRefusal } from './records/refusal.ts';

export class Refusals {
  readonly #counts = new Map<RecordRefusal, number>();
  readonly #told = new Set<string>();
  readonly #tell: (event: RingEvent) => void;

  constructor(tell: (event: RingEvent) => void) {
    this.#tell = tell;
  }

  get counts(): Readonly<Partial<Record<RecordRefusal, number>>> {
    return Object.fromEntries(this.#counts);
  }

  add(why: RecordRefusal, slot: string): void {
    this.#counts.set(why, (this.#counts.get(why) ?? 0) + 1);
    const what = `${why} ${slot}`;
    if (this.#told.has(what)) {
      return;
    }
    if (this.#told.size >= MAX_TOLD) {
      this.#told.clear();
    }
    this.#told.add(what);
    this.#tell({ kind: 'refused', why, slot });
  }
}

/** Stops who writes ever new slots from filling the memory. */
const MAX_TOLD = 256;
