/** Worker: one client or one server with one engine in a process of its own, told over IPC what to do. */

import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { clientPins, type Engine, type EngineSocket, loadEngine, rememberById, serverPins } from './engine.ts';
import type { Errand, LoopDelay, MemoryUse, Reply, Request, Start } from './messages.ts';
import { crowd } from './rows/crowd.ts';
import { handshake } from './rows/handshake.ts';
import { idle } from './rows/idle.ts';
import { pingpong } from './rows/pingpong.ts';
import { transfer } from './rows/transfer.ts';
import type { Driver, Workload, WorkloadName } from './workload.ts';

const workloads: Record<WorkloadName, Workload> = {
  crowd,
  handshake,
  handshake12: handshake,
  handshake12id: handshake,
  idle,
  pingpong,
  transfer,
};

/** Milliseconds between two looks at the event loop, which its delay includes. */
const RESOLUTION_MS = 5;
/** Of a client: sends a connection where the errand says. */
let driverFor: ((errand: Errand) => Driver) | undefined;
let profiler: Session | undefined;
const loopDelay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

process.on('disconnect', () => process.exit(0));
process.on('message', (message: Start | Request) => {
  if (message.kind === 'start') {
    start(message).catch((error: unknown) => {
      console.error(error);
      process.exit(1);
    });
    return;
  }
  answer(message).then(
    (value) => send({ kind: 'answer', id: message.id, value }),
    (error: unknown) => send({ kind: 'failed', id: message.id, message: describe(error) }),
  );
});

async function start(options: Start): Promise<void> {
  if (options.engine === 'floor') {
    send({ kind: 'ready', port: await startFloor(options) });
    return;
  }
  const engine = await loadEngine(options.engine);
  const workload = workloads[options.workload];
  if (options.role === 'server') {
    send({ kind: 'ready', port: await serve(engine, workload, options) });
    return;
  }
  driverFor = clientDrivers(engine, workload, options);
  send({ kind: 'ready', port: 0 });
}

/** Resolves with a server's port, or 0. */
async function startFloor({ role, workload, certificate, ports }: Start): Promise<number> {
  const { floorDriver, serveFloor } = await import('./floor/floor.ts');
  if (role === 'server') {
    return serveFloor(workload, certificate);
  }
  driverFor = keepDrivers(({ to, pin }) => floorDriver({ workload, port: ports[to] ?? 0, pin, certificate }));
  return 0;
}

/** One driver for each server, pin and manner of connecting: it may keep connections from one errand to the next. */
function keepDrivers(make: (errand: Errand) => Driver): (errand: Errand) => Driver {
  const drivers = new Map<string, Driver>();
  return (errand) => {
    const name = `${errand.to} ${errand.pin} ${errand.usual}`;
    const driver = drivers.get(name) ?? make(errand);
    drivers.set(name, driver);
    return driver;
  };
}

function clientDrivers(engine: Engine, workload: Workload, { certificate, ports }: Start): (errand: Errand) => Driver {
  return keepDrivers(({ to, pin, usual }) => {
    const trust = { ca: certificate.ca, ...clientPins(pin) };
    // One context for all connects is node:tls at its best; `ca` on each is what most code has.
    const security = usual ? trust : { secureContext: engine.createSecureContext(trust) };
    const common = { host: '127.0.0.1', port: ports[to], servername: 'localhost', noDelay: true, ...security };
    return workload.createDriver((extra): EngineSocket => {
      const socket = engine.connect({ ...common, ...extra });
      socket.setNoDelay(true);
      return socket;
    });
  });
}

function serve(engine: Engine, workload: Workload, options: Start): Promise<number> {
  const { cert, key } = options.certificate;
  const server = engine.createServer({ cert, key, noDelay: true, ...serverPins(options.workload) });
  if (options.workload === 'handshake12id') {
    rememberById(options.engine, server);
  }
  server.on('secureConnection', (socket) => workload.serve(socket));
  server.on('tlsClientError', () => {});
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

async function answer(request: Request): Promise<unknown> {
  switch (request.kind) {
    case 'drive': {
      if (driverFor === undefined) {
        throw new Error('only a client can drive');
      }
      const drive = driverFor(request.errand);
      const before = cpuMicros();
      const done = await drive(request.ms, request.errand.options);
      return { ...done, cpuMicros: cpuMicros() - before };
    }
    case 'usage':
      return cpuMicros();
    case 'memory':
      return memoryUse();
    case 'delay':
      return takeDelay();
    case 'startProfile':
      return startProfile();
    case 'stopProfile':
      return stopProfile(request.path);
  }
}

function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function memoryUse(): Promise<MemoryUse> {
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heap: heapUsed + external };
}

/** The first call starts the watch. */
function takeDelay(): LoopDelay {
  const inMs = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  const delay = {
    p50: inMs(loopDelay.percentile(50)),
    p99: inMs(loopDelay.percentile(99)),
    max: inMs(loopDelay.max),
  };
  loopDelay.enable();
  loopDelay.reset();
  return delay;
}

async function startProfile(): Promise<void> {
  profiler = new Session();
  profiler.connect();
  await profiler.post('Profiler.enable');
  await profiler.post('Profiler.setSamplingInterval', { interval: 200 });
  await profiler.post('Profiler.start');
}

async function stopProfile(path: string): Promise<void> {
  const { profile } = (await profiler?.post('Profiler.stop')) ?? {};
  profiler?.disconnect();
  profiler = undefined;
  writeFileSync(path, JSON.stringify(profile));
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const { code } = error as { code?: string };
  // OpenSSL's come with the end of a line, and with its source file after the reason.
  const [message] = error.message.trim().split('\n');
  return code === undefined || message.includes(code) ? message : `${code}: ${message}`;
}

function send(reply: Reply): void {
  if (process.connected) {
    process.send?.(reply);
  }
}
