/** A peer that goes away in the middle of a renegotiation: what waits for its end is told of it, and nothing waits for ever. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { after, test } from 'node:test';
import { connect, createSecureContext, createServer, type TLSSocket } from '../../src/node/tls.ts';
import { type Endpoint, identity } from '../support/connections.ts';
import { World12 } from '../support/world12.ts';
import { closed, closing, listen, only, serverOptions, trust } from './support.ts';

const [credential] = createSecureContext(serverOptions).credentials;
const world = new World12({ alpnProtocols: [] }, { credential, publicKey: identity().publicKey });
after(() => world.close());

/** A client that has sent its Finished in a renegotiation, and a server that closes instead of answering it. */
async function closedInstead(
  write: (client: TLSSocket) => void,
  allowHalfOpen = false,
): Promise<[TLSSocket, Endpoint]> {
  const server = world.server({ versions: ['TLSv1.2'], clientRenegotiations: 1 });
  let flights = 0;
  const transport = new Duplex({
    read() {},
    write(bytes: Uint8Array, _encoding, callback) {
      flights++;
      if (flights === 4) {
        server.take(server.connection.close());
      } else {
        server.receive(bytes);
      }
      transport.push(server.flush());
      callback();
    },
    final(callback) {
      transport.push(null);
      callback();
    },
  });
  const client = connect({ socket: transport, servername: 'localhost', ...trust, ...only('TLSv1.2'), allowHalfOpen });
  await once(client, 'secureConnect');
  client.resume();
  const answered = new Promise<unknown>((resolve) => client.renegotiate({}, resolve));
  write(client);
  assert.equal(((await answered) as NodeJS.ErrnoException).code, 'TLS_ERR_WRONG_STATE');
  assert.equal(flights, 4);
  return [client, server];
}

for (const length of [1, 100_000]) {
  test(`a write of ${length} bytes that waits when the peer closes instead is told at once, as is the socket`, async () => {
    const told: unknown[] = [];
    const [client, server] = await closedInstead((socket) => {
      socket.on('error', (error) => told.push(error));
      socket.write(new Uint8Array(length), (error) => told.push(error));
    });
    await closing(client);
    assert.deepEqual(
      told.map((error) => (error as NodeJS.ErrnoException).code),
      ['TLS_ERR_TRUNCATED', 'TLS_ERR_TRUNCATED'],
    );
    server.forget();
  });
}

test('a socket that has nothing to say closes in peace where the peer closes instead', async () => {
  const [client, server] = await closedInstead(() => {});
  assert.deepEqual(await closing(client), [false]);
  server.forget();
});

test('what is written after the peer has closed instead is told', async () => {
  const [client, server] = await closedInstead(() => {}, true);
  const failed = once(client, 'error');
  client.write('late');
  assert.equal((await failed)[0].code, 'TLS_ERR_TRUNCATED');
  server.forget();
});

test('a server whose client is gone in the middle does not wait for the rest of the handshake', async () => {
  const server = createServer({ ...serverOptions, ...only('TLSv1.2'), clientRenegotiations: 1, allowTruncation: true });
  const port = await listen(server);
  const client = connect({ port, host: '127.0.0.1', servername: 'localhost', ...trust, ...only('TLSv1.2') });
  const [socket] = (await once(server, 'secureConnection')) as [TLSSocket];
  socket.resume();
  const failed = once(socket, 'error');
  await once(client, 'secureConnect');
  client.renegotiate({});
  client.destroy();
  assert.equal((await failed)[0].code, 'TLS_ERR_TRUNCATED');
  await closed(server);
});
