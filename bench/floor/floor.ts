/** The floor's servers and clients, by workload: what a worker process runs instead of an engine. See `kinds.ts`. */

import type { BenchCertificate } from '../certificate.ts';
import type { Driver, WorkloadName } from '../workload.ts';
import { handshakeDriver, serveHandshakes } from './handshake.ts';
import { idleDriver, serveIdle } from './idle.ts';
import { pingpongDriver, servePingpong } from './pingpong.ts';
import type { ClientPlace } from './place.ts';
import { serveTransfers, transferDriver } from './transfer.ts';

interface FloorWorkload {
  /** Resolves with the port. */
  serve(workload: WorkloadName, certificate: BenchCertificate): Promise<number>;
  createDriver(place: ClientPlace): Driver;
}

const handshakes: FloorWorkload = { serve: serveHandshakes, createDriver: handshakeDriver };

const workloads: Readonly<Record<Exclude<WorkloadName, 'crowd'>, FloorWorkload>> = {
  handshake: handshakes,
  handshake12: handshakes,
  handshake12id: handshakes,
  transfer: { serve: serveTransfers, createDriver: transferDriver },
  pingpong: { serve: servePingpong, createDriver: pingpongDriver },
  idle: { serve: serveIdle, createDriver: idleDriver },
};

export function serveFloor(workload: WorkloadName, certificate: BenchCertificate): Promise<number> {
  return workloadOf(workload).serve(workload, certificate);
}

export function floorDriver(place: ClientPlace): Driver {
  return workloadOf(place.workload).createDriver(place);
}

function workloadOf(name: WorkloadName): FloorWorkload {
  if (name === 'crowd') {
    throw new Error('the floor has no crowd');
  }
  return workloads[name];
}
