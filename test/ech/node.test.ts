/** Encrypted Client Hello at the sockets. RFC 9849 §6.1.6, §6.2. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import type { TLSError } from '../../src/errors.ts';
import { certificateFor, listen, mayfly, native, only, trust } from '../node/support.ts';
import { EchServer } from '../support/ech-server.ts';

describe('a socket with encryptedClientHello', () => {
  it('is a client: a server that is told to decrypt it is refused, and does not go on as if it did', () => {
    const options = { ...certificateFor('localhost'), encryptedClientHello: new Uint8Array(8) };
    assert.throws(() => mayfly.createServer(options as object), { code: 'TLS_ERR_NOT_SUPPORTED' });
  });

  for (const [name, engine] of [
    ['mayfly', mayfly],
    ['node:tls', native],
  ] as const) {
    for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
      it(`'grease' is served by ${name} in ${version} as any other`, async () => {
        const server = engine.createServer({ ...certificateFor('localhost'), ...only(version) }, (socket) =>
          socket.end('hello'),
        );
        const port = await listen(server);
        const socket = mayfly.connect({
          port,
          host: '127.0.0.1',
          servername: 'localhost',
          ...trust,
          encryptedClientHello: 'grease',
        });
        const [data] = await once(socket, 'data');
        assert.equal(String(data), 'hello');
        socket.destroy();
        server.close();
      });
    }
  }

  it('fails at a server that knows nothing of it, once that has shown a certificate for the public name', async () => {
    const { configList } = await EchServer.create();
    for (const name of ['public.example', 'secret.example']) {
      const server = native.createServer({ ...certificateFor(name) });
      server.on('tlsClientError', () => {});
      const port = await listen(server);
      const socket = mayfly.connect({
        port,
        host: '127.0.0.1',
        servername: 'secret.example',
        ...trust,
        encryptedClientHello: configList,
      });
      const events: unknown[] = [];
      socket.on('echRejected', (configs) => events.push(configs));
      socket.on('secureConnect', () => assert.fail('it is not the server that is meant'));
      const [error] = (await once(socket, 'error')) as [TLSError];
      if (name === 'public.example') {
        assert.equal(error.code, 'TLS_ERR_ECH_REJECTED');
        assert.deepEqual(events, [null]);
      } else {
        assert.equal(error.code, 'TLS_ERR_CERTIFICATE_NAME');
        assert.deepEqual(events, []);
      }
      socket.destroy();
      server.close();
    }
  });
});
