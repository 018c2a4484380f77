/** A thousand connections leave nothing behind: no secret, no listener, no handle. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import * as net from 'node:net';
import { test } from 'node:test';
import { type SecretBorn, type SecretEnded, secretBorn, secretEnded } from '../../src/ledger/channels.ts';
import * as tls from '../../src/node/tls.ts';
import { closing, delay, listen, serverOptions, trust } from './support.ts';

const CONNECTIONS = 1_050;
const AT_ONCE = 25;

/** Each ends in its own way. */
const endings: readonly ((port: number, secureContext: tls.SecureContext, n: number) => Promise<unknown>)[] = [
  // An ordinary exchange.
  async (port, secureContext) => {
    const socket = connect(port, secureContext);
    socket.end('hello');
    socket.resume();
    await closing(socket);
  },
  // The client destroys after the handshake.
  async (port, secureContext) => {
    const socket = connect(port, secureContext);
    await once(socket, 'secureConnect');
    socket.destroy();
    await closing(socket);
  },
  // The client destroys within the handshake.
  async (port, secureContext) => {
    const socket = connect(port, secureContext);
    await once(socket, 'connect');
    socket.destroy();
    await closing(socket);
  },
  // The transport is reset after the handshake.
  async (port, secureContext) => {
    const raw = net.connect(port, '127.0.0.1');
    const socket = tls.connect({ socket: raw, servername: 'localhost', secureContext });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    raw.resetAndDestroy();
    await closing(socket);
  },
  // Bytes that are not TLS.
  async (port) => {
    const raw = net.connect(port, '127.0.0.1');
    raw.on('error', () => {});
    raw.end('nonsense\r\n');
    raw.resume();
    await closing(raw);
  },
  // TLS 1.2 in full, and resumed by its ID or ticket.
  async (port, _secureContext, n) => {
    const versioned = n % 4 < 2 ? contexts12[0] : contexts12[1];
    const first = connect(port, versioned);
    await once(first, 'secureConnect');
    const session = first.getSession();
    first.end().resume();
    await closing(first);
    const second = connect(port, versioned, session);
    second.end('again');
    second.resume();
    await closing(second);
  },
  // A resumption.
  async (port, secureContext) => {
    const first = connect(port, secureContext);
    first.resume();
    const [session] = await once(first, 'session');
    first.end();
    await closing(first);
    const second = connect(port, secureContext, session);
    second.end('again');
    second.resume();
    await closing(second);
  },
];

const contexts12: readonly tls.SecureContext[] = [0, constants.SSL_OP_NO_TICKET].map((secureOptions) =>
  tls.createSecureContext({ ...trust, ecdhCurve: 'X25519', maxVersion: 'TLSv1.2', secureOptions }),
);

function connect(port: number, secureContext: tls.SecureContext, session?: Buffer): tls.TLSSocket {
  const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', secureContext, session });
  socket.on('error', () => {});
  return socket;
}

test(`${CONNECTIONS} connections that end in every way leave no secret, listener or handle behind`, async () => {
  const live = new Map<number, string>();
  const onBorn = (message: unknown) => live.set((message as SecretBorn).id, (message as SecretBorn).kind);
  const onEnded = (message: unknown) => live.delete((message as SecretEnded).id);
  secretBorn.subscribe(onBorn);
  secretEnded.subscribe(onEnded);
  const server = tls.createServer(serverOptions, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.on('tlsClientError', () => {});
  const listeners = server.eventNames().map((name) => [name, server.listenerCount(name)]);
  const port = await listen(server);
  const secureContext = tls.createSecureContext({ ...trust, ecdhCurve: 'X25519' });
  const handlesBefore = tcpHandles();

  let next = 0;
  const worker = async () => {
    for (let n = next++; n < CONNECTIONS; n = next++) {
      await endings[n % endings.length](port, secureContext, n);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  for (let i = 0; i < 200 && server.secureSockets.size > 0; i++) {
    await delay(10);
  }

  assert.equal(server.secureSockets.size, 0);
  assert.equal(server.counters.open, 0);
  assert.deepEqual(
    server.eventNames().map((name) => [name, server.listenerCount(name)]),
    listeners,
  );
  const close = once(server, 'close');
  server.close();
  await close;
  assert.deepEqual([...new Set(live.values())], [], `${live.size} secrets are alive`);
  for (let i = 0; i < 200 && tcpHandles() > handlesBefore; i++) {
    await delay(10);
  }
  assert.ok(tcpHandles() <= handlesBefore, process.getActiveResourcesInfo().join(' '));
  secretBorn.unsubscribe(onBorn);
  secretEnded.unsubscribe(onEnded);
});

function tcpHandles(): number {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP')).length;
}
