/** `setKeyCert`: another certificate for one connection, held against Node's own where it has it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createNetServer } from 'node:net';
import { describe, test } from 'node:test';
import type * as tls from '../../src/node/tls.ts';
import { refuses } from '../support/refusals.ts';
import { certificateFor, closed, listen, mayfly, native, only, serverOptions, trust, versions } from './support.ts';

const other = certificateFor('localhost', 'other.example');
const modules = [
  ['node:tls', native],
  ['mayfly', mayfly],
] as const;

for (const [name, its] of modules.filter(([, { TLSSocket }]) => 'setKeyCert' in TLSSocket.prototype)) {
  for (const version of versions) {
    describe(`With ${name}, ${version}`, () => {
      const options = { ...serverOptions, ...only(version) };

      /** Whether the server showed the other certificate, and whether the session was resumed. */
      async function visit(port: number, protocol: string, session?: Buffer): Promise<[boolean, boolean, Buffer]> {
        const toLocalhost = { host: '127.0.0.1', port, servername: 'localhost', ...trust, session };
        const socket = native.connect({ ...toLocalhost, ALPNProtocols: [protocol] });
        let newest = Buffer.alloc(0);
        socket.resume().on('session', (one) => {
          newest = one;
        });
        await once(socket, 'secureConnect');
        const isOther = /other\.example/.test(socket.getPeerCertificate().subjectaltname ?? '');
        const isResumed = socket.isSessionReused();
        if (newest.length === 0 && !isResumed) {
          await once(socket, 'session');
        }
        socket.end();
        await once(socket, 'close');
        return [isOther, isResumed, newest];
      }

      test('an ALPNCallback chooses the certificate of its connection alone', async () => {
        let given: tls.SecureContextOptions | tls.SecureContext = other;
        const server = its.createServer({
          ...options,
          ALPNCallback({ protocols: [protocol] }) {
            if (protocol === 'other') {
              this.setKeyCert(given);
            }
            return protocol;
          },
        });
        const port = await listen(server);
        const seen: boolean[] = [];
        server.on('secureConnection', (socket: tls.TLSSocket) => {
          socket.resume();
          seen.push(/other\.example/.test(String(socket.getCertificate().subjectaltname)));
        });
        assert.equal((await visit(port, 'other'))[0], true);
        given = its.createSecureContext(other);
        const [isOther, , session] = await visit(port, 'other');
        assert.equal(isOther, true);
        assert.deepEqual((await visit(port, 'usual')).slice(0, 2), [false, false]);
        assert.equal((await visit(port, 'other', session))[1], true);
        assert.deepEqual(seen, [true, true, false, true]);
        await closed(server);
      });

      test('an SNICallback does, and who makes a socket by hand', async () => {
        const server = its.createServer({
          ...options,
          SNICallback(_name, callback) {
            this.setKeyCert(other);
            callback(null);
          },
        });
        const byHand = createNetServer((raw) => {
          const socket = new its.TLSSocket(raw, { ...options, isServer: true });
          socket.setKeyCert(other);
          socket.resume();
        });
        for (const one of [server, byHand]) {
          assert.equal((await visit(await listen(one), 'any'))[0], true);
          await closed(one);
        }
      });
    });
  }
}

describe('With mayfly, setKeyCert', () => {
  test('after the certificate is chosen says so, and so does one without a certificate, and at a client', async () => {
    const server = mayfly.createServer({
      ...serverOptions,
      SNICallback(_name, callback) {
        refuses('TLS_ERR_CONFIG', () => this.setKeyCert({}));
        callback(null);
      },
    });
    const port = await listen(server);
    const client = mayfly.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust });
    refuses('TLS_ERR_WRONG_STATE', () => client.setKeyCert(other));
    const [[accepted]] = await Promise.all([once(server, 'secureConnection'), once(client, 'secureConnect')]);
    refuses('TLS_ERR_WRONG_STATE', () => accepted.setKeyCert(other));
    client.destroy();
    await closed(server);
  });

  test('on a server that chooses nothing by connection says so', async () => {
    const server = mayfly.createServer(serverOptions);
    const port = await listen(server);
    const client = mayfly.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust });
    await once(server, 'connection');
    const [socket] = (server as tls.Server).secureSockets;
    refuses('TLS_ERR_WRONG_STATE', () => socket.setKeyCert(other));
    client.destroy();
    await closed(server);
  });
});
