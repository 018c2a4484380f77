/**
 * Where requests wait, in the order in which they came, while all connections to the upstream server are taken. Bounded in
 * number and in time: a queue that only grows answers nobody in time (RFC 9110 §15.6.4: 503 says so at once).
 */

export interface Waiter {
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

  constructor(options: WaitingRoomOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** False: it was refused. */
  enter(waiter: T): boolean {
    if (this.#waiting.size >= this.#options.size) {
      waiter.onRefused(refusal('QUEUE_FULL', 'too many requests wait for the upstream server'));
      return false;
    }
    const timer = setTimeout(() => {
      this.#waiting.delete(waiter);
      waiter.onRefused(refusal('QUEUE_TIMEOUT', 'the upstream server had no connection free in time'));
    }, this.#options.patience);
    this.#waiting.set(waiter, timer);
    return true;
  }

  leave(waiter: T): void {
    clearTimeout(this.#waiting.get(waiter));
    this.#waiting.delete(waiter);
  }

  /** Who is next leaves the queue. */
  next(): T | undefined {
    for (const waiter of this.#waiting.keys()) {
      this.leave(waiter);
      return waiter;
    }
    return undefined;
  }
}

function refusal(code: string, text: string): Error {
  return Object.assign(new Error(text), { code });
}
