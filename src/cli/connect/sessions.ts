/** What `connect` knows of resumption: the session it offered, what became of it, and the sessions it keeps. */

import pc from 'picocolors';
import { printable } from '../../certificates/distinguished-name.ts';
import type { ProtocolVersion } from '../../connection-options.ts';
import { type ClientSession, decodeClientSession } from '../../session/client-session.ts';
import { formatDuration } from '../duration.ts';
import type { Outcome } from './handshake.ts';

export type SessionForm = 'ticket' | 'id';

export interface SessionReport {
  readonly offered: boolean;
  readonly resumed: boolean;
  /** Why no session was resumed; undefined when one was. */
  readonly reason: string | undefined;
  /** What came: tickets, and in TLS 1.2 also a session ID. */
  readonly tickets: readonly TicketReport[];
  /** The same for people. */
  readonly lines: readonly string[];
}

export interface TicketReport {
  readonly form: SessionForm;
  /** Seconds. */
  readonly lifetime: number;
  /** Bytes. */
  readonly length: number;
  /** Bytes of early data that its server takes with it; 0 for none. */
  readonly maxEarlyDataSize: number;
}

export interface SessionContext {
  readonly outcome: Outcome;
  /** The session that was given to the handshake. */
  readonly given: Uint8Array | undefined;
  /** Why none was given. */
  readonly whyNone: string;
  /** The `--session` file. */
  readonly path: string | undefined;
  /** How many sessions went into it, those from earlier runs not counted. */
  readonly kept: number;
}

export function sessionReport({ outcome, given, whyNone, path, kept }: SessionContext): SessionReport {
  const { resumed } = outcome.summary;
  const session = given === undefined ? undefined : peek(given);
  const offered = wasOffered(outcome);
  const reason = resumed ? undefined : refusalText(session, outcome, whyNone);
  const tickets = outcome.sessions.flatMap((bytes) => {
    const one = peek(bytes);
    return one === undefined ? [] : [reportOf(one)];
  });
  const lines = resumed ? resumedLines(outcome, session) : [`full handshake: ${reason}`];
  lines.push(...receivedLines(tickets, outcome));
  if (path !== undefined && kept > 0) {
    const isReused = outcome.summary.version === 'TLSv1.2';
    lines.push(
      `kept in ${path} for the next run${isReused ? ': who has that file can read a recording of this connection' : ', each to be used once'}`,
    );
  }
  return { offered, resumed, reason, tickets, lines };
}

/** True when the session that was given went out with the ClientHello. */
export function wasOffered({ summary }: Outcome): boolean {
  return summary.resumed || summary.refusal === 'by_peer';
}

/** The version that these bytes of a session belong to, and how its server names it; undefined for what is no session. */
export function sessionKind(bytes: Uint8Array): { version: ProtocolVersion; form: SessionForm } | undefined {
  const session = peek(bytes);
  return session === undefined ? undefined : { version: session.version, form: formOf(session) };
}

function resumedLines({ summary }: Outcome, session: Remembered | undefined): string[] {
  const age = session === undefined ? '' : ` of ${formatDuration(Date.now() - session.receivedAt)} ago`;
  const resumed = pc.green('resumed');
  if (summary.version === 'TLSv1.3') {
    return [`${resumed} with a ticket${age} (${summary.pskMode}): the secrets rest on a fresh key exchange too`];
  }
  const theft = 'gets hold of it while either side keeps it opens this connection, a recording of it, and all others';
  return [
    `${resumed} ${summary.resumedBy === 'id' ? 'by a session ID' : 'with a ticket'}${age}: there was no key exchange`,
    `The keys come from the master secret of the full handshake of ${timeText(summary.authenticatedAt)} and from two ` +
      'random values that anybody can read. So they are new, but no more forward secret than that master secret: whoever ' +
      `${theft} of the session.`,
    ...(summary.resumedBy === 'ticket'
      ? ['The ticket carries it too, sealed: whoever steals the server’s ticket key has it as well.']
      : []),
  ];
}

/** `2026-01-31 23:59:59 UTC`. */
export function timeText(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

function refusalText(session: Remembered | undefined, outcome: Outcome, whyNone: string): string {
  if (session === undefined) {
    return whyNone;
  }
  const what = formOf(session) === 'id' ? 'session ID' : 'ticket';
  const { alpnProtocol } = outcome.summary;
  if (wasOffered(outcome) && session.alpnProtocol !== alpnProtocol) {
    const [then, now] = [session.alpnProtocol, alpnProtocol].map((name) => (name === '' ? 'no protocol' : name));
    return `the server did not take the session, which belongs to ${printable(then)}, while ${printable(now)} was chosen now`;
  }
  if (wasOffered(outcome)) {
    return 'the server did not take the session that was offered (servers do not say why: expired, or its key is erased)';
  }
  const age = Date.now() - session.receivedAt;
  if (age > session.ticketLifetime * 1000) {
    const lifetime = formatDuration(session.ticketLifetime * 1000);
    return `the ${what} of ${formatDuration(age)} ago was good for ${lifetime}: it was not offered`;
  }
  if (session.version === 'TLSv1.3' && (session.externalPskFingerprint?.length ?? 0) > 0) {
    return 'the session began with a pre-shared key that was not given now (--psk-file): it was not offered';
  }
  return 'the session was made for another name or suite, or its server would not be trusted now: it was not offered';
}

function receivedLines(tickets: readonly TicketReport[], { summary }: Outcome): string[] {
  if (tickets.length === 0) {
    if (summary.version === 'TLSv1.3') {
      return ['no ticket came'];
    }
    return summary.resumed
      ? []
      : ['the server gave neither a ticket nor a session ID: it will not resume this session'];
  }
  const [first] = tickets;
  const good = `good for ${formatDuration(first.lifetime * 1000)}`;
  const end = summary.resumed
    ? []
    : ['This connection’s keys come from it too: they are forward secret once it is erased'];
  if (first.form === 'id') {
    return [
      `the server named this session by an ID of ${first.length} bytes and keeps its master secret: ${good} here`,
      ...end.map((line) => `${line} on both sides.`),
    ];
  }
  const count = tickets.length === 1 ? 'one ticket' : `${tickets.length} tickets`;
  const came = `${count} came: ${good}, ${first.length} bytes${tickets.length === 1 ? '' : ' each'}`;
  const early =
    first.maxEarlyDataSize === 0
      ? 'no early data (0-RTT) may go with it'
      : `${first.maxEarlyDataSize.toLocaleString('en')} bytes of early data (0-RTT) may go with it: see --early-get`;
  return summary.version === 'TLSv1.3'
    ? [came, early]
    : [`${came}, with the master secret inside`, ...end.map((line) => `${line}, and the server’s ticket key.`)];
}

type Remembered = ClientSession extends infer S ? (S extends ClientSession ? Omit<S, 'secret'> : never) : never;

function formOf(session: Remembered): SessionForm {
  return session.ticket.length > 0 ? 'ticket' : 'id';
}

function reportOf(session: Remembered): TicketReport {
  const form = formOf(session);
  const name = session.version === 'TLSv1.2' && form === 'id' ? session.sessionId : session.ticket;
  const maxEarlyDataSize = session.version === 'TLSv1.3' ? (session.maxEarlyDataSize ?? 0) : 0;
  return { form, lifetime: session.ticketLifetime, length: name.length, maxEarlyDataSize };
}

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
