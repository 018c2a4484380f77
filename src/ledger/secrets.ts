/** How many secrets of each kind are alive, kept from the diagnostics channels: sums alone, where the ledger has entries. */

import { type SecretBorn, type SecretEnded, secretBorn, secretEnded } from './channels.ts';

/** How many secrets of each kind are alive, from the moment it was started. */
export class SecretCensus {
  readonly #live = new Map<string, number>();
  #born = 0;
  #ended = 0;
  readonly #onBorn = (message: unknown) => {
    const { kind } = message as SecretBorn;
    this.#born++;
    this.#live.set(kind, (this.#live.get(kind) ?? 0) + 1);
  };
  readonly #onEnded = (message: unknown) => {
    const { kind } = message as SecretEnded;
    const before = this.#live.get(kind) ?? 0;
    // One that was born before the census began does not count.
    if (before === 0) {
      return;
    }
    this.#ended++;
    this.#live.set(kind, before - 1);
  };

  start(): void {
    secretBorn.subscribe(this.#onBorn);
    secretEnded.subscribe(this.#onEnded);
  }

  stop(): void {
    secretBorn.unsubscribe(this.#onBorn);
    secretEnded.unsubscribe(this.#onEnded);
  }

  get born(): number {
    return this.#born;
  }

  get ended(): number {
    return this.#ended;
  }

  /** Kinds in alphabetical order; a kind whose last one has ended stays, with 0. */
  get live(): Record<string, number> {
    return Object.fromEntries([...this.#live].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
