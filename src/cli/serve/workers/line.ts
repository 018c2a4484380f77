/**
 * The line between the primary and one of its workers: each end asks, the other answers. Messages of plain JSON, beside those
 * of the ring (fleet/ipc/link.ts).
 *
 *     { mayflyServe: 1, ask: id, what, body } ─▶        ◀─ { mayflyServe: 1, answer: id, result | error }
 */

interface Ask {
  readonly mayflyServe: 1;
  readonly ask: number;
  readonly what: string;
  readonly body: unknown;
}

interface Answer {
  readonly mayflyServe: 1;
  readonly answer: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** The part of `process` and of `cluster.Worker` that a line needs. */
export interface LineEnd {
  send(message: object): void;
  listen(listener: (message: unknown) => void): void;
}

export type Handlers = Readonly<Record<string, (body: never) => unknown>>;

export class Line {
  readonly #end: LineEnd;
  readonly #handlers: Handlers;
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  #next = 0;

  constructor(end: LineEnd, handlers: Handlers) {
    this.#end = end;
    this.#handlers = handlers;
    end.listen((message) => this.#took(message));
  }

  /** Rejected when the other end fails, is gone, or does not answer in time. */
  ask(what: string, body: unknown, patience = PATIENCE): Promise<unknown> {
    const ask = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(ask);
        reject(new Error(`no answer to "${what}" within ${patience} ms`));
      }, patience);
      timer.unref();
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(ask);
      };
      this.#waiting.set(ask, {
        resolve(result) {
          settle();
          resolve(result);
        },
        reject(error) {
          settle();
          reject(error);
        },
      });
      this.#send({ mayflyServe: 1, ask, what, body });
    });
  }

  /** The other end is gone: nothing is answered any more. */
  cut(): void {
    for (const { reject } of [...this.#waiting.values()]) {
      reject(new Error('the other end is gone'));
    }
  }

  #took(message: unknown): void {
    if (typeof message !== 'object' || message === null || (message as Ask).mayflyServe !== 1) {
      return;
    }
    if ('ask' in message) {
      void this.#answer(message as Ask);
      return;
    }
    const { answer, result, error } = message as Answer;
    const waiting = this.#waiting.get(answer);
    if (error === undefined) {
      waiting?.resolve(result);
    } else {
      waiting?.reject(new Error(error));
    }
  }

  async #answer({ ask, what, body }: Ask): Promise<void> {
    const answer: Answer = { mayflyServe: 1, answer: ask };
    try {
      this.#send({ ...answer, result: await this.#handlers[what]?.(body as never) });
    } catch (error) {
      this.#send({ ...answer, error: error instanceof Error ? error.message : String(error) });
    }
  }

  #send(message: Ask | Answer): void {
    try {
      this.#end.send(message);
    } catch {
      // Who is gone is told of by 'exit' or 'disconnect'.
    }
  }
}

/** Milliseconds. */
const PATIENCE = 1_000;
