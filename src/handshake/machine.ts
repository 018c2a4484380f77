/** Runs a handshake: looks an event up in the declared transitions and refuses whatever is not there. */

import { TLSError } from '../errors.ts';
import type { Handlers, Table } from './transitions.ts';

/** A state, with what may happen in it. */
interface State {
  readonly name: string;
  readonly transitions: ReadonlyMap<string, Transition>;
}

interface Transition {
  readonly handle: (context: unknown, payload: unknown) => string;
  /** By name: where it may lead. */
  readonly next: ReadonlyMap<string, State>;
}

export class Machine {
  readonly #context: unknown;
  #state: State;

  private constructor(context: unknown, state: State) {
    this.#context = context;
    this.#state = state;
  }

  /** A machine whose handlers the compiler holds against the table. */
  static start<T extends Table, C>(table: T, handlers: Handlers<T, C>, context: C, state: keyof T & string): Machine {
    let states = known.get(handlers);
    if (states === undefined) {
      states = statesOf(table, handlers as unknown as AnyHandlers);
      known.set(handlers, states);
    }
    return new Machine(context, states.get(state) as State);
  }

  get state(): string {
    return this.#state.name;
  }

  /** Whether `event` is declared in the present state. */
  allows(event: string): boolean {
    return this.#state.transitions.has(event);
  }

  /**
   * Handles `event` and moves on.
   * @throws TLSError `TLS_ERR_UNEXPECTED_MESSAGE` for an event that is not declared in this state
   */
  step(event: string, payload: unknown): void {
    const { name: from, transitions } = this.#state;
    const transition = transitions.get(event);
    if (transition === undefined) {
      const expected = transitions.size === 0 ? 'nothing' : [...transitions.keys()].join(' or ');
      throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', `${event} came in state ${from}, which expects ${expected}`);
    }
    const to = transition.handle(this.#context, payload);
    const next = transition.next.get(to);
    if (next === undefined) {
      throw new TLSError('TLS_ERR_INTERNAL', `${from} may not lead to ${to} on ${event}`);
    }
    this.#state = next;
  }
}

type AnyHandlers = Readonly<Record<string, Readonly<Record<string, Transition['handle']>>>>;

/** The table, tied up: each step is two look-ups. States that only end have nothing that may happen in them. */
function statesOf(table: Table, handlers: AnyHandlers): ReadonlyMap<string, State> {
  const states = new Map<string, State & { readonly transitions: Map<string, Transition> }>();
  const stateOf = (name: string) => {
    const state = states.get(name) ?? { name, transitions: new Map() };
    states.set(name, state);
    return state;
  };
  for (const [from, events] of Object.entries(table)) {
    const { transitions } = stateOf(from);
    for (const [event, targets] of Object.entries(events)) {
      const next = new Map(targets.map((to) => [to, stateOf(to)]));
      transitions.set(event, { handle: handlers[from][event], next });
    }
  }
  return states;
}

/** By their handlers: made by the first connection of a kind. */
const known = new WeakMap<object, ReadonlyMap<string, State>>();
