/**
 * A program as its operators write it: a primary, workers that serve TLS on one port, and threads that do on their own.
 * Told what to do by lines on its standard input: 'fork', 'flush', 'rotate', 'thread', 'end'.
 */

import cluster from 'node:cluster';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import * as nodeTls from 'node:tls';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { createDevelopmentCa, issueServerCertificate } from '../../src/certificates/development-ca.ts';
import { machineRing } from '../../src/node/machine-ring.ts';
import { manageTickets } from '../../src/node/native.ts';
import * as mayflyTls from '../../src/node/tls.ts';

const engine = process.env.ENGINE ?? 'mayfly';
const ring = machineRing();

if (cluster.isPrimary && isMainThread) {
  const ca = createDevelopmentCa({ now: Date.now() });
  const { certificatePem, privateKeyPem } = issueServerCertificate({ ca, names: ['localhost'], now: Date.now() });
  const env = { CERT: certificatePem, KEY: privateKeyPem };
  cluster.on('message', (_worker, message) => {
    if (typeof message === 'string') {
      console.log(message);
    }
  });
  console.log('primary ready');
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'fork') {
      cluster.fork(env);
    } else if (line === 'flush') {
      await ring.flush();
      console.log('flushed');
    } else if (line === 'rotate') {
      ring.rotate();
      console.log('rotated');
    } else if (line === 'thread') {
      const thread = new Worker(new URL(import.meta.url), { env: { ...process.env, ...env } });
      thread.on('message', (message) => console.log(message));
    } else if (line === 'end') {
      process.exit(0);
    }
  }
} else {
  const tell = (text: string) => (isMainThread ? process.send?.(text) : parentPort?.postMessage(text));
  const who = isMainThread ? `process ${process.pid}` : 'thread';
  const options = { cert: process.env.CERT, key: process.env.KEY };
  const onSocket = (socket: { end(text: string): unknown; on(event: 'error', listener: () => void): unknown }) => {
    socket.on('error', () => {});
    socket.end(who);
  };
  const server =
    engine === 'mayfly'
      ? mayflyTls.createServer({ ...options, sessions: { keys: ring } }, onSocket)
      : nodeTls.createServer(options, onSocket);
  if (engine === 'native') {
    manageTickets(server as nodeTls.Server, ring);
  }
  // Waiting for the ring keeps no process alive: the server does.
  server.listen(isMainThread ? Number(process.env.PORT) : 0, '127.0.0.1', async () => {
    await ring.ready;
    tell(`serving by ${who} on ${(server.address() as AddressInfo).port}`);
  });
}
