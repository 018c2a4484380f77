/** Handshakes of the floor, in the shape of `rows/handshake.ts`: both ends say close_notify, the server first. */

import type { Socket } from 'node:net';
import type { BenchCertificate } from '../certificate.ts';
import { countLanes } from '../rows/handshake.ts';
import type { Driver, WorkloadName } from '../workload.ts';
import type { ServerOptions } from './ends.ts';
import type { ClientEnd, Kind, Session } from './kinds.ts';
import { type ClientPlace, ClientSocket, endMaker, kindOf, listen, ServerSocket, serverOptions } from './place.ts';
import { ALERT, CLOSE_NOTIFY } from './socket.ts';

export function serveHandshakes(workload: WorkloadName, certificate: BenchCertificate): Promise<number> {
  const options = serverOptions(workload, certificate);
  return listen((raw) => new HandshakeServer(raw, options));
}

export function handshakeDriver(place: ClientPlace): Driver {
  const make = endMaker(place);
  const once = (end: ClientEnd): Promise<void> =>
    new Promise((resolve) => {
      new HandshakeClient(place.port, end, resolve);
    });
  return async (ms, options) => {
    const kind = kindOf(place, options);
    const session = options.resumed === true ? await obtainSession(kind) : undefined;
    return countLanes(ms, Number(options.inFlight), () => once(make(kind, session)));
  };

  async function obtainSession(kind: Kind): Promise<Session> {
    const end = make(kind === 'resumed' ? 'full' : 'full12');
    await once(end);
    return end.session(kind);
  }
}

class HandshakeServer extends ServerSocket {
  constructor(raw: Socket, options: ServerOptions) {
    super(raw, options);
  }

  protected secured(): void {
    setImmediate(close, this);
  }

  /** The client's close_notify. */
  protected received(): void {}

  close(): void {
    this.send(ALERT, CLOSE_NOTIFY);
    this.raw.end();
  }
}

function close(socket: HandshakeServer): void {
  socket.close();
}

class HandshakeClient extends ClientSocket {
  readonly #closed: () => void;

  constructor(port: number, end: ClientEnd, closed: () => void) {
    super(port, end);
    this.#closed = closed;
  }

  protected secured(): void {}

  /** The server's close_notify. */
  protected received(): void {
    this.send(ALERT, CLOSE_NOTIFY);
    this.raw.end();
  }

  rawClosed(): void {
    this.#closed();
  }
}
