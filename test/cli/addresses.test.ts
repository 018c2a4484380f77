/** What a server says of a client that is gone by then. */

import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import * as nodeTls from 'node:tls';
import { openSite } from '../../src/cli/serve/site.ts';
import { certificateFor } from '../interop/support.ts';

test('a client that has reset the connection is named by its address nevertheless', async () => {
  let resolve: (remote: string) => void;
  const failed = new Promise<string>((settle) => {
    resolve = settle;
  });
  const site = await openSite({
    ...certificateFor('ecdsa-p256'),
    listen: { host: '127.0.0.1', port: 0 },
    versions: ['TLSv1.3'],
    http: '1',
    sessions: {},
    handle: () => {},
    onFailure: ({ remote }) => resolve(remote),
  });
  try {
    const tcp = createConnection(site.addresses[0].port, '127.0.0.1');
    const client = nodeTls.connect({ socket: tcp, servername: 'localhost', rejectUnauthorized: false });
    client.on('error', () => {});
    // The server's first flight is here: it waits for the client's Finished.
    client.once('keylog', () => tcp.resetAndDestroy());
    assert.equal(await failed, '127.0.0.1');
  } finally {
    await site.drain(0);
  }
});
