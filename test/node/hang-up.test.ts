/** A peer that goes away before the handshake is complete: told of so that those who try again know it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { Agent, RetryAgent, request } from 'undici';
import * as https from '../../src/node/https.ts';
import type { TLSError } from '../../src/node/tls.ts';
import { createConnector } from '../../src/node/undici.ts';
import { closed, failure, listen, mayfly, native, serverOptions, trust } from './support.ts';

const CLOSE_NOTIFY = Uint8Array.of(21, 3, 3, 0, 2, 1, 0);
/** The begin of a record with a ServerHello. */
const SERVER_HELLO = Uint8Array.of(22, 3, 3, 0, 90, 2, 0, 0, 86);
const HANDSHAKE_FAILURE = Uint8Array.of(21, 3, 3, 0, 2, 2, 40);

/** Does so once the ClientHello is there. */
async function strangeServer(answer: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {}).once('data', () => answer(socket));
  });
  await listen(server);
  return server;
}

interface Told extends NodeJS.ErrnoException {
  readonly host?: string;
  readonly port?: number;
  readonly localAddress?: string;
}

for (const [name, tls] of [
  ['node:tls', native],
  ['mayfly', mayfly],
] as const) {
  describe(`With ${name}`, () => {
    async function outcome(answer: (socket: Socket) => void): Promise<Told> {
      const server = await strangeServer(answer);
      const { port } = server.address() as AddressInfo;
      const where = { host: '127.0.0.1', port, localAddress: '127.0.0.1' };
      const error = (await failure(tls.connect({ ...where, ...trust }), 'secureConnect')) as Told;
      if (error.host !== undefined) {
        assert.deepEqual({ host: error.host, port: error.port, localAddress: error.localAddress }, where);
      }
      await closed(server);
      return error;
    }

    test('a server that hangs up in the handshake is ECONNRESET, however it does and wherever', async () => {
      for (const answer of [
        (socket: Socket) => socket.end(),
        (socket: Socket) => socket.end(SERVER_HELLO),
        (socket: Socket) => socket.write(CLOSE_NOTIFY),
      ]) {
        const error = await outcome(answer);
        assert.equal(error.code, 'ECONNRESET');
        assert.equal(error.message, 'Client network socket disconnected before secure TLS connection was established');
        assert.equal(error.host, '127.0.0.1');
        if (tls === mayfly) {
          assert.equal((error.cause as TLSError).code, 'TLS_ERR_TRUNCATED');
        }
      }
    });

    test('a server that says why it ends the handshake is not', async () => {
      const error = await outcome((socket) => socket.end(HANDSHAKE_FAILURE));
      assert.notEqual(error.code, 'ECONNRESET');
      assert.equal(error.host, undefined);
    });

    test("a client that hangs up in the handshake is 'tlsClientError' with ECONNRESET", async () => {
      const server = tls.createServer(serverOptions);
      const peer = netConnect(await listen(server), '127.0.0.1', () => peer.end(Uint8Array.of(22, 3, 1)));
      peer.on('error', () => {}).resume();
      const [error] = (await once(server, 'tlsClientError')) as [Told];
      assert.deepEqual([error.code, error.message, error.host], ['ECONNRESET', 'socket hang up', undefined]);
      if ('counters' in server) {
        assert.deepEqual(server.counters.failures, { TLS_ERR_TRUNCATED: 1 });
      }
      await closed(server);
    });
  });
}

test('undici tries again where the first connection was hung up in its handshake', async () => {
  const server = https.createServer(serverOptions, (_request, response) => response.end('at last'));
  const upstream = await listen(server);
  let connections = 0;
  const proxy = createServer((socket) => {
    socket.on('error', () => {});
    if (connections++ === 0) {
      socket.once('data', () => socket.end());
    } else {
      socket.pipe(netConnect(upstream, '127.0.0.1')).pipe(socket);
    }
  });
  const agent = new Agent({ connect: createConnector({ servername: 'localhost', ...trust }) });
  const dispatcher = new RetryAgent(agent, { minTimeout: 1 });
  const { body } = await request(`https://127.0.0.1:${await listen(proxy)}`, { dispatcher });
  assert.equal(await body.text(), 'at last');
  assert.equal(connections, 2);
  await agent.close();
  await Promise.all([closed(proxy), closed(server)]);
});
