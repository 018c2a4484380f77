/** Sessions of mayfly/tls: rotation, flush, sharing, and the policies that a session is bound to. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import * as tls from '../../src/node/tls.ts';
import { refuses } from '../support/refusals.ts';
import { between, certificateFor, collect, failure, mayfly, otherCa, serverOptions, trust } from './support.ts';

const { serve, connect } = between(mayfly, mayfly);

describe('sessions', () => {
  async function sessionFrom(port: number): Promise<Buffer> {
    const socket = connect(port);
    socket.resume();
    const [session] = await once(socket, 'session');
    socket.end();
    await once(socket, 'close');
    return session;
  }

  async function resumes(port: number, session: Buffer): Promise<boolean> {
    const socket = connect(port, { session });
    await once(socket, 'secureConnect');
    const reused = socket.isSessionReused();
    socket.end().resume();
    await once(socket, 'close');
    return reused;
  }

  test('rotate keeps tickets good, flush ends them, and the counters say why', async () => {
    const [server, port] = await serve({});
    const session = await sessionFrom(port);
    server.sessions.rotate();
    assert.equal(await resumes(port, session), true);
    assert.equal(server.sessions.status().length, 2);
    server.sessions.flush();
    assert.equal(await resumes(port, session), false);
    assert.equal(server.sessions.status().length, 1);
    assert.deepEqual({ ...server.counters.refusals }, { unknown_key: 1 });
    assert.equal(server.counters.full, 2);
    assert.equal(server.counters.resumed, 1);
    server.close();
  });

  test('tickets: false sends none', async () => {
    const [server, port] = await serve({ sessions: { tickets: false } });
    const socket = connect(port);
    let sessions = 0;
    socket.on('session', () => sessions++);
    socket.end('x');
    assert.equal(String(await collect(socket)), 'x');
    assert.equal(sessions, 0);
    refuses('TLS_ERR_NOT_SUPPORTED', () => server.sessions.rotate());
    server.close();
  });

  test('a session does not outlive a change of the certificate', async () => {
    const [server, port] = await serve({});
    const session = await sessionFrom(port);
    server.setSecureContext(certificateFor('localhost', '127.0.0.1'));
    assert.equal(await resumes(port, session), false);
    assert.deepEqual({ ...server.counters.refusals }, { policy_changed: 1 });
    server.close();
  });

  test('two servers share a ring by the same key source', async () => {
    const keys = new tls.ServerSessions();
    const [first, port] = await serve({ sessions: { keys } });
    const [second, otherPort] = await serve({ sessions: { keys } });
    assert.equal(await resumes(otherPort, await sessionFrom(port)), true);
    first.close();
    second.close();
    keys.close();
  });

  test('a session that was made without verification does not pass a client that verifies', async () => {
    const [server, port] = await serve({});
    server.on('tlsClientError', () => {});
    const lax = connect(port, { ca: otherCa.certificatePem, rejectUnauthorized: false });
    lax.resume();
    const [session] = await once(lax, 'session');
    lax.end();
    await once(lax, 'close');
    const strict = connect(port, { ca: otherCa.certificatePem, session });
    assert.equal((await failure(strict, 'secureConnect')).code, 'TLS_ERR_UNKNOWN_CA');
    assert.equal(server.counters.resumed, 0);
    server.close();
  });

  test('a session for another name is not offered, and bytes that are no session are passed over', async () => {
    const [server, port] = await serve(certificateFor('localhost', 'b.test'));
    const session = await sessionFrom(port);
    const other = connect(port, { servername: 'b.test', session });
    await once(other, 'secureConnect');
    assert.equal(other.isSessionReused(), false);
    other.end().resume();
    await once(other, 'close');
    assert.equal(await resumes(port, Buffer.from('no session at all')), false);
    server.close();
  });

  test('a session cache takes each session once', async () => {
    const [server, port] = await serve({ sessions: { ticketsPerConnection: 1 } });
    const sessionCache = new tls.ClientSessions();
    for (const reused of [false, true, true]) {
      const socket = connect(port, { sessionCache });
      socket.end('x');
      assert.equal(String(await collect(socket)), 'x');
      assert.equal(socket.isSessionReused(), reused);
      assert.equal(sessionCache.size, 1);
    }
    sessionCache.clear();
    server.close();
  });

  test('a session cache keeps the servers of two pipes apart', { skip: process.platform === 'win32' }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'mayfly-pipes-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const sessionCache = new tls.ClientSessions();
    const paths = ['pipe', 'PIPE'].map((name) => join(folder, name));
    const servers = paths.map((path) => tls.createServer(serverOptions, (socket) => socket.end('x')).listen(path));
    await Promise.all(servers.map((server) => once(server, 'listening')));
    const reused: boolean[] = [];
    for (const path of [...paths, ...paths]) {
      const socket = tls.connect({ path, servername: 'localhost', ...trust, sessionCache });
      await once(socket, 'secureConnect');
      reused.push(socket.isSessionReused());
      socket.resume();
      await once(socket, 'close');
    }
    assert.deepEqual(reused, [false, false, true, true]);
    for (const server of servers) {
      assert.deepEqual({ ...server.counters.refusals }, {}, 'none was offered another’s');
      server.close();
    }
    sessionCache.clear();
  });

  test('options that make no sense are refused', () => {
    for (const sessions of [
      { rotate: 0 },
      { rotate: '7h' },
      { rotate: 'soon' },
      { ticketLifetime: '24h' },
      { handshakeValidity: '8d' },
      { ticketsPerConnection: 1_000 },
    ]) {
      refuses('TLS_ERR_CONFIG', () => tls.createServer({ ...serverOptions, sessions }));
    }
  });

  test('a closed server has no keys left, and has new ones when it listens again', async () => {
    const [server, port] = await serve({});
    const session = await sessionFrom(port);
    server.close();
    await once(server, 'close');
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    assert.equal(await resumes(port, session), false);
    server.close();
  });
});
