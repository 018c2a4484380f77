/** What an agent needs to know of the server that it drives, and who holds which key for how long. */

import type { KeyPlan, PlannedKey } from '../../fleet/agent/key-plan.ts';
import type { Product } from '../../fleet/agent/products.ts';
import { elapsed } from '../../fleet/ring-time.ts';
import { type Clock, type Moment, momentOf } from '../../session/clock.ts';
import { isAlive, type ProcessRef } from './processes.ts';

/** 'absent': it does not run, and will find its keys when it starts. */
export type Told = 'told' | 'absent';

export interface ServerDriver {
  readonly product: Product;
  /** Without a ring's key it seals under one that nobody else has, which has to be renewed as the ring's would be. */
  readonly needsThrowaways: boolean;
  /** Which processes hold which keys, as far as can be seen. */
  readonly holders: KeyHolders;
  /** Makes sure that the server finds what it needs to start; leaves alone what is there. */
  prepare(): void;
  /** The keys of the plan that the server has room for. */
  select(plan: KeyPlan): KeyPlan;
  /**
   * Brings the server to hold these keys and no others, and sees to it that it does. May be repeated.
   * @throws TLSError `TLS_ERR_SERVER_NOT_TOLD`, `TLS_ERR_KEY_FOLDER`
   */
  apply(keys: KeyPlan): Promise<Told>;
  /** Takes the files of all other keys away, also while `apply` waits for the server. @throws TLSError `TLS_ERR_KEY_FOLDER` */
  keepOnly?(keys: KeyPlan): void;
  /** Whether it has what it was told last: it may have been restarted since. @throws TLSError `TLS_ERR_SERVER_NOT_TOLD` */
  isUpToDate(): Promise<boolean>;
  /** Takes all keys of the ring from the server and from the files. @throws TLSError as `apply` */
  withdraw(): Promise<Told>;
  /** Key files may be swapped to a disk since somebody turned swap on. */
  readonly maySwap: boolean;
  /** Erases what it holds itself. */
  close(): void;
}

interface Holding {
  readonly since: Moment;
  /** Milliseconds left at `since`, by key. */
  readonly left: Map<string, number>;
}

export interface Overdue {
  /** Ids of keys. */
  readonly keys: readonly string[];
  /** Of processes that were replaced and still run; empty when it is the server as it was last told. */
  readonly pids: readonly number[];
}

/** Who holds a key that has ended is not erased: a server that was not told, and what a reload left running. */
export class KeyHolders {
  readonly #clock: Clock;
  #current: Holding;
  #past: { readonly process: ProcessRef; readonly holding: Holding }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#current = { since: momentOf(clock), left: new Map() };
  }

  /** @param replaced processes that still have what was held before */
  took(keys: readonly PlannedKey[], replaced: readonly ProcessRef[] = []): void {
    const since = momentOf(this.#clock);
    this.#past.push(...replaced.map((process) => ({ process, holding: this.#current })));
    this.#past = this.#past.filter(({ process }) => isAlive(process));
    this.#current = { since, left: new Map(keys.map(({ id, endsAt }) => [id, endsAt - since.wall])) };
  }

  /** It does not run. */
  absent(): void {
    this.took([]);
  }

  /** What is not among these has ended now, whatever its time was: a flush ends keys early. */
  wanted(keys: readonly PlannedKey[]): void {
    const now = momentOf(this.#clock);
    const ids = new Set(keys.map(({ id }) => id));
    for (const { since, left } of [this.#current, ...this.#past.map(({ holding }) => holding)]) {
      for (const [id, ms] of left) {
        if (!ids.has(id)) {
          left.set(id, Math.min(ms, elapsed(since, now)));
        }
      }
    }
  }

  /** Those that still hold keys `grace` milliseconds after their end. */
  overdue(grace: number): Overdue | undefined {
    const now = momentOf(this.#clock);
    const pids = new Set<number>();
    const keys = new Set(overdueOf(this.#current, now, grace));
    this.#past = this.#past.filter(({ process }) => isAlive(process));
    for (const { process, holding } of this.#past) {
      for (const key of overdueOf(holding, now, grace)) {
        keys.add(key);
        pids.add(process.pid);
      }
    }
    return keys.size === 0 ? undefined : { keys: [...keys], pids: [...pids] };
  }
}

function overdueOf({ since, left }: Holding, now: Moment, grace: number): readonly string[] {
  const passed = elapsed(since, now);
  return [...left].filter(([, ms]) => passed > ms + grace).map(([key]) => key);
}
