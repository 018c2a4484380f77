/** Early data through `mayfly/tls`: sockets, servers and events. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as tcpConnect } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import {
  ClientSessions,
  type ConnectionOptions,
  connect,
  createServer,
  type Server,
  type SessionOptions,
  type TLSSocket,
  type TlsOptions,
} from '../../src/node/tls.ts';
import { closing, collect, listen, serverOptions, trust } from '../node/support.ts';
import { Relay } from './relay.ts';

interface Setup {
  readonly server: Server;
  readonly relay: Relay;
  /** Of the relay. */
  readonly port: number;
  /** Of the server itself. */
  readonly direct: number;
  readonly sessionCache: ClientSessions;
  readonly sockets: TLSSocket[];
  connect(options?: ConnectionOptions): TLSSocket;
  /** Fills the cache with a session that allows early data. */
  visit(): Promise<void>;
}

async function setUp(
  t: TestContext,
  sessions: SessionOptions = { earlyData: true },
  options: TlsOptions = {},
): Promise<Setup> {
  const sockets: TLSSocket[] = [];
  const server = createServer({ ...serverOptions, sessions, ...options }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
  });
  const direct = await listen(server);
  const [relay, port] = await Relay.to(direct);
  const sessionCache = new ClientSessions();
  t.after(() => {
    relay.close();
    for (const socket of server.secureSockets) {
      socket.destroy();
    }
    server.close();
    sessionCache.clear();
  });
  const open = (more: ConnectionOptions = {}): TLSSocket => {
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust, sessionCache, ...more });
    // Tests end before their connections do.
    return socket.on('error', () => {});
  };
  return {
    server,
    relay,
    port,
    direct,
    sessionCache,
    sockets,
    connect: open,
    async visit() {
      const socket = open();
      socket.resume();
      await Promise.all([once(socket, 'session'), once(server, 'secureConnection')]);
      socket.destroy();
      await once(socket, 'close');
    },
  };
}

const PING = Buffer.from('an early ping');

describe('early data of a socket', () => {
  test('waits at a server that does not ask for it, and comes as data that is no recording', async (t) => {
    const { server, relay, sockets, connect: open, visit } = await setUp(t);
    await visit();
    relay.hold();
    const client = open({ earlyData: PING });
    client.on('earlyDataRejected', () => assert.fail('it was taken'));
    await once(client, 'secureConnect');
    assert.equal(client.mayfly?.earlyData, 'taken');
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(sockets.length, 1, 'only the visit was announced');
    assert.equal(server.counters.earlyData, 0);
    relay.release();
    await once(server, 'secureConnection');
    assert.equal(sockets[1].earlyData, false);
    assert.equal(sockets[1].mayfly?.earlyData, 'taken');
    client.end('and more');
    assert.equal((await collect(sockets[1])).toString(), 'an early pingand more');
    assert.equal(server.counters.earlyData, 1);
    assert.equal(sockets[1].bytesRead, 21);
  });

  test('is told apart by a server that asks for it, and answered before the client has shown that it is there', async (t) => {
    const { server, relay, connect: open, visit } = await setUp(t);
    await visit();
    relay.hold();
    const told: string[] = [];
    server.on('earlyConnection', (socket: TLSSocket) => {
      told.push('earlyConnection');
      assert.equal(socket.earlyData, true);
      assert.equal(socket.mayfly?.resumed, true);
      assert.equal(socket.servername, 'localhost');
      socket.on('earlyData', (chunk: Buffer) => {
        told.push(`early ${chunk}`);
        socket.write('an early pong');
      });
      socket.on('data', (chunk: Buffer) => told.push(`data ${chunk}`));
      socket.once('secure', () => told.push('secure'));
    });
    server.on('secureConnection', () => told.push('secureConnection'));
    const client = open({ earlyData: PING });
    const [pong] = await once(client, 'data');
    assert.equal(String(pong), 'an early pong');
    assert.deepEqual(told, ['earlyConnection', 'early an early ping']);
    client.end('live');
    relay.release();
    await closing(client);
    assert.deepEqual(told, ['earlyConnection', 'early an early ping', 'secure', 'secureConnection', 'data live']);
  });

  test('that is all that the client ever sends ends the connection, as nobody has shown that it is there', async (t) => {
    const { server, relay, connect: open, visit } = await setUp(t);
    await visit();
    relay.hold();
    const codes: unknown[] = [];
    const closed = new Promise((resolve) => {
      server.on('earlyConnection', (early: TLSSocket) => {
        early.resume();
        early.on('earlyData', () => relay.endUpstreams());
        early.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code));
        early.on('close', resolve);
      });
    });
    open({ earlyData: PING });
    await closed;
    assert.deepEqual(codes, ['TLS_ERR_TRUNCATED']);
  });

  test('comes back where the session does not allow it, where there is none, and where it is too long', async (t) => {
    const { server, connect: open, visit, sessionCache } = await setUp(t, { earlyData: { maxEarlyDataSize: 10 } });
    for (const [before, data, why] of [
      ['visit', PING, 'not_sent'],
      ['nothing', Buffer.from('short'), 'not_sent'],
      ['close', Buffer.from('short'), 'refused'],
    ] as const) {
      sessionCache.clear();
      if (before !== 'nothing') {
        await visit();
      }
      if (before === 'close') {
        server.sessions.flush();
      }
      const client = open({ earlyData: data });
      const told: unknown[] = [];
      client.on('earlyDataRejected', (bytes: Buffer, reason: string) => told.push(bytes.toString(), reason));
      await Promise.all([once(client, 'secureConnect'), once(server, 'secureConnection')]);
      assert.deepEqual(told, [data.toString(), why]);
      client.destroy();
    }
    assert.equal(server.counters.earlyDataRefusals.not_resumed, 1);
  });

  test('is off by default: tickets allow none, and none is sent', async (t) => {
    const { server, sockets, connect: open, visit } = await setUp(t, {});
    await visit();
    const client = open({ earlyData: PING });
    const [[, reason]] = await Promise.all([
      once(client, 'earlyDataRejected'),
      once(client, 'secureConnect'),
      once(server, 'secureConnection'),
    ]);
    assert.equal(reason, 'not_sent');
    assert.equal(client.isSessionReused(), true);
    assert.equal(client.mayfly?.earlyData, undefined);
    assert.equal(sockets[1].readableLength, 0);
    client.destroy();
  });

  test('recorded and sent again leads to nothing but a handshake that never ends', async (t) => {
    const { server, relay, direct, connect: open, visit } = await setUp(t);
    await visit();
    const heard: string[] = [];
    server.on('earlyConnection', (socket: TLSSocket) => {
      socket.on('earlyData', (chunk: Buffer) => heard.push(String(chunk)));
      socket.on('error', () => {});
    });
    const client = open({ earlyData: PING });
    await once(client, 'secureConnect');
    client.destroy();
    await once(client, 'close');
    const recording = relay.firstFlights[1];
    for (let i = 0; i < 3; i++) {
      const thief = tcpConnect(direct, '127.0.0.1');
      thief.on('error', () => {});
      thief.write(recording);
      await once(thief, 'data');
      thief.destroy();
    }
    assert.deepEqual(heard, ['an early ping']);
  });

  test('waits where clients are asked for certificates', async (t) => {
    const {
      server,
      relay,
      connect: open,
      visit,
    } = await setUp(t, { earlyData: true }, { requestCert: true, rejectUnauthorized: false });
    await visit();
    relay.hold();
    let early = false;
    server.on('earlyConnection', () => {
      early = true;
    });
    const client = open({ earlyData: PING });
    await once(client, 'secureConnect');
    const announced = once(server, 'secureConnection');
    relay.release();
    const [socket] = (await announced) as [TLSSocket];
    assert.equal(String((await once(socket, 'data'))[0]), 'an early ping');
    assert.equal(early, false);
    client.destroy();
  });

  test('a register of the host is asked, and believed; one that fails takes nothing', async (t) => {
    const claimed: string[] = [];
    let answer: 'fresh' | 'used' | 'throw' | 'nonsense' = 'fresh';
    const register = {
      claim: async (ticketId: Uint8Array, expiresAt: number) => {
        assert.equal(ticketId.length, 16);
        assert(expiresAt > Date.now());
        claimed.push(answer);
        if (answer === 'throw') {
          throw new Error('the store is away');
        }
        return answer as 'fresh';
      },
    };
    const { connect: open, visit } = await setUp(t, { earlyData: { register } });
    for (answer of ['fresh', 'used', 'throw', 'nonsense'] as const) {
      await visit();
      const client = open({ earlyData: PING });
      client.on('earlyDataRejected', () => {});
      await once(client, 'secureConnect');
      assert.equal(client.mayfly?.earlyData, answer === 'fresh' ? 'taken' : 'refused', answer);
      assert.equal(client.isSessionReused(), true);
      client.destroy();
    }
    assert.deepEqual(claimed, ['fresh', 'used', 'throw', 'nonsense']);
  });

  test('tickets that resume once make a second try a full handshake', async (t) => {
    const { server, connect: open, visit } = await setUp(t, { singleUse: true });
    await visit();
    const first = open();
    const [[session]] = await Promise.all([once(first, 'session'), once(server, 'secureConnection')]);
    first.destroy();
    for (const reused of [true, false]) {
      const client = open({ session, sessionCache: undefined });
      await Promise.all([once(client, 'secureConnect'), once(server, 'secureConnection')]);
      assert.equal(client.isSessionReused(), reused);
      client.destroy();
    }
    assert.deepEqual(server.counters.refusals, { used_ticket: 1 });
  });

  test('options out of their range are told at once, as is a shared ring without a shared register', () => {
    const make = (sessions: SessionOptions) => () => createServer({ ...serverOptions, sessions });
    const wrong = { code: 'TLS_ERR_CONFIG' };
    assert.throws(make({ earlyData: { maxEarlyDataSize: 0 } }), wrong);
    assert.throws(make({ earlyData: { maxEarlyDataSize: 2 ** 20 + 1 } }), wrong);
    assert.throws(make({ earlyData: { freshnessWindow: 61 } }), wrong);
    assert.throws(make({ earlyData: { freshnessWindow: 'soon' } }), wrong);
    assert.throws(make({ earlyData: { recordingSince: -1 } }), wrong);
    const keys = { sealingKey: () => undefined, openingKey: () => undefined, status: () => [] };
    assert.throws(make({ keys, earlyData: true }), wrong);
    assert.throws(make({ keys, singleUse: true }), wrong);
    make({ keys, earlyData: { register: { claim: () => 'fresh' } } })().close();
    make({ earlyData: { maxEarlyDataSize: 1, freshnessWindow: '1ms' } })().close();
  });
});
