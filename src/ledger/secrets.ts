/**
 * Books over secrets, kept from the diagnostics channels: how many of each kind are alive (a server's status page), and
 * the order in which one connection's came and went (a command that tells its story). Never their bytes.
 */

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

/** One secret's life, as far as it was seen. */
export interface SecretLife {
  readonly id: number;
  readonly kind: string;
  /** Bytes. */
  readonly length: number;
  /** Milliseconds on the recorder's clock. */
  readonly bornAt: number;
  endedAt?: number;
  why?: string;
}

/** Every secret of this process in the order of birth; for a process that makes one connection and tells of it. */
export class SecretRecorder {
  readonly #lives = new Map<number, SecretLife>();
  readonly #now: () => number;
  readonly #onBorn = (message: unknown) => {
    const { id, kind, length } = message as SecretBorn;
    this.#lives.set(id, { id, kind, length, bornAt: this.#now() });
  };
  readonly #onEnded = (message: unknown) => {
    const { id, why } = message as SecretEnded;
    const life = this.#lives.get(id);
    if (life !== undefined) {
      life.endedAt = this.#now();
      life.why = why;
    }
  };

  constructor(now: () => number) {
    this.#now = now;
  }

  start(): void {
    secretBorn.subscribe(this.#onBorn);
    secretEnded.subscribe(this.#onEnded);
  }

  stop(): void {
    secretBorn.unsubscribe(this.#onBorn);
    secretEnded.unsubscribe(this.#onEnded);
  }

  get lives(): readonly SecretLife[] {
    return [...this.#lives.values()];
  }
}
