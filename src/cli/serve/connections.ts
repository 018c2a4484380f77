/** The books of a running server: open connections and the requests on them. For the status page and for draining. */

import type { HandshakeSummary } from '../../actions.ts';
import type { ProtocolVersion } from '../../connection-options.ts';
import { CounterByLabel } from '../../ledger/metrics.ts';
import { Roster } from '../../node/roster.ts';
import type { TLSSocket } from '../../node/tls.ts';
import { trafficKeysOf } from '../status/ledger-view.ts';
import { type VisitConnection, type VisitRequest, Visits } from '../status/visits.ts';

export interface ConnectionEntry {
  readonly id: number;
  readonly socket: TLSSocket;
  /** `address:port`. */
  readonly remote: string;
  readonly summary: HandshakeSummary | undefined;
  /** Milliseconds since the epoch. */
  readonly openedAt: number;
  requests: number;
  /** Requests whose response is not finished. */
  active: number;
  /** Bytes now belong to another protocol, such as WebSocket. */
  upgraded: boolean;
  readonly visit: VisitConnection;
}

/** Completed handshakes of one version. */
export interface HandshakeCounts {
  full: number;
  /** Resumed, by what named the session. */
  ticket: number;
  id: number;
}

/** On the socket: from the table of a WeakMap, V8's small collections would take both for alive after the connection's end. */
const ENTRY = Symbol('entry');

interface Entered {
  [ENTRY]?: ConnectionEntry;
}

export class Connections {
  readonly #open = new Roster<ConnectionEntry>();
  readonly #countsVisits: boolean;
  #nextId = 1;
  #bytesInClosed = 0;
  #bytesOutClosed = 0;
  readonly handshakes: Readonly<Record<ProtocolVersion, HandshakeCounts>> = {
    'TLSv1.3': { full: 0, ticket: 0, id: 0 },
    'TLSv1.2': { full: 0, ticket: 0, id: 0 },
  };
  readonly visits = new Visits();
  readonly requests = new CounterByLabel();
  /** Requests that the upstream server failed to answer, by reason. */
  readonly upstreamFailures = new CounterByLabel();

  /** `countsVisits`: whether `visits` is kept. */
  constructor(countsVisits = true) {
    this.#countsVisits = countsVisits;
  }

  /** A handshake is complete. */
  opened(socket: TLSSocket): ConnectionEntry {
    const remote = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`;
    const entry: ConnectionEntry = {
      id: this.#nextId++,
      socket,
      remote,
      summary: socket.mayfly,
      openedAt: Date.now(),
      requests: 0,
      active: 0,
      upgraded: false,
      visit: {
        address: socket.remoteAddress ?? '?',
        summary: socket.mayfly,
        trafficKeys: () => trafficKeysOf(socket),
      },
    };
    if (this.#countsVisits) {
      this.visits.opened(entry.visit);
    }
    const place = this.#open.enter(entry);
    (socket as Entered)[ENTRY] = entry;
    if (entry.summary !== undefined) {
      const { version, resumed, resumedBy = 'ticket' } = entry.summary;
      this.handshakes[version][resumed ? resumedBy : 'full']++;
    }
    socket.once('close', () => {
      this.#bytesInClosed += socket.bytesRead;
      this.#bytesOutClosed += socket.bytesWritten;
      if (this.#countsVisits) {
        this.visits.closed(entry.visit);
      }
      this.#open.leave(place);
    });
    return entry;
  }

  /** A request came on this connection. */
  requested(entry: ConnectionEntry | undefined, request: VisitRequest): void {
    this.requests.add(request.httpVersionMajor >= 2 ? 'h2' : 'http/1.1');
    if (this.#countsVisits) {
      this.visits.requested(entry?.visit, request);
    }
  }

  /** The connection of a request. What HTTP/2 shows as its socket is a wrapper, which names what it wraps. */
  find(socket: object): ConnectionEntry | undefined {
    const { stream = socket } = socket as { readonly stream?: object };
    return (stream as Entered)[ENTRY];
  }

  /** In no particular order. */
  get open(): Iterable<ConnectionEntry> {
    return this.#open;
  }

  get openCount(): number {
    return this.#open.size;
  }

  get bytesIn(): number {
    return this.#sum((entry) => entry.socket.bytesRead, this.#bytesInClosed);
  }

  get bytesOut(): number {
    return this.#sum((entry) => entry.socket.bytesWritten, this.#bytesOutClosed);
  }

  #sum(value: (entry: ConnectionEntry) => number, start: number): number {
    let sum = start;
    for (const entry of this.#open) {
      sum += value(entry);
    }
    return sum;
  }
}
