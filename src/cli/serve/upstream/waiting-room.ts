/**
 * Where requests wait, in the order in which they came, while all connections to the upstream server are taken, or as many as
 * their client may have. Bounded in number, of each client too, and in time: a queue that only grows answers nobody in time
 * (RFC 9110 §15.6.4: 503 says so at once).
 */

import { Shares } from './shares.ts';

export interface Waiter {
  /** Whose share it goes to. */
  readonly client: string;
  /** It is not to have its turn: the queue is full, or it has waited too long. */
  onRefused(error: Error): void;
}

export interface WaitingRoomOptions {
  /** Requests that may wait. */
  readonly size: number;
  /** Milliseconds that each of them may. */
  readonly patience: number;
}

export class WaitingRoom<T extends Waiter> {
  readonly #options: WaitingRoomOptions;
  /** In order. */
  readonly #waiting = new Map<T, NodeJS.Timeout>();
  readonly #shares: Shares;

  /** `share`: of each client, where it is fixed. */
  constructor(options: WaitingRoomOptions, share?: number) {
    this.#options = options;
    this.#shares = new Shares(options.size, share);
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** In order. */
  get all(): Iterable<T> {
    return this.#waiting.keys();
  }

  /** False: it was refused. */
  enter(waiter: T): boolean {
    if (this.#waiting.size >= this.#options.size || !this.#shares.hasRoom(waiter.client)) {
      waiter.onRefused(refusal('QUEUE_FULL', 'too many requests wait for the upstream server'));
      return false;
    }
    const timer = setTimeout(() => {
      this.leave(waiter);
      waiter.onRefused(refusal('QUEUE_TIMEOUT', 'the upstream server had no connection free in time'));
    }, this.#options.patience);
    this.#waiting.set(waiter, timer);
    this.#shares.take(waiter.client);
    return true;
  }

  leave(waiter: T): void {
    const timer = this.#waiting.get(waiter);
    if (timer !== undefined) {
      clearTimeout(timer);
      this.#waiting.delete(waiter);
      this.#shares.giveBack(waiter.client);
    }
  }

  /** The first one that may have its turn leaves the queue. */
  next(mayHaveTurn: (client: string) => boolean): T | undefined {
    for (const waiter of this.#waiting.keys()) {
      if (mayHaveTurn(waiter.client)) {
        this.leave(waiter);
        return waiter;
      }
    }
    return undefined;
  }
}

function refusal(code: string, text: string): Error {
  return Object.assign(new Error(text), { code });
}
