/** What `connect` knows of resumption: the session it offered, what became of it, and the tickets it keeps. */

import pc from 'picocolors';
import { type ClientSession, decodeClientSession } from '../../session/client-session.ts';
import { formatDuration } from '../duration.ts';
import type { Outcome } from './handshake.ts';

export interface SessionReport {
  readonly offered: boolean;
  readonly resumed: boolean;
  /** Why no session was resumed; undefined when one was. */
  readonly reason: string | undefined;
  readonly tickets: readonly TicketReport[];
  /** The same for people. */
  readonly lines: readonly string[];
}

export interface TicketReport {
  /** Seconds. */
  readonly lifetime: number;
  /** Bytes. */
  readonly length: number;
}

export interface SessionContext {
  readonly outcome: Outcome;
  /** The session that was given to the handshake. */
  readonly given: Uint8Array | undefined;
  /** Why none was given. */
  readonly whyNone: string;
  /** The `--session` file. */
  readonly path: string | undefined;
}

export function sessionReport({ outcome, given, whyNone, path }: SessionContext): SessionReport {
  const { summary } = outcome;
  const session = given === undefined ? undefined : peek(given);
  // Only an offer has a binder.
  const offered = outcome.secrets.some((secret) => secret.kind === 'binderKey');
  const reason = summary.resumed ? undefined : refusalText(session, offered, whyNone);
  const tickets = outcome.sessions.flatMap((bytes) => {
    const ticket = peek(bytes);
    return ticket === undefined ? [] : [{ lifetime: ticket.ticketLifetime, length: ticket.ticket.length }];
  });
  const lines: string[] = [];
  if (summary.resumed) {
    const age = session === undefined ? '' : ` of ${formatDuration(Date.now() - session.receivedAt)} ago`;
    lines.push(
      `${pc.green('resumed')} with a ticket${age} (${summary.pskMode}): the secrets rest on a fresh key exchange too`,
    );
  } else {
    lines.push(`full handshake: ${reason}`);
  }
  lines.push(ticketLine(tickets));
  if (path !== undefined && tickets.length > 0) {
    lines.push(`kept in ${path} for the next run, each to be used once`);
  }
  return { offered, resumed: summary.resumed, reason, tickets, lines };
}

function refusalText(session: Remembered | undefined, offered: boolean, whyNone: string): string {
  if (session === undefined) {
    return whyNone;
  }
  if (offered) {
    return 'the server did not take the session that was offered (servers do not say why: expired, or its key is erased)';
  }
  const age = Date.now() - session.receivedAt;
  if (age > session.ticketLifetime * 1000) {
    const lifetime = formatDuration(session.ticketLifetime * 1000);
    return `the ticket of ${formatDuration(age)} ago was good for ${lifetime}: it was not offered`;
  }
  return 'the session was made for another name or suite, or its server would not be trusted now: it was not offered';
}

function ticketLine(tickets: readonly TicketReport[]): string {
  if (tickets.length === 0) {
    return 'no ticket came';
  }
  const [first] = tickets;
  const count = tickets.length === 1 ? 'one ticket' : `${tickets.length} tickets`;
  return `${count} came: good for ${formatDuration(first.lifetime * 1000)}, ${first.length} bytes each`;
}

type Remembered = Omit<ClientSession, 'secret'>;

/** What may be told of a session; its secret is erased again at once. */
function peek(bytes: Uint8Array): Remembered | undefined {
  try {
    const { secret, ...rest } = decodeClientSession(bytes);
    secret.erase('not used');
    return rest;
  } catch {
    return undefined;
  }
}
