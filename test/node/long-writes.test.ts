/** Who writes until `write` says false. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { TLSSocket } from '../../src/node/tls.ts';
import { listen, native, only, serverOptions, trust } from './support.ts';

const MIB = 1_048_576;

/** A transport that takes whatever it is given at once, as a socket does whose peer reads as fast. */
function insatiable(through: Duplex): Duplex {
  const transport = new Duplex({
    read() {},
    write(chunk, _encoding, callback) {
      through.write(chunk);
      callback();
    },
  });
  through.on('data', (chunk) => transport.push(chunk));
  return transport;
}

describe('Who writes until `write` says false', () => {
  for (const length of [1_024, 65_536, 4 * MIB]) {
    test(`in pieces of ${length} bytes lets others have their turn, though the peer reads as fast`, async (t) => {
      let received = 0;
      const server = native.createServer({ ...serverOptions, ...only('TLSv1.3') }, (peer) => {
        peer.on('data', (chunk: Uint8Array) => {
          received += chunk.length;
        });
        peer.on('error', () => {});
      });
      const port = await listen(server);
      const tcp = connectTcp(port, '127.0.0.1');
      const socket = new TLSSocket(insatiable(tcp), { ...trust, servername: 'localhost' });
      t.after(() => {
        socket.destroy();
        tcp.destroy();
        server.close();
      });
      await once(socket, 'secureConnect');
      const chunk = Buffer.alloc(length, 'x');
      let most = 0;
      let written = 0;
      while (written < 8 * MIB) {
        const before = socket.bytesWritten - socket.writableLength;
        let goesOn = true;
        while (goesOn && written < 8 * MIB) {
          goesOn = socket.write(chunk);
          written += length;
        }
        most = Math.max(most, socket.bytesWritten - socket.writableLength - before);
        if (!goesOn) {
          await once(socket, 'drain');
        }
      }
      assert.ok(most <= 1.2 * MIB, `${most} bytes were sealed in one turn`);
      while (received < written) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.equal(received, written);
    });
  }
});
