/** What a server counts: cheap sums for a status page or metrics. */

import type { EarlyDataRefusal, HandshakeSummary, ResumptionRefusal } from '../actions.ts';
import type { ProtocolVersion } from '../connection-options.ts';

/** Handshakes of one version. */
export interface HandshakeCounts {
  full: number;
  resumedByTicket: number;
  /** TLS 1.2 alone has it. */
  resumedById: number;
}

export class ServerCounters {
  /** Transports taken since the start. */
  accepted = 0;
  /** Sockets that are open now, in handshake or after. */
  open = 0;
  full = 0;
  resumed = 0;
  /** The sum of which is `full` and `resumed`. */
  readonly byVersion: Readonly<Record<ProtocolVersion, HandshakeCounts>> = {
    'TLSv1.3': { full: 0, resumedByTicket: 0, resumedById: 0 },
    'TLSv1.2': { full: 0, resumedByTicket: 0, resumedById: 0 },
  };
  helloRetries = 0;
  /** Connections whose early data was taken. */
  earlyData = 0;
  /** Connections whose early data was not taken, by reason. */
  readonly earlyDataRefusals: Partial<Record<EarlyDataRefusal, number>> = {};
  keyUpdates = 0;
  /** Connections closed because nothing came or went for the idle time-out. */
  idleClosed = 0;
  /** Sessions that were offered and not resumed, by reason. */
  readonly refusals: Partial<Record<ResumptionRefusal, number>> = {};
  /** Connections that failed, by error code; before or after the end of the handshake. */
  readonly failures: Record<string, number> = {};

  secured(summary: HandshakeSummary): void {
    const counts = this.byVersion[summary.version];
    if (!summary.resumed) {
      this.full++;
      counts.full++;
    } else {
      this.resumed++;
      counts[summary.resumedBy === 'id' ? 'resumedById' : 'resumedByTicket']++;
    }
    if (summary.helloRetried) {
      this.helloRetries++;
    }
    const { earlyData, earlyDataRefusal } = summary;
    if (earlyData === 'taken') {
      this.earlyData++;
    }
    if (earlyDataRefusal !== undefined) {
      this.earlyDataRefusals[earlyDataRefusal] = (this.earlyDataRefusals[earlyDataRefusal] ?? 0) + 1;
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
