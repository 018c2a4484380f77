/** What all workloads of the floor share: keys of the certificate, and how sockets are opened and taken in. */

import { X509Certificate } from 'node:crypto';
import { type AddressInfo, connect, createServer, type Socket, type TcpNetConnectOpts } from 'node:net';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { readOption } from '../../src/node/raw-reader.ts';
import type { BenchCertificate } from '../certificate.ts';
import { aeadOf, type PinName } from '../engine.ts';
import type { WorkloadName, WorkloadOptions } from '../workload.ts';
import { clientEnd, type ServerOptions, serverEnd } from './ends.ts';
import type { ClientEnd, End, Kind, Session } from './kinds.ts';
import { FloorSocket } from './socket.ts';

/** Of a client: one server, one pin. */
export interface ClientPlace {
  readonly workload: WorkloadName;
  readonly port: number;
  readonly pin: PinName;
  readonly certificate: BenchCertificate;
}

export function kindOf({ workload, pin }: ClientPlace, { resumed }: WorkloadOptions): Kind {
  switch (workload) {
    case 'handshake12':
      return resumed === true ? 'ticket12' : 'full12';
    case 'handshake12id':
      return resumed === true ? 'id12' : 'full12';
    default:
      return resumed === true ? 'resumed' : pin === 'hybrid' ? 'hybrid' : 'full';
  }
}

/** Makes the client's end of each connection. */
export function endMaker(place: ClientPlace): (kind: Kind, session?: Session) => ClientEnd {
  const provider = nodeProvider;
  const spki = new X509Certificate(place.certificate.cert).publicKey.export({ type: 'spki', format: 'der' });
  const publicKey = provider.importPublicKey(spki);
  const aead = aeadOf(place.pin);
  return (kind, session) => clientEnd({ provider, kind, aead, publicKey, session });
}

/** With all that Node adds to its copy of the options: with Node 20 it would have a hidden class of its own each time. */
export function openSocket(port: number): Socket {
  const options = {
    port,
    host: '127.0.0.1',
    allowHalfOpen: false,
    emitClose: false,
    autoDestroy: true,
    decodeStrings: false,
    noDelay: true,
    onread: readOption(),
  };
  return connect(options as TcpNetConnectOpts);
}

/** A client's socket, which begins as soon as it is connected. */
export abstract class ClientSocket extends FloorSocket {
  protected constructor(port: number, end: ClientEnd) {
    const raw = openSocket(port);
    super(raw);
    this.end = end;
    raw.once('connect', () => {
      this.writeFlight((out) => end.begin(out));
      raw.resume();
    });
  }
}

/** A server's socket, which learns from the first flight what to do. */
export abstract class ServerSocket extends FloorSocket {
  readonly #options: ServerOptions;

  protected constructor(raw: Socket, options: ServerOptions) {
    super(raw);
    this.#options = options;
    raw.resume();
  }

  protected override choose(hello: Uint8Array): End {
    return serverEnd(this.#options, hello);
  }

  rawClosed(): void {}
}

export function serverOptions(workload: WorkloadName, certificate: BenchCertificate): ServerOptions {
  const ring = new Uint8Array(32);
  nodeProvider.random(ring);
  return {
    provider: nodeProvider,
    privateKey: nodeProvider.importPrivateKey(certificate.key),
    ring,
    sessions: workload === 'handshake12id' ? new Map() : undefined,
  };
}

/** Resolves with the port. */
export function listen(take: (raw: Socket) => void): Promise<number> {
  const server = createServer({ noDelay: true }, take);
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}
