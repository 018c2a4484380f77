/** Which secrets are alive, seen through the diagnostics channels. */

import { type SecretBorn, type SecretEnded, secretBorn, secretEnded } from '../../src/ledger/channels.ts';

export class SecretWatch {
  readonly #alive = new Map<number, string>();
  readonly #onBorn = (message: unknown) => {
    const { id, kind } = message as SecretBorn;
    this.#alive.set(id, kind);
  };
  readonly #onEnded = (message: unknown) => void this.#alive.delete((message as SecretEnded).id);

  constructor() {
    secretBorn.subscribe(this.#onBorn);
    secretEnded.subscribe(this.#onEnded);
  }

  /** Kinds in alphabetical order, each as often as it is alive. Those born before the watch began do not count. */
  get alive(): readonly string[] {
    return [...this.#alive.values()].sort();
  }

  /** Begins anew: what is alive now does not count. */
  clear(): void {
    this.#alive.clear();
  }

  stop(): void {
    secretBorn.unsubscribe(this.#onBorn);
    secretEnded.unsubscribe(this.#onEnded);
  }
}
