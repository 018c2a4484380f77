/** TLS 1.2 sessions over mayfly/tls that end with a fatal alert, and how long those by ID live without tickets. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import * as tls from '../../src/node/tls.ts';
import { between, closing, failure, mayfly } from './support.ts';

const { serve, connect } = between(mayfly, mayfly, 'TLSv1.2');
const byId = { tickets: false, sessionIds: true };
const wanted = () => new tls.TLSError('TLS_ERR_INTERNAL', 'as the test wants');

/** A server that gives up with a fatal alert as soon as it is told something. */
const serveTouchily = (options: tls.TlsOptions) =>
  serve(options, (socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.giveUp('internal_error', wanted()));
  });

/** The session of a connection that ends well. */
async function visit(port: number, options: tls.ConnectionOptions = {}): Promise<[Buffer, boolean]> {
  const socket = connect(port, options);
  await once(socket, 'secureConnect');
  const session = socket.getSession() as Buffer;
  socket.end().resume();
  await once(socket, 'close');
  return [session, socket.isSessionReused()];
}

/** A connection that the server ends with a fatal alert. */
async function touch(port: number, options: tls.ConnectionOptions): Promise<void> {
  const socket = connect(port, options);
  socket.write('x');
  socket.resume();
  assert.equal((await failure(socket, 'end')).code, 'TLS_ERR_ALERT_RECEIVED');
  await closing(socket);
}

describe('TLS 1.2 sessions by ID that end with a fatal alert', () => {
  test('are forgotten by the server', async () => {
    const [server, port] = await serveTouchily({ sessions: byId });
    const [session] = await visit(port);
    assert.deepEqual(await visit(port, { session }), [session, true]);
    assert.equal(server.sessions.stats().entries, 1);
    await touch(port, { session });
    assert.equal(server.sessions.stats().entries, 0);
    assert.equal((await visit(port, { session }))[1], false);
    server.close();
  });

  test('are deleted from a cache outside, after they were set there', async () => {
    const held = new Map<string, Uint8Array>();
    const calls: string[] = [];
    let release: (() => void) | undefined;
    const cache = {
      get: (id: Uint8Array) => held.get(Buffer.from(id).toString('hex')),
      async set(id: Uint8Array, value: Uint8Array) {
        await new Promise<void>((resolve) => {
          release = resolve;
          setTimeout(resolve, 30);
        });
        calls.push('set');
        held.set(Buffer.from(id).toString('hex'), value);
      },
      delete(id: Uint8Array) {
        calls.push('delete');
        held.delete(Buffer.from(id).toString('hex'));
      },
    };
    const [server, port] = await serveTouchily({ sessions: { ...byId, cache } });
    await touch(port, {});
    release?.();
    while (calls.length < 2) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(calls, ['set', 'delete']);
    assert.equal(held.size, 0);
    server.close();
  });

  test('stay where the connection ends well, or is cut off', async () => {
    const [server, port] = await serve({ sessions: byId }, (socket) => socket.on('error', () => {}).resume());
    const [session] = await visit(port);
    const socket = connect(port, { session });
    await once(socket, 'secureConnect');
    socket.destroy();
    await once(socket, 'close');
    assert.equal((await visit(port, { session }))[1], true);
    server.close();
  });

  for (const secureOptions of [0, constants.SSL_OP_NO_TICKET]) {
    test(`are dropped by a client that gives up itself (${secureOptions === 0 ? 'ticket' : 'id'})`, async () => {
      const [server, port] = await serve({}, (socket) => socket.on('error', () => {}).resume());
      server.on('tlsClientError', () => {});
      const sessionCache = new tls.ClientSessions();
      await visit(port, { sessionCache, secureOptions });
      assert.equal(sessionCache.size, 1);
      const socket = connect(port, { sessionCache, secureOptions });
      await once(socket, 'secureConnect');
      assert.equal(socket.isSessionReused(), true);
      // Without an alert in the error: it is the core that tells.
      socket.giveUp('internal_error', new tls.TLSError('TLS_ERR_CONFIG', 'as the test wants'));
      await failure(socket, 'end');
      assert.equal(sessionCache.size, 0);
      server.close();
    });
  }
});

describe('TLS 1.2 sessions by ID without tickets', () => {
  const lifetimes = (sessions: tls.SessionOptions, sessionTimeout?: number) => {
    const made = new tls.ServerSessions(sessions, sessionTimeout);
    made.close();
    return made.lifetimes;
  };

  test('live as sessionTimeout, ticketLifetime and handshakeValidity say, and no longer than a sealing period', () => {
    const of = ({ ticketLifetime, handshakeValidity }: ReturnType<typeof lifetimes>) => [
      ticketLifetime,
      handshakeValidity,
    ];
    assert.deepEqual(of(lifetimes(byId)), [3600, 86_400]);
    assert.deepEqual(of(lifetimes(byId, 300)), [300, 86_400]);
    assert.deepEqual(of(lifetimes({ ...byId, ticketLifetime: '10m', handshakeValidity: '2h' }, 300)), [600, 7200]);
    assert.deepEqual(of(lifetimes({ ...byId, rotate: '5m' })), [300, 86_400]);
    assert.deepEqual(of(lifetimes({ ...byId, dangerouslyLongTls12Sessions: true })), [7200, 86_400]);
    assert.throws(() => new tls.ServerSessions({ ...byId, handshakeValidity: '8d' }), { code: 'TLS_ERR_CONFIG' });
    assert.throws(() => new tls.ServerSessions({ ...byId, ticketLifetime: '24h', rotate: '25h' }), {
      code: 'TLS_ERR_CONFIG',
    });
  });

  test('are over when sessionTimeout is', async () => {
    const [server, port] = await serve({ sessions: byId, sessionTimeout: 1 });
    const began = performance.now();
    const [session] = await visit(port);
    const [, resumed] = await visit(port, { session });
    // On a machine that is busy with other things a second may be over by now.
    assert.ok(resumed || performance.now() - began >= 1000);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    assert.equal((await visit(port, { session }))[1], false);
    server.close();
  });
});
