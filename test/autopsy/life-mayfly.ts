/** A life of Mayfly: full, resumed, updated and closed connections, and rings of ticket keys that turn meanwhile. */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createDevelopmentCa, issueServerCertificate } from '../../src/certificates/development-ca.ts';
import { hasNativeMlKem } from '../../src/crypto/capabilities.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { ringConfiguration } from '../../src/fleet/configuration.ts';
import { createIdentityFiles, readIdentityFile } from '../../src/fleet/identity.ts';
import { MemoryStore } from '../../src/fleet/memory-store.ts';
import { Ring } from '../../src/fleet/ring.ts';
import { ticketKeyUses } from '../../src/fleet/ring-keys.ts';
import { ClientSessions, connect, createServer, type Server, type TlsOptions } from '../../src/node/tls.ts';
import type { Clock } from '../../src/session/clock.ts';
import { liveMlKem } from './key-shares.ts';
import { liveOther } from './life-other.ts';
import { type Case, cases, epochs, payload, rounds, type Scale, updates } from './scale.ts';
import { testify } from './testimony.ts';

const POLICY = 'default';
/** A ring's shortest epoch is six seconds: its clock runs that much faster. */
const HASTE = 20;
const EPOCH = 6_000;

export async function live(scale: Scale): Promise<number> {
  testify();
  const now = Date.now();
  const ca = createDevelopmentCa({ now });
  const { certificatePem: cert, privateKeyPem: key } = issueServerCertificate({ ca, names: ['localhost'], now });
  let count = 0;
  for (const each of cases) {
    count += await liveCase(scale, each, { cert, key }, ca.certificatePem);
  }
  count += await liveRing(scale, { cert, key }, ca.certificatePem);
  count += await liveOther(scale, { cert, key, ca: ca.certificatePem });
  if (!hasNativeMlKem()) {
    liveMlKem(rounds[scale]);
  }
  return count;
}

async function liveCase(scale: Scale, each: Case, credentials: TlsOptions, ca: string): Promise<number> {
  const server = await open(each, {
    ...credentials,
    sessions: { rotate: 1, ticketLifetime: 2, ...(each.byId === true ? { tickets: false, sessionIds: true } : {}) },
  });
  const sessionCache = new ClientSessions();
  const visit = () => converse(scale, each, portOf(server), ca, sessionCache);
  let count = 0;
  for (let round = 0; round < rounds[scale]; round++) {
    for (let turn = 0; turn < 3; turn++, count++) {
      await visit();
    }
    sessionCache.clear();
    if (each.byId !== true) {
      server.sessions.rotate();
    }
  }
  await close(server);
  return count;
}

/** A server whose ticket keys come from a ring of two members. */
async function liveRing(scale: Scale, credentials: TlsOptions, ca: string): Promise<number> {
  const clock = new HastyClock();
  const files = createIdentityFiles(nodeProvider, 'fleet', ['one', 'two']).map((text) =>
    readIdentityFile(nodeProvider, text),
  );
  const configuration = ringConfiguration({
    fleetName: 'fleet',
    allowList: files[0].members.map(({ publicKey }) => publicKey),
    epochLength: EPOCH,
    ticketLifetime: EPOCH,
  });
  const store = new MemoryStore(() => clock.now());
  const sealing: (() => void)[] = [];
  const rings = files.map(
    ({ identity, name }) =>
      new Ring({
        provider: nodeProvider,
        configuration,
        identity,
        name,
        uses: ticketKeyUses(POLICY),
        store,
        clock,
        onEvent: (event) => {
          if (event.kind === 'sealing') {
            sealing.shift()?.();
          }
        },
      }),
  );
  let count = 0;
  const sessionCache = new ClientSessions();
  const servers = await Promise.all(
    rings.map((ring) =>
      open(cases[0], { ...credentials, sessions: { keys: ring.ticketKeys(POLICY), ticketLifetime: EPOCH / 1_000 } }),
    ),
  );
  for (let epoch = 0; epoch < epochs[scale]; epoch++) {
    await new Promise<void>((resolve) => sealing.push(resolve));
    for (const each of [cases[0], cases[3]]) {
      for (const server of servers) {
        await converse(scale, each, portOf(server), ca, sessionCache);
        count++;
      }
    }
  }
  sessionCache.clear();
  await Promise.all(servers.map(close));
  await Promise.all(rings.map((ring) => ring.close()));
  return count;
}

async function open({ ciphers, group }: Case, options: TlsOptions): Promise<Server> {
  const isRing = options.sessions !== undefined && 'keys' in options.sessions;
  const server = createServer({ ...options, ...(isRing ? {} : { ciphers, ecdhCurve: group }) }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function converse(
  scale: Scale,
  { version, ciphers, group }: Case,
  port: number,
  ca: string,
  sessionCache: ClientSessions,
): Promise<void> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ca,
    ciphers,
    ecdhCurve: group,
    minVersion: version,
    maxVersion: version,
    sessionCache,
  });
  await once(socket, 'secureConnect');
  const size = payload[scale];
  let expected = 0;
  let received = 0;
  let wake = () => {};
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received >= expected) {
      wake();
    }
  });
  const parts = version === 'TLSv1.3' ? updates[scale] + 1 : 1;
  for (let part = 0; part < parts; part++) {
    expected += size;
    socket.write(Buffer.alloc(size, 'mayfly'));
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
    if (part + 1 < parts) {
      socket.updateKeys();
    }
  }
  socket.exportKeyingMaterial(32, 'EXPORTER-autopsy').fill(0);
  socket.end();
  await once(socket, 'close');
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function close(server: Server): Promise<void> {
  server.close();
  await once(server, 'close');
}

class HastyClock implements Clock {
  readonly #begin = Date.now();

  now(): number {
    return this.#begin + HASTE * (Date.now() - this.#begin);
  }

  monotonic(): number {
    return HASTE * performance.now();
  }

  setTimer(callback: () => void, ms: number): { cancel(): void } {
    const timer = setTimeout(callback, ms / HASTE);
    return { cancel: () => clearTimeout(timer) };
  }
}
