import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect, createServer, type TLSSocket } from '../../src/node/tls.ts';
import { listen, only, serverOptions, trust } from './support.ts';

for (const side of ['server', 'client'] as const) {
  test(`what a ${side} writes while it renegotiates arrives whole`, async () => {
    const sent = Buffer.alloc(700_000, 'mayfly');
    const server = createServer({ ...serverOptions, ...only('TLSv1.2'), clientRenegotiations: 3 });
    const accepted = once(server, 'secureConnection');
    const port = await listen(server);
    const client = connect({ port, host: '127.0.0.1', servername: 'localhost', ...trust, ...only('TLSv1.2') });
    await once(client, 'secureConnect');
    const [socket] = (await accepted) as [TLSSocket];
    const writer = side === 'server' ? socket : client;
    const reader = side === 'server' ? client : socket;
    const chunks: Buffer[] = [];
    reader.on('data', (chunk: Buffer) => chunks.push(chunk));
    const ended = once(reader, 'end');
    const renegotiated = new Promise((resolve) => writer.renegotiate({}, resolve));
    writer.write(sent.subarray(0, 100));
    writer.write(sent.subarray(100, 400_000));
    assert.equal(await renegotiated, null);
    writer.end(sent.subarray(400_000));
    await ended;
    assert.ok(Buffer.concat(chunks).equals(sent));
    client.destroy();
    socket.destroy();
    server.close();
  });
}

test('a renegotiation that the end of the connection cuts off is reported as failed', async () => {
  const server = createServer({ ...serverOptions, ...only('TLSv1.2'), clientRenegotiations: 3 });
  const accepted = once(server, 'secureConnection');
  const port = await listen(server);
  const client = connect({ port, host: '127.0.0.1', servername: 'localhost', ...trust, ...only('TLSv1.2') });
  await once(client, 'secureConnect');
  const [socket] = (await accepted) as [TLSSocket];
  socket.resume();
  const renegotiated = new Promise<Error | null>((resolve) => client.renegotiate({}, resolve));
  client.destroy();
  assert.equal(((await renegotiated) as Error & { code?: string })?.code, 'TLS_ERR_WRONG_STATE');
  socket.destroy();
  server.close();
});

test('what a client writes in a renegotiation that the server closes instead arrives under the old keys', async () => {
  const server = createServer({ ...serverOptions, ...only('TLSv1.2'), clientRenegotiations: 3 });
  const accepted = once(server, 'secureConnection');
  const port = await listen(server);
  const client = connect({ port, host: '127.0.0.1', servername: 'localhost', ...trust, ...only('TLSv1.2') });
  await once(client, 'secureConnect');
  const [socket] = (await accepted) as [TLSSocket];
  let received = 0;
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  const ended = once(socket, 'end');
  const renegotiated = new Promise<Error | null>((resolve) => client.renegotiate({}, resolve));
  client.write(Buffer.alloc(100_000));
  client.resume();
  socket.end();
  assert.equal(((await renegotiated) as Error & { code?: string })?.code, 'TLS_ERR_WRONG_STATE');
  await ended;
  assert.equal(received, 100_000);
  server.close();
});
