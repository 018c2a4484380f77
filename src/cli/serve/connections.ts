/** The books of a running server: open connections, requests on them, and what handshakes came to. For status and drain. */

import type { Duplex } from 'node:stream';
import type { HandshakeSummary } from '../../actions.ts';
import { CounterByLabel } from '../../ledger/metrics.ts';

/** What the books need of a TLS socket. */
export interface BookedSocket extends Duplex {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export interface ConnectionEntry {
  readonly id: number;
  readonly socket: BookedSocket;
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
}

export class Connections {
  readonly #open = new Map<string, ConnectionEntry>();
  #nextId = 1;
  #bytesInClosed = 0;
  #bytesOutClosed = 0;
  total = 0;
  full = 0;
  resumed = 0;
  readonly refusals = new CounterByLabel();
  readonly failures = new CounterByLabel();
  readonly requests = new CounterByLabel();
  /** Requests that the upstream server failed to answer, by reason. */
  readonly upstreamFailures = new CounterByLabel();

  /** A handshake is complete. */
  opened(socket: BookedSocket, summary: HandshakeSummary | undefined): ConnectionEntry {
    const remote = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`;
    const entry: ConnectionEntry = {
      id: this.#nextId++,
      socket,
      remote,
      summary,
      openedAt: Date.now(),
      requests: 0,
      active: 0,
      upgraded: false,
    };
    this.total++;
    if (summary?.resumed === true) {
      this.resumed++;
    } else {
      this.full++;
    }
    if (summary?.refusal !== undefined) {
      this.refusals.add(summary.refusal);
    }
    this.#open.set(remote, entry);
    socket.once('close', () => {
      this.#bytesInClosed += socket.bytesRead;
      this.#bytesOutClosed += socket.bytesWritten;
      if (this.#open.get(remote) === entry) {
        this.#open.delete(remote);
      }
    });
    return entry;
  }

  /** A handshake failed, or a connection broke. */
  failed(code: string): void {
    this.failures.add(code);
  }

  /** The open connection from there; HTTP/2 hides its socket, so the peer's address and port find it. */
  find(address: string | undefined, port: number | undefined): ConnectionEntry | undefined {
    return this.#open.get(`${address ?? '?'}:${port ?? '?'}`);
  }

  get open(): Iterable<ConnectionEntry> {
    return this.#open.values();
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
    for (const entry of this.#open.values()) {
      sum += value(entry);
    }
    return sum;
  }
}
