/** What hangs on a connection of `serve`, or on an early request, is gone with the next small collections after its end. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as nodeHttps from 'node:https';
import { before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openSite } from '../../src/cli/serve/site.ts';
import * as https from '../../src/node/https.ts';
import { delay, listen, serverOptions, trust } from '../node/support.ts';

/** Bytes that hang on each: far more than all else here, and too few for a full collection of their own. */
const WEIGHT = 2 ** 20;
const ROUNDS = 8;
/** From Node 22 on each Writable is held until a full collection, by what Node's own `WritableState` assigns. */
const skip = Number.parseInt(process.versions.node, 10) < 22 ? false : 'Node itself holds each stream';

let collect: (options: { type: 'minor' } | { type: 'major' }) => void;

before(() => {
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc');
});

const weigh = (holder: object): unknown => Object.assign(holder, { weight: new ArrayBuffer(WEIGHT) });

/** Bytes that are left of so many rounds, when all that they opened `isOver`. */
async function left(round: () => Promise<void>, isOver: () => boolean): Promise<number> {
  await round();
  collect({ type: 'major' });
  const begin = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < ROUNDS; i++) {
    await round();
  }
  while (!isOver()) {
    await delay(5);
  }
  for (let i = 0; i < 3; i++) {
    await delay(5);
    collect({ type: 'minor' });
  }
  return process.memoryUsage().arrayBuffers - begin;
}

test('a connection of serve', { skip }, async (t) => {
  const { cert, key } = serverOptions;
  const site = await openSite({
    cert,
    key,
    listen: { host: '127.0.0.1', port: 0 },
    versions: ['TLSv1.3'],
    http: '1',
    sessions: {},
    handle({ request: { socket }, response }) {
      weigh(socket);
      response.end('hello');
    },
  });
  t.after(() => site.drain(0));
  const [{ port }] = site.addresses;
  const bytes = await left(
    async () => {
      const options = { host: '127.0.0.1', port, servername: 'localhost', ...trust, agent: false as const };
      const made = nodeHttps.get(options, (response) => response.resume());
      await once(made, 'close');
    },
    () => site.connections.openCount === 0,
  );
  assert.ok(bytes < (ROUNDS / 2) * WEIGHT, `${bytes} bytes are left`);
});

test('a request that an agent watches, since it may go out early', { skip }, async (t) => {
  const server = nodeHttps.createServer(serverOptions, (_, response) => response.end('hello'));
  const port = await listen(server);
  t.after(() => server.close());
  const agent = new https.Agent({ ...trust, earlyRequests: true });
  let open = 0;
  const bytes = await left(
    async () => {
      const made = https.get({ host: '127.0.0.1', port, servername: 'localhost', agent: agent as never });
      weigh(made);
      made.once('socket', (socket) => {
        open++;
        socket.once('close', () => open--);
      });
      made.once('response', (response) => response.resume());
      await once(made, 'close');
    },
    () => open === 0,
  );
  assert.ok(bytes < (ROUNDS / 2) * WEIGHT, `${bytes} bytes are left`);
});
