/** Sessions of TLS 1.2 over mayfly/tls: by ID and by ticket, kept here or elsewhere, at both ends, and counted. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import * as https from '../../src/node/https.ts';
import * as tls from '../../src/node/tls.ts';
import { decodeClientSession } from '../../src/session/client-session.ts';
import { refuses } from '../support/refusals.ts';
import {
  between,
  certificateFor,
  closing,
  collect,
  failure,
  listen,
  mayfly,
  native,
  serverOptions,
  trust,
} from './support.ts';

const { serve, connect } = between(mayfly, mayfly, 'TLSv1.2');
const witness = between(native, mayfly, 'TLSv1.2');
const byId = { tickets: false, sessionIds: true };

interface Visit {
  readonly socket: tls.TLSSocket;
  readonly session: Buffer;
  readonly reused: boolean;
}

/** One connection from beginning to end. */
async function visit(port: number, options: tls.ConnectionOptions = {}, dial = connect): Promise<Visit> {
  const socket = dial(port, options);
  await once(socket, 'secureConnect');
  const session = socket.getSession() as Buffer;
  const reused = socket.isSessionReused();
  socket.end().resume();
  await once(socket, 'close');
  return { socket, session, reused };
}

describe('TLS 1.2 sessions of a server', () => {
  for (const [how, sessions] of [
    ['ticket', {}],
    ['id', byId],
  ] as const) {
    test(`are resumed by ${how}, again and again, and counted`, async () => {
      const [server, port] = await serve({ sessions });
      const seen: (string | undefined)[] = [];
      server.on('secureConnection', (socket: tls.TLSSocket) => seen.push(socket.mayfly?.resumedBy));
      let { session, reused } = await visit(port);
      assert.equal(reused, false);
      assert.equal(decodeClientSession(session).ticket.length > 0, how === 'ticket');
      for (let i = 0; i < 3; i++) {
        ({ session, reused } = await visit(port, { session }));
        assert.equal(reused, true);
      }
      assert.deepEqual(seen, [undefined, how, how, how]);
      const { full, resumed, byVersion, refusals } = server.counters;
      assert.deepEqual({ full, resumed, refusals }, { full: 1, resumed: 3, refusals: {} });
      assert.deepEqual(byVersion['TLSv1.2'], {
        full: 1,
        resumedByTicket: how === 'ticket' ? 3 : 0,
        resumedById: how === 'id' ? 3 : 0,
      });
      assert.deepEqual(byVersion['TLSv1.3'], { full: 0, resumedByTicket: 0, resumedById: 0 });
      const { entries, hits } = server.sessions.stats();
      assert.deepEqual({ entries, hits }, how === 'id' ? { entries: 1, hits: 3 } : { entries: 0, hits: 0 });
      server.close();
    });
  }

  test('flush ends those by ID and by ticket, and rotate neither', async () => {
    const [server, port] = await serve({});
    const ticket = await visit(port);
    const id = await visit(port, { secureOptions: constants.SSL_OP_NO_TICKET });
    assert.equal(decodeClientSession(id.session).ticket.length, 0);
    const reused = async ({ session }: Visit) => (await visit(port, { session })).reused;
    server.sessions.rotate();
    assert.deepEqual([await reused(ticket), await reused(id)], [true, true]);
    server.sessions.flush();
    assert.deepEqual([await reused(ticket), await reused(id)], [false, false]);
    server.close();
  });

  test('end by ID with the keys of a ring that was made elsewhere, whoever flushes it', async () => {
    const ring = new tls.ServerSessions();
    const [server, port] = await serve({ sessions: { keys: ring } });
    const { session } = await visit(port, { secureOptions: constants.SSL_OP_NO_TICKET });
    assert.equal((await visit(port, { session })).reused, true);
    ring.flush();
    assert.equal((await visit(port, { session })).reused, false);
    server.close();
    ring.close();
  });

  test('are bounded in number, and the one used longest ago makes room', async () => {
    const [server, port] = await serve({ sessions: { ...byId, maxSessions: 2 } });
    const sessions: Buffer[] = [];
    for (let i = 0; i < 3; i++) {
      sessions.push((await visit(port)).session);
    }
    const { entries, evicted, bytes } = server.sessions.stats();
    assert.deepEqual({ entries, evicted }, { entries: 2, evicted: 1 });
    assert.ok(bytes / entries < 300, `${bytes} bytes for ${entries} sessions`);
    assert.equal((await visit(port, { session: sessions[1] })).reused, true);
    assert.equal((await visit(port, { session: sessions[0] })).reused, false);
    server.close();
  });

  test('are gone with the server, and a server that listens again keeps new ones', async () => {
    const [server, port] = await serve({ sessions: byId });
    const { session } = await visit(port);
    server.close();
    await once(server, 'close');
    assert.equal(server.sessions.stats().entries, 0);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const again = await visit(port, { session });
    assert.equal(again.reused, false);
    assert.equal((await visit(port, { session: again.session })).reused, true);
    server.close();
  });

  test('are none without tickets and session IDs, and tickets: false alone means neither', async () => {
    for (const sessions of [{ tickets: false }, { tickets: false, sessionIds: false }]) {
      const [server, port] = await serve({ sessions });
      const socket = connect(port);
      await once(socket, 'secureConnect');
      assert.equal(socket.getSession(), undefined);
      assert.equal(socket.getTLSTicket(), undefined);
      socket.end().resume();
      await once(socket, 'close');
      assert.deepEqual(server.sessions.stats(), { entries: 0, bytes: 0, hits: 0, misses: 0, evicted: 0, expired: 0 });
      server.close();
    }
    const [server, port] = await serve({ secureOptions: constants.SSL_OP_NO_TICKET });
    const { session } = await visit(port);
    assert.equal(decodeClientSession(session).ticket.length, 0);
    assert.equal((await visit(port, { session })).reused, true);
    server.close();
  });

  test('do not outlive a change of the certificate, nor lead to another name, nor to TLS 1.3', async () => {
    for (const sessions of [{}, byId]) {
      const options = certificateFor('localhost', 'b.test');
      const [server, port] = await serve({ ...options, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', sessions });
      const { session } = await visit(port);
      assert.equal((await visit(port, { session, servername: 'b.test' })).reused, false);
      const newer = await visit(port, { session, maxVersion: 'TLSv1.3' });
      assert.deepEqual([newer.socket.getProtocol(), newer.reused], ['TLSv1.3', false]);
      server.setSecureContext(certificateFor('localhost'));
      assert.equal((await visit(port, { session })).reused, false);
      assert.deepEqual({ ...server.counters.refusals }, { policy_changed: 1 });
      server.close();
    }
  });

  test('options that make no sense are refused', () => {
    for (const sessions of [{ maxSessions: 0 }, { maxSessions: 1.5 }, { maxSessionBytes: 1_000 }]) {
      refuses('TLS_ERR_CONFIG', () => tls.createServer({ ...serverOptions, sessions }));
    }
  });
});

describe('TLS 1.2 sessions kept outside', () => {
  for (const [name, side, options] of [
    ['mayfly', { serve, connect }, {}],
    ['node:tls', witness, { secureOptions: constants.SSL_OP_NO_TICKET }],
  ] as const) {
    test(`newSession and resumeSession are the store, at once and later, at a server of ${name}`, async () => {
      const [server, port] = await side.serve(name === 'mayfly' ? { sessions: byId } : options);
      const store = new Map<string, Buffer>();
      const events: string[] = [];
      server.on('newSession', (id: Buffer, data: Buffer, done: () => void) => {
        events.push('new');
        assert.ok(Buffer.isBuffer(id) && Buffer.isBuffer(data) && id.length === 32);
        store.set(id.toString('hex'), data);
        setTimeout(done, 5);
      });
      let later = true;
      server.on('resumeSession', (id: Buffer, answer: (error: Error | null, data: Buffer | null) => void) => {
        events.push('resume');
        const data = store.get(id.toString('hex')) ?? null;
        if (later) {
          setTimeout(answer, 5, null, data);
        } else {
          answer(null, data);
        }
      });
      server.on('secureConnection', () => events.push('secure'));
      const first = await visit(port);
      assert.deepEqual(events.splice(0), ['new', 'secure']);
      for (later of [true, false]) {
        const again = await visit(port, { session: first.session });
        assert.equal(again.reused, true);
        assert.deepEqual(events.splice(0), ['resume', 'secure']);
      }
      store.clear();
      assert.equal((await visit(port, { session: first.session })).reused, false);
      assert.deepEqual(events.splice(0), ['resume', 'new', 'secure']);
      server.close();
    });

    test(`an error from resumeSession ends that connection, at a server of ${name}`, async () => {
      const [server, port] = await side.serve(name === 'mayfly' ? { sessions: byId } : options);
      server.on('tlsClientError', () => {});
      server.on('newSession', (_id: Buffer, _data: Buffer, done: () => void) => done());
      server.on('resumeSession', (_id: Buffer, answer: (error: Error) => void) =>
        answer(new Error('the store is down')),
      );
      const { session } = await visit(port);
      await failure(connect(port, { session }), 'secureConnect');
      server.close();
    });
  }

  test('what the store is given opens nothing without the ring, and dies with it', async () => {
    const [server, port] = await serve({ sessions: { sessionIds: true } });
    const store = new Map<string, Buffer>();
    server.on('newSession', (id: Buffer, data: Buffer, done: () => void) => {
      store.set(id.toString('hex'), data);
      done();
    });
    server.on('resumeSession', (id: Buffer, answer: (error: null, data?: Buffer) => void) =>
      answer(null, store.get(id.toString('hex'))),
    );
    const { session } = await visit(port, { secureOptions: constants.SSL_OP_NO_TICKET });
    const [[, data]] = store;
    const { secret } = decodeClientSession(session);
    assert.equal(
      secret.use((bytes) => data.includes(Buffer.from(bytes))),
      false,
    );
    assert.equal((await visit(port, { session })).reused, true);
    server.sessions.flush();
    assert.equal((await visit(port, { session })).reused, false);
    server.close();
  });

  test('a flush ends them also where there are no tickets', async () => {
    const held = new Map<string, Uint8Array>();
    const name = (id: Uint8Array) => Buffer.from(id).toString('hex');
    const cache = {
      get: (id: Uint8Array) => held.get(name(id)),
      set: (id: Uint8Array, value: Uint8Array) => void held.set(name(id), value),
      delete() {},
    };
    const [server, port] = await serve({ sessions: { ...byId, cache } });
    const { session } = await visit(port);
    server.sessions.flush();
    assert.equal(held.size, 1);
    assert.equal((await visit(port, { session })).reused, false);
    server.close();
  });

  test('a cache is shared by servers that share a ring, and one that fails costs full handshakes', async () => {
    const held = new Map<string, Uint8Array>();
    let broken = false;
    const errors: unknown[] = [];
    const cache = {
      async get(id: Uint8Array) {
        if (broken) {
          throw new Error('the cache is down');
        }
        return held.get(Buffer.from(id).toString('hex'));
      },
      async set(id: Uint8Array, value: Uint8Array) {
        held.set(Buffer.from(id).toString('hex'), value);
      },
      delete() {},
    };
    const keys = new tls.ServerSessions();
    const sessions = { ...byId, keys, cache, onCacheError: (error: unknown) => errors.push(error) };
    const [first, port] = await serve({ sessions });
    const [second, otherPort] = await serve({ sessions });
    const { session } = await visit(port);
    assert.equal((await visit(otherPort, { session })).reused, true);
    assert.equal(second.counters.byVersion['TLSv1.2'].resumedById, 1);
    broken = true;
    assert.equal((await visit(otherPort, { session })).reused, false);
    assert.deepEqual(errors.map(String), ['Error: the cache is down']);
    first.close();
    second.close();
    keys.close();
  });

  test('are not looked up for clients of TLS 1.3, nor for those with a ticket', async () => {
    const [server, port] = await serve({ maxVersion: 'TLSv1.3' });
    server.on('resumeSession', () => assert.fail('there is nothing to resume'));
    const newer = await visit(port, { maxVersion: 'TLSv1.3' });
    assert.equal(newer.socket.getProtocol(), 'TLSv1.3');
    const { session } = await visit(port);
    assert.equal((await visit(port, { session })).reused, true);
    server.close();
  });
});

describe('TLS 1.2 sessions of a client', () => {
  test('a session cache keeps one, gives it to each connection, and drops it when the server does not resume it', async () => {
    for (const sessions of [{}, byId]) {
      const [server, port] = await serve({ sessions });
      const sessionCache = new tls.ClientSessions();
      for (const reused of [false, true, true]) {
        assert.equal((await visit(port, { sessionCache })).reused, reused);
        assert.equal(sessionCache.size, 1);
      }
      const both = await Promise.all([visit(port, { sessionCache }), visit(port, { sessionCache })]);
      assert.deepEqual(
        both.map(({ reused }) => reused),
        [true, true],
      );
      server.sessions.flush();
      assert.equal((await visit(port, { sessionCache })).reused, false);
      assert.equal(sessionCache.size, 1, 'the new one');
      assert.equal((await visit(port, { sessionCache })).reused, true);
      sessionCache.clear();
      server.close();
    }
  });

  test('a session is dropped when a connection of it ends with a fatal alert', async () => {
    const [server, port] = await serve({}, (socket) => {
      socket.on('error', () => {});
      socket.once('data', () =>
        socket.giveUp('internal_error', new tls.TLSError('TLS_ERR_INTERNAL', 'as the test wants')),
      );
    });
    const sessionCache = new tls.ClientSessions();
    await visit(port, { sessionCache });
    assert.equal(sessionCache.size, 1);
    const socket = connect(port, { sessionCache });
    socket.write('x');
    socket.resume();
    assert.equal((await failure(socket, 'end')).code, 'TLS_ERR_ALERT_RECEIVED');
    await closing(socket);
    assert.equal(sessionCache.size, 0);
    server.close();
  });

  test('an https agent resumes them', async () => {
    const server = https.createServer(
      { ...serverOptions, maxVersion: 'TLSv1.2', sessions: byId },
      (request, response) => {
        const { mayfly: summary } = request.socket as unknown as tls.TLSSocket;
        response.end(`${summary?.version} ${summary?.resumedBy}`);
      },
    );
    const port = await listen(server);
    const agent = new https.Agent(trust);
    for (const expected of ['TLSv1.2 undefined', 'TLSv1.2 id', 'TLSv1.2 id']) {
      const made = https.get({ host: 'localhost', port, agent: agent as never });
      const [response] = await once(made, 'response');
      assert.equal(String(await collect(response)), expected);
    }
    agent.destroy();
    server.close();
  });

  test('setSession offers one, and a TLS 1.3 hello can carry it to a server of TLS 1.2', async () => {
    for (const sessions of [{}, byId]) {
      const [server, port] = await serve({ sessions });
      const { session } = await visit(port);
      const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust });
      socket.setSession(session);
      await once(socket, 'secureConnect');
      assert.deepEqual([socket.getProtocol(), socket.isSessionReused()], ['TLSv1.2', true]);
      assert.equal(socket.authorized, true);
      assert.equal(socket.getPeerCertificate().subject?.CN, 'localhost');
      socket.end().resume();
      await once(socket, 'close');
      server.close();
    }
  });
});
