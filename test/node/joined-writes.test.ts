/** The client's Finished leaves in one write with what is sent at once. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { connect } from '../../src/node/tls.ts';
import { listen, native, only, serverOptions, trust } from './support.ts';

const CHANGE_CIPHER_SPEC = 20;
const APPLICATION_DATA = 23;

describe('A client’s Finished', () => {
  test('leaves in one write with what was written before, and with what a listener writes', async (t) => {
    const server = native.createServer({ ...serverOptions, ...only('TLSv1.3') }, (socket) => socket.resume());
    const port = await listen(server);
    for (const early of [true, false]) {
      const single = t.mock.method(Socket.prototype, '_write');
      const several = t.mock.method(Socket.prototype, '_writev' as '_write');
      const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust });
      if (early) {
        socket.write('hello');
      } else {
        socket.once('secureConnect', () => socket.write('hello'));
      }
      await once(socket, 'secureConnect');
      const ofOurs = (spy: typeof single) => spy.mock.calls.filter((call) => (call.this as Socket).remotePort === port);
      assert.equal(ofOurs(single).length, 1, 'the ClientHello, alone');
      const chunks = ofOurs(several).map((call) => call.arguments[0] as { chunk: Uint8Array }[]);
      assert.deepEqual(
        chunks.map((list) => list.map(({ chunk }) => chunk[0])),
        [[CHANGE_CIPHER_SPEC, APPLICATION_DATA]],
        'the Finished behind its change_cipher_spec, and the data',
      );
      single.mock.restore();
      several.mock.restore();
      socket.destroy();
    }
    server.close();
  });

  for (const [what, act] of [
    ['writes nothing', () => {}],
    [
      'destroys the socket',
      (socket: ReturnType<typeof connect>) => {
        socket.destroy();
      },
    ],
  ] as const) {
    test(`leaves also where the listener ${what}`, async () => {
      const server = native.createServer({ ...serverOptions, ...only('TLSv1.3') });
      const port = await listen(server);
      const served = once(server, 'secureConnection');
      const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust });
      socket.once('secureConnect', () => act(socket));
      const [peer] = await served;
      peer.destroy();
      socket.destroy();
      server.close();
    });
  }

  test('leaves also where a listener throws', async (t) => {
    const server = native.createServer({ ...serverOptions, ...only('TLSv1.3') });
    const port = await listen(server);
    const served = once(server, 'secureConnection');
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust });
    socket.once('secureConnect', () => {
      throw new Error('of the listener');
    });
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    t.after(() => {
      for (const listener of listeners) {
        process.on('uncaughtException', listener);
      }
    });
    const [thrown] = await once(process, 'uncaughtException');
    assert.match(String(thrown), /of the listener/);
    const [peer] = await served;
    peer.destroy();
    socket.destroy();
    server.close();
  });
});
