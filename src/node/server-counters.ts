/** What a server counts: cheap sums for a status page or metrics. */

import type { HandshakeSummary, ResumptionRefusal } from '../actions.ts';

export class ServerCounters {
  /** Transports taken since the start. */
  accepted = 0;
  /** Sockets that are open now, in handshake or after. */
  open = 0;
  full = 0;
  resumed = 0;
  helloRetries = 0;
  keyUpdates = 0;
  /** Connections closed because nothing came or went for the idle time-out. */
  idleClosed = 0;
  /** Sessions that were offered and not resumed, by reason. */
  readonly refusals: Partial<Record<ResumptionRefusal, number>> = {};
  /** Connections that failed, by error code; before or after the end of the handshake. */
  readonly failures: Record<string, number> = {};

  secured(summary: HandshakeSummary): void {
    if (summary.resumed) {
      this.resumed++;
    } else {
      this.full++;
    }
    if (summary.helloRetried) {
      this.helloRetries++;
    }
    if (summary.refusal !== undefined) {
      this.refusals[summary.refusal] = (this.refusals[summary.refusal] ?? 0) + 1;
    }
  }

  failed(error: Error): void {
    const { code } = error as NodeJS.ErrnoException;
    // Codes come from our own table and from the system: no peer can invent one.
    const key = typeof code === 'string' ? code : 'other';
    this.failures[key] = (this.failures[key] ?? 0) + 1;
  }
}
