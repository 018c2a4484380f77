/** What a proxy owes both sides beyond passing bytes on: answers that come early or late, clients that leave, headers of many kinds. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, createServer as netServer } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { requestHeaders, responseHeaders } from '../../src/cli/serve/upstream/hop-headers.ts';
import { type Front, front, type Handler, type Open, open1, open2, portOf } from './forwarding-support.ts';

for (const http of [1, 2] as const) {
  describe(`through the proxy, HTTP/${http === 1 ? '1.1' : '2'}:`, () => {
    async function ask(t: TestContext, handler: Handler, method: string): Promise<Open & Front> {
      const upstream = await portOf(t, createServer(handler));
      const server = await front(t, upstream, http);
      return { ...server, ...(http === 1 ? open1(server.port, method) : open2(t, server.port, method)) };
    }

    test('headers arrive before there is a body, and each piece of it when it is there', async (t) => {
      let upstream: ServerResponse | undefined;
      const open = await ask(
        t,
        (_request, response) => {
          upstream = response.writeHead(200, { 'content-type': 'text/event-stream' });
          response.flushHeaders();
        },
        'GET',
      );
      open.end();
      assert.equal(await open.status, 200);
      upstream?.write('data: 1\n\n');
      upstream?.end('data: 2\n\n');
      assert.equal(await open.body, 'data: 1\n\ndata: 2\n\n');
    });

    test('an answer before the end of the body arrives, and the rest of the body is taken', async (t) => {
      const open = await ask(t, (_request, response) => response.writeHead(413).end('too much'), 'POST');
      open.write(Buffer.alloc(1_000));
      assert.equal(await open.status, 413);
      assert.equal(await open.body, 'too much');
      open.write(Buffer.alloc(300_000));
      open.end();
      assert.deepEqual(open.failures, []);
    });

    test('a client that leaves ends the request upstream, be it before the answer or in it', async (t) => {
      for (const begins of [false, true]) {
        let gone: (() => void) | undefined;
        const left = new Promise<void>((resolve) => {
          gone = resolve;
        });
        let arrived: (() => void) | undefined;
        const here = new Promise<void>((resolve) => {
          arrived = resolve;
        });
        const open = await ask(
          t,
          (_request, response) => {
            response.once('close', () => gone?.());
            if (begins) {
              response.write('half');
            }
            arrived?.();
          },
          'GET',
        );
        open.end();
        open.body.catch(() => {});
        open.status.catch(() => {});
        await (begins ? open.status : here);
        open.leave();
        await left;
        assert.deepEqual(open.failures, []);
      }
    });

    test('cookies stay apart, lists are joined, and of what comes once the first counts', async (t) => {
      const upstream = await portOf(
        t,
        netServer((socket) => {
          socket.on('error', () => {});
          socket.once('data', () =>
            socket.end(
              'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVary: x\r\nVary: y\r\nServer: one\r\nServer: two\r\n' +
                'X-Sent: \u00e9\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok',
              'latin1',
            ),
          );
        }),
      );
      const server = await front(t, upstream, http);
      const open = http === 1 ? open1(server.port, 'GET') : open2(t, server.port, 'GET');
      open.end();
      assert.equal(await open.status, 200);
      assert.equal(await open.body, 'ok');
      const headers = open.headers();
      assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
      assert.equal(headers.vary, 'x, y');
      assert.equal(headers.server, 'one');
      assert.equal(headers['x-sent'], 'é');
      assert.equal(headers['x-hop'], undefined);
      assert.equal(headers['keep-alive'], undefined);
      // As it was asked for here; upstream it is another connection.
      assert.equal(headers.connection, http === 1 ? 'close' : undefined);
    });

    test('answers without a body have none', async (t) => {
      for (const [method, status] of [
        ['HEAD', 200],
        ['GET', 204],
        ['GET', 304],
      ] as const) {
        const open = await ask(t, (_request, response) => response.writeHead(status, { etag: '"e"' }).end(), method);
        open.end();
        assert.equal(await open.status, status);
        assert.equal(await open.body, '');
        assert.equal(open.headers().etag, '"e"');
      }
    });
  });
}

test('an upstream server that says nothing is answered for with 504', async (t) => {
  const upstream = await portOf(
    t,
    createServer(() => {}),
  );
  const server = await front(t, upstream, 1, 50);
  const open = open1(server.port, 'GET');
  open.end();
  assert.equal(await open.status, 504);
  assert.match(await open.body, /did not answer in time/);
  assert.deepEqual(server.failures, ['UND_ERR_HEADERS_TIMEOUT']);
});

test('a client that does not read its answer is given up, and the upstream server is let go', async (t) => {
  const upstream = netServer((socket) => {
    const more = (): void => {
      while (socket.write(Buffer.alloc(65_536))) {}
    };
    socket.on('error', () => {}).on('drain', more);
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\n', more));
  });
  const server = await front(t, await portOf(t, upstream), 1, 200);
  const client = connect(server.port, '127.0.0.1', () => client.pause().write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  t.after(() => client.destroy());
  const [held] = await once(upstream, 'connection');
  await new Promise((resolve) => held.once('close', resolve));
});

test('an upstream server that is no HTTP server, or has too much to say first, is answered for with 502', async (t) => {
  for (const said of ['SSH-2.0-x\r\n', `HTTP/1.1 200 OK\r\nX-Big: ${'x'.repeat(70_000)}\r\n\r\n`]) {
    const upstream = await portOf(
      t,
      netServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => socket.end(said));
      }),
    );
    const server = await front(t, upstream, 1);
    const open = open1(server.port, 'GET');
    open.end();
    assert.equal(await open.status, 502);
    await open.body;
    assert.equal(server.failures.length, 1);
  }
});

test('a status that cannot be passed on is answered for with 502, and a reason that cannot is left out', async (t) => {
  let said = '';
  const upstream = await portOf(
    t,
    netServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(said));
    }),
  );
  for (const http of [1, 2] as const) {
    const server = await front(t, upstream, http);
    for (const [line, expected] of [
      ['200 \u20ac', 200],
      ['700 Odd', http === 1 ? 700 : 502],
    ] as const) {
      said = `HTTP/1.1 ${line}\r\nContent-Length: 2\r\n\r\nok`;
      const open = http === 1 ? open1(server.port, 'GET') : open2(t, server.port, 'GET');
      open.end();
      assert.equal(await open.status, expected);
      await open.body;
    }
  }
});

test('connections to the upstream server serve many requests, also those with bodies', async (t) => {
  const upstream = createServer((incoming, response) => {
    incoming.resume().on('end', () => response.end('ok'));
  });
  let connections = 0;
  upstream.on('connection', () => connections++);
  const server = await front(t, await portOf(t, upstream), 1);
  for (const method of ['GET', 'POST', 'GET', 'PUT']) {
    const open = open1(server.port, method);
    if (method !== 'GET') {
      open.write('body');
    }
    open.end();
    assert.equal(await open.body, 'ok');
    // The pool waits for a turn, lest the upstream server close after all.
    await new Promise(setImmediate);
  }
  assert.equal(connections, 1);
});

test('a request that a client cuts off does not reach the upstream server as a whole one', async (t) => {
  let ended = false;
  let cut: (() => void) | undefined;
  const broken = new Promise<void>((resolve) => {
    cut = resolve;
  });
  const upstream = createServer((incoming) => {
    incoming.on('error', () => {});
    incoming.on('end', () => {
      ended = true;
    });
    incoming.on('close', () => cut?.());
    incoming.resume();
  });
  const server = await front(t, await portOf(t, upstream), 1);
  const socket = connect(server.port, '127.0.0.1');
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n');
  await once(upstream, 'request');
  socket.destroy();
  await broken;
  assert.equal(ended, false);
});

describe('headers', () => {
  const request = (headers: Record<string, string | string[]>) =>
    ({ headers, socket: { remoteAddress: '192.0.2.1' } }) as unknown as IncomingMessage;

  test('for the upstream server are without what the client may not say, and with what we know', () => {
    const given = requestHeaders(
      request({
        ':path': '/',
        ':authority': 'example.test',
        host: 'other.test',
        connection: 'x-named, Content-Length, Host, Early-Data',
        'x-named': '1',
        'x-forwarded-for': '203.0.113.9',
        'x-forwarded-user': 'kept',
        expect: '100-continue',
        'transfer-encoding': 'chunked',
        'content-length': '4',
        te: 'trailers',
        'early-data': '1',
        // Some servers cannot tell these from those with a hyphen.
        x_forwarded_for: '203.0.113.9',
        transfer_encoding: 'chunked',
        x_kept: '1',
        'x-real-ip': '203.0.113.9',
        'x-client-ip': '203.0.113.9',
        client_ip: '203.0.113.9',
        'true-client-ip': '203.0.113.9',
        'client-cert': ':AA==:',
        'x-forwarded-client-cert': 'Subject="CN=admin"',
      }),
      { host: 'example.test', port: 8443, hasBody: true, takesTrailers: true, trailers: undefined },
    );
    const found: Record<string, string> = {};
    for (let i = 0; i < given.length; i += 2) {
      assert.equal(found[given[i]], undefined, given[i]);
      found[given[i]] = given[i + 1];
    }
    assert.deepEqual(found, {
      'x-forwarded-user': 'kept',
      'content-length': '4',
      'early-data': '1',
      te: 'trailers',
      x_kept: '1',
      host: 'example.test',
      'x-forwarded-host': 'example.test',
      'x-forwarded-for': '192.0.2.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-port': '8443',
    });
    assert.ok(
      !requestHeaders(request({ 'content-length': '0' }), {
        host: undefined,
        port: 443,
        hasBody: false,
        takesTrailers: false,
        trailers: undefined,
      }).includes('content-length'),
    );
  });

  test('for the client keep the transfer coding only where Node frames the body by it', () => {
    const from = { 'transfer-encoding': 'chunked', connection: 'close', trailer: 'x', 'x-kept': '1' };
    assert.deepEqual(responseHeaders(from, true), { 'transfer-encoding': 'chunked', 'x-kept': '1' });
    assert.deepEqual(responseHeaders(from, false), { 'x-kept': '1' });
  });
});
