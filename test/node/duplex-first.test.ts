/** A process whose transports are never TCP sockets. No other test may be in this file, nor open one before it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { connect, TLSSocket } from '../../src/node/tls.ts';
import { serverOptions, trust } from './support.ts';

class End extends Duplex {
  other: End | undefined;

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: () => void): void {
    this.other?.push(chunk);
    callback();
  }
}

test('a handshake succeeds between two Duplexes where no TCP socket was ever opened', async () => {
  const near = new End();
  const far = new End();
  near.other = far;
  far.other = near;
  const server = new TLSSocket(far, { ...serverOptions, isServer: true });
  const client = connect({ ...trust, socket: near, servername: 'localhost' });
  // Something has to keep the process: Duplexes do not.
  const given = setTimeout(() => assert.fail('the handshake is not complete after 20 s'), 20_000);
  await Promise.all([once(client, 'secureConnect'), once(server, 'secure')]);
  clearTimeout(given);
  assert.equal(client.authorized, true);
});
