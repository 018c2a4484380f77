/** Which silence of a connection is not idleness: that of answers, and of connections that the application has taken over. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as nodeHttp2 from 'node:http2';
import { test } from 'node:test';
import * as http2 from '../../src/node/http2.ts';
import { wrapperOf } from '../../src/node/http2-wrapper.ts';
import * as https from '../../src/node/https.ts';
import * as tls from '../../src/node/tls.ts';
import { closed, delay, listen, native, serverOptions, trust } from './support.ts';

/** Looked at four times in between. */
const options = { ...serverOptions, idleTimeout: 400 };
const ABOUT_TO_CLOSE = 4;

/** Whether the server leaves the connection open when it looks next, and once more. */
async function staysOpen(socket: tls.TLSSocket): Promise<boolean> {
  socket.idleSweeps = ABOUT_TO_CLOSE;
  while (!socket.destroyed && !socket.writableEnded && socket.idleSweeps < ABOUT_TO_CLOSE + 2) {
    await delay(20);
  }
  return !socket.destroyed && !socket.writableEnded;
}

const answers: Readonly<Record<string, (stream: nodeHttp2.ServerHttp2Stream) => void>> = {
  '/late': () => {},
  '/begun': (stream) => {
    stream.respond();
    stream.write('data: 1\n\n');
  },
  '/beside': (stream) => {
    stream.resume();
    stream.respond();
  },
  '/unread': (stream) => {
    stream.respond();
    stream.write(Buffer.alloc(1_000_000));
  },
  '/ended': (stream) => {
    stream.respond();
    stream.end(Buffer.alloc(1_000_000));
  },
  '/upload': (stream) => stream.resume(),
  '/deaf': (stream) => {
    stream.respond();
    const { stream: socket } = wrapperOf(stream.session as nodeHttp2.Http2Session);
    // Each write that is done makes it read again.
    setTimeout(() => socket.pause(), 20);
  },
};

test('answers of HTTP/2 take as long as they like, unless the client does not read or does not ask, or is not heard', async () => {
  const server = http2.createSecureServer(options);
  server.on('sessionError', () => {});
  const port = await listen(server);
  const outcome = async (...paths: string[]): Promise<boolean> => {
    const client = nodeHttp2.connect(`https://127.0.0.1:${port}`, { servername: 'localhost', ...trust });
    client.on('error', () => {});
    const [session] = (await once(server, 'session')) as [nodeHttp2.ServerHttp2Session];
    for (const path of paths) {
      const method = path === '/beside' || path === '/upload' ? 'POST' : 'GET';
      client.request({ ':path': path, ':method': method }).on('error', () => {});
      const [stream] = (await once(session, 'stream')) as [nodeHttp2.ServerHttp2Stream];
      answers[path](stream.on('error', () => {}));
    }
    await delay(50);
    client.ping(() => {});
    // What was written is on its way, as far as it goes.
    await delay(50);
    const socket = [...server.secureSockets].at(-1) as tls.TLSSocket;
    const isOpen = await staysOpen(socket);
    client.destroy();
    return isOpen;
  };
  for (const path of ['/late', '/begun', '/beside']) {
    assert.equal(await outcome(path), true, path);
  }
  for (const paths of [['/upload'], ['/unread'], ['/ended'], ['/late', '/unread'], ['/deaf'], []]) {
    assert.equal(await outcome(...paths), false, paths.join(' '));
  }
  await closed(server);
});

test('a server on HTTP/2 of a socket by hand leaves its answers time too', async () => {
  const server = tls.createServer({ ...options, ALPNProtocols: ['h2'] }, (socket) => {
    const session = http2.performServerHandshake(socket);
    assert.equal(session.encrypted, true);
    session.on('error', () => {}).on('stream', (stream) => stream.on('error', () => {}).respond());
  });
  const port = await listen(server);
  const client = nodeHttp2.connect(`https://127.0.0.1:${port}`, { servername: 'localhost', ...trust });
  client.on('error', () => {});
  await once(
    client.request().on('error', () => {}),
    'response',
  );
  const [socket] = server.secureSockets;
  assert.equal(await staysOpen(socket), true);
  client.destroy();
  await closed(server);
});

test('setTimeout(0) after an upgrade, or of a listener for connections, leaves the connection open', async () => {
  const web = https.createServer({ ...options, keepAliveTimeout: 0 } as never);
  web.on('upgrade', ({ url }, socket) => {
    if (url === '/ours') {
      (socket as unknown as tls.TLSSocket).setTimeout(0);
    }
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n');
  });
  const bare = tls.createServer(options, (socket) => socket.setTimeout(1e9).setTimeout(0).resume().write('.'));
  const usual = tls.createServer(options, (socket) => socket.resume().write('.'));
  const outcome = async (server: https.Server | tls.Server, path = '/'): Promise<boolean> => {
    const client = native.connect({ port: await listen(server), host: '127.0.0.1', servername: 'localhost', ...trust });
    client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`);
    await once(
      client.on('error', () => {}),
      'data',
    );
    const [socket] = server.secureSockets;
    const isOpen = await staysOpen(socket);
    client.resume().destroy();
    await closed(server);
    return isOpen;
  };
  assert.equal(await outcome(web, '/ours'), true);
  assert.equal(await outcome(web), false);
  assert.equal(await outcome(bare), true);
  assert.equal(await outcome(usual), false);
});

test('setTimeout(0) that the server of HTTP/1 calls by itself leaves nothing open', async () => {
  const server = https.createServer({ ...options, keepAliveTimeout: 60_000 } as never, (request, response) => {
    request.resume();
    if (request.method === 'GET') {
      response.end('.');
    }
  });
  const client = native.connect({ port: await listen(server), host: '127.0.0.1', servername: 'localhost', ...trust });
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(client, 'data');
  client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf');
  await once(server, 'request');
  const [socket] = server.secureSockets;
  assert.equal(await staysOpen(socket), false);
  client.on('error', () => {}).destroy();
  await closed(server);
});
