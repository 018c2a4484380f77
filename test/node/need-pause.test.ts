import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { test } from 'node:test';
import { Connection } from '../../src/connection.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { SignatureScheme } from '../../src/crypto/signatures.ts';
import { createServer } from '../../src/node/tls.ts';
import { listen, localhost } from './support.ts';

test('a server that waits for a signature reads no further: a peer cannot fill its memory meanwhile', async () => {
  const key = nodeProvider.importPrivateKey(localhost.privateKeyPem);
  let answer: (() => void) | undefined;
  let noteAsked: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    noteAsked = resolve;
  });
  const server = createServer({
    cert: localhost.certificatePem,
    sign: (scheme: SignatureScheme, data: Uint8Array) => {
      noteAsked();
      return new Promise<Uint8Array>((resolve) => {
        answer = () => resolve(nodeProvider.sign(scheme, key, data));
      });
    },
  });
  const failed = once(server, 'tlsClientError');
  const port = await listen(server);
  const hello = Connection.client({ provider: nodeProvider, now: Date.now, serverName: 'localhost' }).start();
  const socket = connectTcp(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  const [first] = hello;
  assert.ok(first.kind === 'send');
  socket.write(first.bytes);
  await asked;
  // More than the core would keep, in records that cannot be opened.
  const record = new Uint8Array(5 + 16_000);
  record.set([23, 3, 3, 16_000 >>> 8, 16_000 & 0xff]);
  for (let sent = 0; sent < 4 * 131_072; sent += record.length) {
    socket.write(record);
  }
  const early = await Promise.race([
    failed.then(() => 'failed'),
    new Promise((resolve) => setTimeout(resolve, 100, 'waiting')),
  ]);
  assert.equal(early, 'waiting');
  answer?.();
  const [error] = await failed;
  assert.equal(error.code, 'TLS_ERR_BAD_RECORD_MAC');
  socket.destroy();
  server.close();
});
