/** Runs a handshake: looks an event up in the declared transitions and refuses whatever is not there. */

import { TLSError } from '../errors.ts';
import type { Handlers, Table } from './transitions.ts';

type AnyHandlers = Readonly<Record<string, Readonly<Record<string, (context: never, payload: never) => string>>>>;

export class Machine {
  readonly #table: Table;
  readonly #handlers: AnyHandlers;
  readonly #context: unknown;
  #state: string;

  private constructor(table: Table, handlers: AnyHandlers, context: unknown, state: string) {
    this.#table = table;
    this.#handlers = handlers;
    this.#context = context;
    this.#state = state;
  }

  /** A machine whose handlers the compiler holds against the table. */
  static start<T extends Table, C>(table: T, handlers: Handlers<T, C>, context: C, state: keyof T & string): Machine {
    return new Machine(table, handlers as unknown as AnyHandlers, context, state);
  }

  get state(): string {
    return this.#state;
  }

  /** Whether `event` is declared in the present state. */
  allows(event: string): boolean {
    const events = this.#table[this.#state];
    return events !== undefined && Object.hasOwn(events, event);
  }

  /**
   * Handles `event` and moves on.
   * @throws TLSError `TLS_ERR_UNEXPECTED_MESSAGE` for an event that is not declared in this state
   */
  step(event: string, payload: unknown): void {
    const from = this.#state;
    const events = this.#table[from];
    if (!this.allows(event)) {
      const expected = events === undefined ? 'nothing' : Object.keys(events).join(' or ');
      throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', `${event} came in state ${from}, which expects ${expected}`);
    }
    const next = this.#handlers[from][event](this.#context as never, payload as never);
    if (!events[event].includes(next)) {
      throw new TLSError('TLS_ERR_INTERNAL', `${from} may not lead to ${next} on ${event}`);
    }
    this.#state = next;
  }
}
