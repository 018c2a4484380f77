/** What a connection held is gone with the next small collections after its end: nothing old holds on to it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Http2Session } from 'node:http2';
import { before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as http2 from '../../src/node/http2.ts';
import { wrapperOf } from '../../src/node/http2-wrapper.ts';
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
        await leaveNothing(connection);
      });
    }
  }
}

/** Node's wrapper stays until the next full collection: what closes its handle is made in the old generation. */
for (const end of ['close', 'destroy'] as const) {
  for (const side of ['client', 'server'] as const) {
    for (const part of ['connection', 'session'] as const) {
      test(`the ${part} of an HTTP/2 ${side} whose session ends by ${end}()`, async (t) => {
        const heavy = (session: Http2Session): void => {
          const holder = part === 'session' ? session : socketOf(session).connection;
          Object.assign(holder, { weight: new ArrayBuffer(WEIGHT) });
        };
        const server = http2.createSecureServer(serverOptions, (_request, response) => response.end('x'));
        server.on('session', (session) => {
          if (side === 'server') {
            heavy(session);
          }
        });
        const port = await listen(server);
        t.after(() => server.close());
        const secureContext = tls.createSecureContext(trust);
        const connection = async (): Promise<void> => {
          const session = http2.connect(`https://localhost:${port}`, { secureContext });
          await once(session, 'connect');
          if (side === 'client') {
            heavy(session);
          }
          await closing(session.request().resume());
          const gone = closing(socketOf(session));
          session[end]();
          await gone;
          while (server.secureSockets.size > 0) {
            await delay(1);
          }
        };
        await leaveNothing(connection);
      });
    }
  }
}

function socketOf(session: Http2Session): tls.TLSSocket & { readonly connection: object } {
  return (wrapperOf(session) as unknown as { readonly stream: tls.TLSSocket & { readonly connection: object } }).stream;
}

async function leaveNothing(connection: () => Promise<void>): Promise<void> {
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
  // The last one may be under way, and one be kept by a small collection of V8's own in its midst.
  const kept = (process.memoryUsage().arrayBuffers - begin) / WEIGHT;
  assert.ok(kept < CONNECTIONS / 2, `${kept.toFixed(1)} are kept`);
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
