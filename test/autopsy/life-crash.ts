/**
 * A process, or a worker thread of one, that ends with all of it alive: open connections of both versions, a client's kept sessions, a server's ring and
 * its sessions by ID, and a member of a fleet. After Mayfly's own 'exit' listener it stops, for its memory to be looked at.
 */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { isMainThread, Worker } from 'node:worker_threads';
import { createDevelopmentCa, issueServerCertificate } from '../../src/certificates/development-ca.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { createIdentityFiles } from '../../src/fleet/identity.ts';
import { MemoryStore } from '../../src/fleet/memory-store.ts';
import { joinFleet } from '../../src/node/fleet.ts';
import { ClientSessions, connect, createServer } from '../../src/node/tls.ts';
import { testify } from './testimony.ts';

export type Crash = 'exit' | 'exception' | 'rejection' | 'SIGTERM' | 'SIGINT' | 'worker';

export async function liveAndCrash(how: Crash): Promise<number> {
  if (how === 'worker') {
    const worker = new Worker(new URL(import.meta.url));
    await once(worker, 'exit');
    process.kill(process.pid, 'SIGSTOP');
    return 0;
  }
  testify();
  const now = Date.now();
  const ca = createDevelopmentCa({ now });
  const { certificatePem: cert, privateKeyPem: key } = issueServerCertificate({ ca, names: ['localhost'], now });
  const [identity] = createIdentityFiles(nodeProvider, 'fleet', ['one']);
  const store = new MemoryStore(() => Date.now());
  const firstKey = new Promise<void>((resolve) => {
    joinFleet({ identity, store: () => store, rotate: 6, ticketLifetime: 6, onEvent: () => resolve() });
  });
  const sessionCache = new ClientSessions();
  const servers = [
    createServer({ cert, key }),
    createServer({ cert, key, sessions: { tickets: false, sessionIds: true } }),
  ];
  for (const server of servers) {
    server.on('secureConnection', (socket) =>
      socket
        .resume()
        .on('error', () => {})
        .write('x'),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
      const socket = connect({
        host: '127.0.0.1',
        port: (server.address() as AddressInfo).port,
        servername: 'localhost',
        ca: ca.certificatePem,
        minVersion: version,
        maxVersion: version,
        sessionCache,
      });
      await once(socket, 'data');
    }
  }
  await firstKey;
  if (isMainThread) {
    process.on('exit', () => process.kill(process.pid, 'SIGSTOP'));
  }
  switch (how) {
    case 'exit':
      process.exit(0);
      break;
    case 'exception':
      setImmediate(() => {
        throw new Error('nobody catches this');
      });
      break;
    case 'rejection':
      void Promise.reject(new Error('nobody handles this'));
      break;
    default:
      // As docs/memory.md tells applications to.
      process.once(how, () => process.exit(1));
      process.kill(process.pid, how);
      break;
  }
  return 0;
}

if (!isMainThread) {
  await liveAndCrash('exit');
}
