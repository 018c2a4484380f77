/** The ring of ticket keys turns while clients come and go: nobody may notice. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { connect as nodeConnect } from 'node:tls';
import { connect, type TLSSocket } from '../../src/node/tls.ts';
import { authority, certificateFor, closing, exchangeLine, hangGuard, LineServer } from './support.ts';

const clients = {
  'our client': connect,
  'node:tls': nodeConnect as unknown as typeof connect,
} as const;

/** For each of the workers. */
const CONNECTIONS = 40;
const AT_ONCE = 4;
/** Milliseconds. */
const TURN_EVERY = 30;

describe('a ring that turns under load', hangGuard, () => {
  test('fails no connection, and resumes most, for both kinds of client', async (t) => {
    const server = await LineServer.start(certificateFor('ecdsa-p256'));
    const { sessions, counters } = server.server;
    const turning = setInterval(() => sessions.rotate(), TURN_EVERY);
    const results = await Promise.all(
      Object.entries(clients).map(async ([name, connectTo]) => {
        const workers = await Promise.all(Array.from({ length: AT_ONCE }, () => work(connectTo, server.port)));
        return { name, total: AT_ONCE * CONNECTIONS, resumed: workers.reduce((sum, resumed) => sum + resumed, 0) };
      }),
    );
    clearInterval(turning);
    for (const { name, total, resumed } of results) {
      t.diagnostic(`${name}: ${resumed} of ${total} connections resumed`);
      assert.ok(resumed / total > 0.5, `${name}: only ${resumed} of ${total} connections resumed`);
    }
    assert.deepEqual(server.failures, []);
    assert.deepEqual(counters.failures, {});
    assert.equal(counters.full + counters.resumed, 2 * AT_ONCE * CONNECTIONS);
    assert.ok(sessions.status().length > 3, 'the ring has turned');
  });

  test('a key that is erased in the middle costs a full handshake each and no failure', async () => {
    const server = await LineServer.start(certificateFor('ecdsa-p256'));
    const flushing = setInterval(() => server.server.sessions.flush(), TURN_EVERY);
    const resumed = await Promise.all(Object.values(clients).map((connectTo) => work(connectTo, server.port)));
    clearInterval(flushing);
    assert.equal(resumed.length, 2);
    assert.deepEqual(server.failures, []);
    assert.deepEqual(server.server.counters.failures, {});
    assert.ok((server.server.counters.refusals.unknown_key ?? 0) > 0);
  });
});

/** Connections one after the other, each with the newest session; returns how many resumed. */
async function work(connectTo: typeof connect, port: number): Promise<number> {
  let session: Buffer | undefined;
  let resumed = 0;
  for (let i = 0; i < CONNECTIONS; i++) {
    const options = { host: '127.0.0.1', port, servername: 'localhost', ca: authority, ecdhCurve: 'X25519' };
    const socket: TLSSocket = connectTo({ ...options, ...(session === undefined ? {} : { session }) });
    const closed = closing(socket);
    socket.on('session', (newest: Buffer) => {
      session = newest;
    });
    await once(socket, 'secureConnect');
    resumed += socket.isSessionReused() ? 1 : 0;
    await exchangeLine(socket, 200);
    socket.end();
    socket.resume();
    assert.equal(await closed, undefined);
  }
  return resumed;
}
