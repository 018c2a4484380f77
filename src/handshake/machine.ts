/** Runs a handshake: looks an event up in the declared transitions and refuses whatever is not there. */

import { TLSError } from '../errors.ts';

type AnyHandler = (context: never, payload: never) => string;
type AnyHandlers = Readonly<Record<string, Readonly<Record<string, AnyHandler>>>>;
type AnyTable = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

/** Whether `event` is declared in `state`. */
export function isLegal(options: {
  readonly table: AnyTable;
  readonly state: string;
  readonly event: string;
}): boolean {
  const events = options.table[options.state];
  return events !== undefined && Object.hasOwn(events, options.event);
}

/**
 * The state after `event` in `state`.
 * @throws TLSError `TLS_ERR_UNEXPECTED_MESSAGE` for an event that is not declared in this state
 */
export function step(options: {
  readonly table: AnyTable;
  readonly handlers: AnyHandlers;
  readonly context: unknown;
  readonly state: string;
  readonly event: string;
  readonly payload: unknown;
}): string {
  const { table, handlers, context, state, event, payload } = options;
  const events = table[state];
  if (!isLegal({ table, state, event })) {
    const expected = events === undefined ? 'nothing' : Object.keys(events).join(' or ');
    throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', `${event} came in state ${state}, which expects ${expected}`);
  }
  const next = handlers[state][event](context as never, payload as never);
  if (!events[event].includes(next)) {
    throw new TLSError('TLS_ERR_INTERNAL', `${state} may not lead to ${next} on ${event}`);
  }
  return next;
}
