/** Whoever destroys a socket in one of its own callbacks ends it for good: no secret is made, and no transport opened, after that. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import { after, beforeEach, test } from 'node:test';
import { type ConnectionOptions, connect, createServer, type TLSSocket } from '../../src/node/tls.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { closed, closing, listen, only, serverOptions, trust, versions } from './support.ts';

const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => watch.stop());

const asking: Readonly<Record<string, (end: () => void) => ConnectionOptions>> = {
  pskCallback: (end) => ({
    pskCallback: () => {
      end();
      return { psk: Buffer.alloc(32, 1), identity: 'it' };
    },
  }),
  earlyWrites: (end) => ({
    earlyWrites: () => {
      end();
      return true;
    },
  }),
};

for (const [name, options] of Object.entries(asking)) {
  test(`a client that is destroyed in ${name} leaves no secret behind`, async () => {
    const server = createTcpServer((raw) => raw.resume());
    const port = await listen(server);
    const client: TLSSocket = connect({
      port,
      host: '127.0.0.1',
      ...trust,
      ...only('TLSv1.3'),
      ...options(() => client.destroy()),
    });
    await closing(client);
    assert.deepEqual(watch.alive, []);
    assert.equal(client.secretOwner, undefined);
    await closed(server);
  });
}

for (const version of versions) {
  test(`a server's socket of ${version} that is destroyed in the ALPNCallback leaves no secret behind`, async () => {
    const server = createServer({
      ...serverOptions,
      ...only(version),
      ALPNCallback() {
        for (const socket of server.secureSockets) {
          socket.destroy();
        }
        return 'echo';
      },
    });
    server.on('secureConnection', () => assert.fail('nobody is handed out'));
    const port = await listen(server);
    const client = connect({
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      ...trust,
      ...only(version),
      ALPNProtocols: ['echo'],
    });
    client.on('error', () => {});
    await closing(client);
    await closed(server);
    assert.deepEqual(watch.alive, []);
  });
}

test('a client whose signal was aborted before opens no transport', async () => {
  const server = createTcpServer(() => assert.fail('nobody connects'));
  const port = await listen(server);
  const client = connect({ port, host: '127.0.0.1', signal: AbortSignal.abort() });
  const [error] = await once(client, 'error');
  assert.equal(error.name, 'AbortError');
  assert.equal(client.connecting, false);
  await closed(server);
});
