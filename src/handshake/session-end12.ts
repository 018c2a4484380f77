/**
 * A fatal alert ends a TLS 1.2 session together with the connection (RFC 5246 §7.2.2): something is wrong with its keys, or
 * with who holds them. Tickets are beyond reach: the server keeps nothing of them that it could forget.
 *
 * It ends only where whoever caused the alert has shown to hold the session's keys, by a Finished that verified or by a
 * record that opened. A session ID is sent in clear: else anybody who saw it could offer it, send garbage, and end the
 * sessions of all others.
 */

import type { ServerContext } from '../connection-options.ts';
import type { HandshakeHost } from './host.ts';

export interface EndedSession {
  readonly role: 'client' | 'server';
  /** At a server: where it may be kept. */
  readonly context?: ServerContext;
  /** At a server: under which ID it may be kept; empty for none. */
  readonly sessionId?: Uint8Array;
}

/** A server forgets the session; a client's host is told to. */
export function endSession12(host: HandshakeHost, { role, context, sessionId }: EndedSession): void {
  if (role === 'client') {
    host.emit({ kind: 'sessionEnded' });
  } else if (sessionId !== undefined && sessionId.length > 0) {
    context?.sessionCache?.delete(sessionId);
  }
}
