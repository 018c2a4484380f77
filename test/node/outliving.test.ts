/** What a connection held is gone with the next small collections after its end: nothing old holds on to it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Roster } from '../../src/node/roster.ts';
import * as tls from '../../src/node/tls.ts';
import { closing, delay, listen, serverOptions, trust } from './support.ts';

/** Bytes that hang on each connection: far more than all else here, and too few for a full collection of their own. */
const WEIGHT = 2 ** 20;
const CONNECTIONS = 6;

let collect: (options: { type: 'minor' } | { type: 'major' }) => void;

before(() => {
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc');
});

/** From Node 22 on each Writable is held until a full collection, by what Node's own `WritableState` assigns. */
const parts = Number.parseInt(process.versions.node, 10) < 22 ? ['connection', 'socket'] : ['connection'];

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  for (const side of ['client', 'server'] as const) {
    for (const part of parts) {
      test(`the ${part} of a ${side} of ${version}`, async (t) => {
        const heavy = (socket: tls.TLSSocket): void => {
          const holder = part === 'socket' ? socket : (socket as unknown as { connection: object }).connection;
          Object.assign(holder, { weight: new ArrayBuffer(WEIGHT) });
        };
        const server = tls.createServer({ ...serverOptions, minVersion: version, maxVersion: version }, (socket) => {
          if (side === 'server') {
            heavy(socket);
          }
          socket.resume();
          socket.end();
        });
        const port = await listen(server);
        t.after(() => server.close());
        const secureContext = tls.createSecureContext(trust);
        const connection = async (): Promise<void> => {
          const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', secureContext });
          socket.resume();
          await once(socket, 'secureConnect');
          if (side === 'client') {
            heavy(socket);
          }
          await closing(socket);
        };
        await connection();
        collect({ type: 'major' });
        const begin = process.memoryUsage().arrayBuffers;
        for (let i = 0; i < CONNECTIONS; i++) {
          await connection();
          await delay(5);
          collect({ type: 'minor' });
          collect({ type: 'minor' });
          collect({ type: 'minor' });
        }
        // The last one may be under way.
        assert.ok(process.memoryUsage().arrayBuffers - begin < 2 * WEIGHT);
      });
    }
  }
}

test('who leaves a roster is gone at once, whoever goes through the others meanwhile', () => {
  const roster = new Roster<{ readonly name: string }>();
  const places = ['a', 'b', 'c', 'd'].map((name) => roster.enter({ name }));
  const met: string[] = [];
  for (const { name } of roster) {
    met.push(name);
    assert.equal(roster.leave(places[1]), name === 'a');
    assert.equal(roster.leave(places[3]), name === 'a');
    if (name === 'a') {
      roster.enter({ name: 'e' });
    }
  }
  assert.deepEqual(met, ['a', 'c']);
  assert.equal(roster.size, 3);
  assert.deepEqual([...roster].map(({ name }) => name).sort(), ['a', 'c', 'e']);
  assert.equal(roster.leave(undefined), false);
  roster.clear();
  assert.equal(roster.leave(places[0]), false);
  assert.equal(roster.size, 0);
});

test('an open socket has a place that an application does not overwrite by chance', async () => {
  const server = tls.createServer(serverOptions);
  const port = await listen(server);
  tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ...trust }).resume();
  const [socket] = (await once(server, 'secureConnection')) as [tls.TLSSocket];
  Object.assign(socket, { place: 'Paris' });
  assert.deepEqual([...server.secureSockets], [socket]);
  socket.destroy();
  assert.equal(server.secureSockets.size, 0);
  server.close();
});
