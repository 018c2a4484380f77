/**
 * Whose memory it is: what records are sealed into is shared by all connections, but never while a transport holds it; and what
 * an application wrote is its own again when it is called back.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import * as tls from '../../src/node/tls.ts';
import { listen, serverOptions, trust } from './support.ts';

const SIZE = 16_000_000;

test('what a slow client has not taken yet stays as it is when its answer to a request for a certificate comes', async () => {
  const server = tls.createServer({ ...serverOptions, ...trust });
  const port = await listen(server);
  const pair = async (): Promise<[tls.TLSSocket, tls.TLSSocket]> => {
    const accepted = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>;
    const client = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust, ...serverOptions });
    await once(client, 'secureConnect');
    return [client, (await accepted)[0]];
  };
  const [slow, toSlow] = await pair();
  const [other, toOther] = await pair();
  let received = 0;
  let waiting = 0;
  slow.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  slow.once('data', () => slow.pause());
  toSlow.resume();
  other.resume();
  const done = new Promise<void>((resolve, reject) => {
    slow.once('error', reject);
    slow.once('end', resolve);
  });
  await new Promise<void>((resolve) => {
    const asked = toSlow.requestClientCertificate({ rejectUnauthorized: false }, () =>
      process.nextTick(() => {
        waiting = toSlow.writableLength;
        for (let i = 0; i < 5; i++) {
          toOther.write(Buffer.alloc(110_000, 'x'));
        }
        resolve();
      }),
    );
    assert.ok(asked);
    toSlow.end(Buffer.alloc(SIZE, 'a'));
  });
  slow.resume();
  await done;
  assert.equal(received, SIZE);
  assert.ok(waiting > 0, 'the answer came while the transport held what was written');
  for (const socket of [slow, toSlow, other, toOther]) {
    socket.destroy();
  }
  server.close();
});

for (const corked of [false, true]) {
  const what = corked ? 'held by a cork' : 'gathered';
  test(`what was written before the handshake may be written over when its callback comes, while it is ${what}`, () =>
    writtenOver(corked));
}

async function writtenOver(corked: boolean): Promise<void> {
  const received: Buffer[] = [];
  const server = tls.createServer(serverOptions, (socket) => {
    socket.on('data', (chunk: Buffer) => received.push(chunk));
    socket.on('end', () => socket.end());
  });
  const port = await listen(server);
  const client = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust });
  const write = (text: string): void => {
    const bytes = Buffer.from(text);
    client.write(bytes, () => bytes.fill('!'));
  };
  // All of it waits for the handshake, and leaves one after the other when that is over.
  if (corked) {
    client.write(Buffer.alloc(10_000, ' '), () => client.cork());
  }
  write('one ');
  await once(client, 'secureConnect');
  await new Promise(setImmediate);
  write('two ');
  if (corked) {
    client.uncork();
  }
  write('three');
  client.resume();
  client.end();
  await once(client, 'close');
  assert.equal(Buffer.concat(received).toString().trim(), 'one two three');
  server.close();
}
