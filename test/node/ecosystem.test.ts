/** What widely used packages rest on in `node:tls`, `https` and `http2` without knowing. The witness is Node itself. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import * as nodeHttp2 from 'node:http2';
import * as nodeHttps from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Agent as Dispatcher, WebSocket } from 'undici';
import { WebSocketServer } from 'ws';
import * as ourHttp2 from '../../src/node/http2.ts';
import * as ourHttps from '../../src/node/https.ts';
import type { SecureContextOptions, TlsOptions } from '../../src/node/tls.ts';
import { createConnector } from '../../src/node/undici.ts';
import { closed, closing, collect, failure, listen, mayfly, native, serverOptions, trust } from './support.ts';

const engines = [
  { name: 'mayfly', tls: mayfly, https: ourHttps, http2: ourHttp2 },
  { name: 'node', tls: native, https: nodeHttps as unknown as typeof ourHttps, http2: nodeHttp2 as never },
] satisfies { name: string; tls: typeof mayfly; https: typeof ourHttps; http2: typeof ourHttp2 }[];

const toLocalhost = { host: '127.0.0.1', servername: 'localhost', ...trust };

for (const { name, tls, https, http2 } of engines) {
  describe(`What packages rest on: ${name}`, () => {
    test('the answer to a bad request leaves, although the socket is destroyed with the reason right after it', async () => {
      const server = https.createServer(serverOptions);
      const port = await listen(server);
      const client = native.connect({ port, ...toLocalhost });
      client.write('BAD\r\n\r\n');
      assert.match((await collect(client)).toString(), /^HTTP\/1\.1 400 /);
      await closed(server);
    });

    test('a peer that is gone before it hears our close_notify is no error', async () => {
      const path = join(tmpdir(), `mayfly-${process.pid}-${name}.sock`);
      // A write to a Unix socket that the peer has closed fails at once.
      const server = nodeHttps.createServer(serverOptions, (_request, response) => response.end('over a path'));
      server.listen(path);
      await once(server, 'listening');
      const request = https.get({ socketPath: path, servername: 'localhost', agent: false, ...trust });
      const [response] = await once(request, 'response');
      const end = closing(request);
      assert.equal((await collect(response)).toString(), 'over a path');
      await end;
      await closed(server);
      rmSync(path, { force: true });
    });

    test('who ends both directions and hears nothing more has no error, however the peer ends', async () => {
      const server = native.createServer({ ...serverOptions, allowHalfOpen: true }, (socket) => {
        socket.resume();
        socket.on('end', () => socket.destroy());
      });
      const client = tls.connect({ port: await listen(server), ...toLocalhost });
      await once(client, 'secureConnect');
      client.resume();
      client.end('QUIT');
      assert.deepEqual(await closing(client), [false]);
      await closed(server);
    });

    test('options that are null were not given', async () => {
      const none = { passphrase: null, SNICallback: null, ALPNCallback: null, pfx: null } as unknown as TlsOptions;
      const server = tls.createServer({ ...serverOptions, ...none }, (socket) => socket.end('hi'));
      const port = await listen(server);
      const options = { socket: null, signal: null, path: null, session: null } as unknown as SecureContextOptions;
      const client = tls.connect({ port, allowTruncation: true, ...toLocalhost, ...options });
      assert.equal((await collect(client)).toString(), 'hi');
      await closed(server);
    });

    test("who reads once for each 'readable' gets all", async () => {
      const server = tls.createServer(serverOptions, (socket) => {
        let left = 300_000;
        socket.on('readable', () => {
          left -= socket.read()?.length ?? 0;
          if (left === 0 && !socket.writableEnded) {
            socket.end('all');
          }
        });
      });
      const client = native.connect({ port: await listen(server), ...toLocalhost });
      client.write(Buffer.alloc(300_000));
      assert.equal((await collect(client)).toString(), 'all');
      await closed(server);
    });

    test('the issuers of a certificate lead up to the trusted root, which is its own', async () => {
      const server = native.createServer(serverOptions, (socket) => socket.resume());
      const seen: string[] = [];
      const client = tls.connect({
        port: await listen(server),
        ...toLocalhost,
        checkServerIdentity(_name, certificate) {
          // As the documentation of `https.request` goes through them.
          let last = '';
          for (let at = certificate; at.fingerprint256 !== last; at = at.issuerCertificate as typeof certificate) {
            seen.push(String(at.subject.CN));
            last = at.fingerprint256;
          }
          return undefined;
        },
      });
      await once(client, 'secureConnect');
      assert.deepEqual(new Set(seen).size, 2);
      const { issuerCertificate: issuer } = client.getPeerCertificate(true);
      assert.equal(issuer?.subject.CN, seen[1]);
      assert.equal(issuer?.issuerCertificate, issuer);
      client.destroy();
      await closed(server);
    });

    test('an HTTP/2 session says from the start that it is encrypted, and the server at which address it is', async () => {
      const server = http2.createSecureServer(serverOptions, ({ socket }, response) => {
        response.end(JSON.stringify([socket.localAddress, socket.localPort, socket.localFamily, socket.address()]));
      });
      const port = await listen(server);
      const session = http2.connect(`https://127.0.0.1:${port}`, { servername: 'localhost', ...trust });
      assert.equal((session.socket as { encrypted?: boolean }).encrypted, true);
      const told = JSON.parse((await collect(session.request())).toString());
      assert.deepEqual(told, ['127.0.0.1', port, 'IPv4', { address: '127.0.0.1', family: 'IPv4', port }]);
      session.close();
      await closed(server);
    });
  });
}

test('a WebSocket of undici opens over a connector', async () => {
  const server = ourHttps.createServer(serverOptions);
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (message) => socket.send(message.toString())));
  const dispatcher = new Dispatcher({ connect: createConnector({ servername: 'localhost', ...trust }) });
  const socket = new WebSocket(`wss://127.0.0.1:${await listen(server)}`, { dispatcher });
  await once(socket, 'open');
  socket.send('hello');
  const [{ data }] = await once(socket, 'message');
  assert.equal(data, 'hello');
  socket.close();
  await once(socket, 'close');
  sockets.close();
  await dispatcher.close();
  await closed(server);
});

test('an answer that is begun after our end, and cut off, is an error as ever', async () => {
  const server = native.createServer({ ...serverOptions, allowHalfOpen: true }, (socket) => {
    socket.resume();
    socket.on('end', () => socket.write('half an ans', () => socket.destroy()));
  });
  const client = mayfly.connect({ port: await listen(server), ...toLocalhost });
  const failed = failure(client, 'end');
  client.resume();
  client.end('question');
  assert.equal((await failed).code, 'TLS_ERR_TRUNCATED');
  await closed(server);
});
