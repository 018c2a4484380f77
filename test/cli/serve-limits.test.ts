/** What a proxy does when there is too much to do, or when one side does not go on: nobody waits for ever, and nothing is left over. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { connect, type Socket, createServer as tcpServer } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Exchange } from '../../src/cli/serve/exchange.ts';
import type { ProxyOptions } from '../../src/cli/serve/upstream/proxy.ts';
import {
  askInHttp2,
  askInText,
  type Front,
  front,
  type Open,
  open1,
  open2,
  portOf,
  WEBSOCKET_KEY,
} from './forwarding-support.ts';

/** An upstream server that answers when it is told to, by path, and counts its connections. */
async function patientServer(t: TestContext, http: 1 | 2, options: Partial<ProxyOptions>) {
  const waiting: ServerResponse[] = [];
  let arrived = (): void => {};
  const upstream = createServer((incoming, response) => {
    incoming.on('error', () => {}).resume();
    waiting.push(response);
    arrived();
  });
  let most = 0;
  const sockets = new Set<Socket>();
  upstream.on('connection', (socket) => {
    sockets.add(socket);
    most = Math.max(most, sockets.size);
    socket.once('close', () => sockets.delete(socket));
  });
  upstream.on('checkContinue', (incoming, response) => {
    response.writeContinue();
    upstream.emit('request', incoming, response);
  });
  const server = await front(t, await portOf(t, upstream), http, 5000, options);
  return {
    server,
    sockets,
    most: () => most,
    waiting,
    async until(count: number): Promise<void> {
      while (waiting.length < count) {
        await new Promise<void>((resolve) => {
          arrived = resolve;
        });
      }
    },
  };
}

for (const http of [1, 2] as const) {
  describe(`with a limit of connections, HTTP/${http === 1 ? '1.1' : '2'}:`, () => {
    const openTo = (t: TestContext, { port }: Front, method = 'GET'): Open => {
      const open = http === 1 ? open1(port, method) : open2(t, port, method);
      open.end();
      return open;
    };

    test('requests beyond it wait in order, and those beyond the queue get 503', async (t) => {
      const options = { connections: 2, queue: { size: 2, patience: 5000 } };
      const { server, until, waiting, most } = await patientServer(t, http, options);
      const first = [openTo(t, server), openTo(t, server, 'POST')];
      await until(2);
      const later = [openTo(t, server), openTo(t, server)];
      let refused: Open;
      do {
        // They may not be there yet.
        refused = openTo(t, server);
        later.push(refused);
      } while ((await Promise.race([refused.status, new Promise((resolve) => setTimeout(resolve, 50))])) !== 503);
      assert.equal(refused.headers()['retry-after'], '5');
      assert.match(await refused.body, /is busy/);
      assert.deepEqual([...new Set(server.failures)], ['QUEUE_FULL']);
      for (let served = 0; served < 4; served++) {
        await until(1);
        waiting.shift()?.end('ok');
      }
      const bodies = await Promise.all([...first, ...later].map((open) => open.body));
      assert.equal(bodies.filter((body) => body === 'ok').length, 4);
      assert.equal(most(), 2);
    });

    test('who waits too long gets 503; who leaves while it waits is forgotten', async (t) => {
      const options = { connections: 1, queue: { size: 2, patience: 200 } };
      const { server, until, waiting, most } = await patientServer(t, http, options);
      const first = openTo(t, server);
      await until(1);
      const leaving = [openTo(t, server), openTo(t, server)];
      await new Promise((resolve) => setTimeout(resolve, 50));
      for (const open of leaving) {
        open.status.catch(() => {});
        open.body.catch(() => {});
        open.leave();
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      // There is room in the queue again.
      const late = openTo(t, server, 'POST');
      assert.equal(await late.status, 503);
      assert.deepEqual(server.failures, ['QUEUE_TIMEOUT']);
      waiting.shift()?.end('ok');
      assert.equal(await first.body, 'ok');
      const next = openTo(t, server);
      await until(1);
      waiting.shift()?.end('next');
      assert.equal(await next.body, 'next');
      assert.equal(most(), 1);
    });
  });
}

const UPGRADE = `GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n${WEBSOCKET_KEY}\r\n`;
const EXPECTING =
  'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n';

test('a request that waits for 100 counts, takes the place of an idle connection, and gives it back', async (t) => {
  const options = { connections: 1, queue: { size: 3, patience: 5000 } };
  const { server, until, waiting, most } = await patientServer(t, 1, options);
  for (let round = 0; round < 2; round++) {
    const get = open1(server.port, 'GET');
    get.end();
    await until(1);
    const answers = [askInText(server.port, EXPECTING, 'x'), askInText(server.port, EXPECTING, 'x')];
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(waiting.length, 1);
    for (let served = 0; served < 3; served++) {
      await until(1);
      waiting.shift()?.end('ok');
    }
    assert.equal(await get.body, 'ok');
    for (const answer of await Promise.all(answers)) {
      assert.match(answer, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
    }
  }
  // The upstream server may hear of the next one before the last one is closed.
  assert.ok(most() <= 2);
});

test('a failed connection gives its place to the next request', async (t) => {
  const server = await front(t, 1, 1, 1000, { connections: 1 });
  const opens = [open1(server.port, 'GET'), open1(server.port, 'POST'), open1(server.port, 'GET')];
  for (const open of opens) {
    open.end();
  }
  assert.deepEqual(await Promise.all(opens.map((open) => open.status)), [502, 502, 502]);
  assert.match(await askInText(server.port, EXPECTING), /^HTTP\/1\.1 502 /);
});

test('a connection that does not come to be is answered for with 504', async (t) => {
  // It listens and never accepts: once its backlog is full, nobody gets a connection.
  const listener = new Worker(
    `const server = require('node:net').createServer();
     server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       require('node:worker_threads').parentPort.postMessage(server.address().port);
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30000));
     });`,
    { eval: true },
  );
  t.after(() => listener.terminate());
  const [port] = await once(listener, 'message');
  const blockers = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  t.after(() => {
    for (const socket of blockers) {
      socket.destroy();
    }
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const server = await front(t, port, 1, 5000, { connectTimeout: 100, connections: 1 });
  for (const text of ['GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', EXPECTING, UPGRADE]) {
    assert.match(await askInText(server.port, text), /^HTTP\/1\.1 504 /);
  }
  assert.deepEqual(server.failures, Array(3).fill('UND_ERR_CONNECT_TIMEOUT'));
});

for (const framing of ['Content-Length: 2\r\n\r\nno', 'Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n']) {
  test(`an answer before the end of the body is passed on although a reset follows it (${framing.slice(0, 8)})`, async (t) => {
    let exchange: Exchange | undefined;
    const upstream = tcpServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.pause().write(`HTTP/1.1 413 Too Much\r\n${framing}`, () => {
          socket.resetAndDestroy();
          // A piece of the body leaves before that is known here.
          exchange?.request.emit('data', Buffer.alloc(1000));
        });
      });
    });
    const onExchange = (one: Exchange) => {
      exchange = one;
    };
    const port = await portOf(t, upstream);
    for (const http of [1, 2] as const) {
      const server = await front(t, port, http, 2000, {}, onExchange);
      const open = http === 1 ? open1(server.port, 'POST') : open2(t, server.port, 'POST');
      open.write('begins');
      assert.equal(await open.status, 413);
      assert.equal(await open.body, 'no');
      open.end();
      assert.deepEqual(server.failures, []);
    }
  });
}

test('an upstream server that reads slowly holds the client back', async (t) => {
  const upstream = tcpServer((socket) => socket.on('error', () => {}).pause());
  const { port } = await front(t, await portOf(t, upstream), 1, 2000);
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n');
  let sent = 0;
  const more = (): void => {
    while (sent < 500_000_000 && socket.write(Buffer.alloc(65_536))) {
      sent += 65_536;
    }
  };
  socket.on('drain', more);
  more();
  for (let before = -1; before !== sent; ) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(sent < 64_000_000, `${sent} bytes were taken for a server that reads nothing`);
});

test('a client that is slow when an answer without a length ends, or breaks, harms nobody', async (t) => {
  for (const isWhole of [true, false]) {
    let exchange: Exchange | undefined;
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    const isHeld = () => exchange?.response.writableNeedDrain === true;
    let ended = (): void => {};
    const said = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const upstream = tcpServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', async () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        do {
          socket.write(Buffer.alloc(60_000));
          await pause(isHeld() ? 20 : 1);
        } while (!isHeld());
        if (isWhole) {
          socket.end('the end', ended);
        } else {
          socket.resetAndDestroy();
          ended();
        }
      });
    });
    const server = await front(t, await portOf(t, upstream), 1, 2000, {}, (one) => {
      exchange = one;
    });
    const client = connect(server.port, '127.0.0.1').pause();
    let last = '';
    client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await said;
    // The end comes to the proxy while the answer is held back.
    await pause(30);
    client.on('error', () => {});
    client.on('data', (bytes) => {
      last = (last + bytes.toString('latin1')).slice(-20);
    });
    client.resume();
    await new Promise((resolve) => client.once('close', resolve));
    assert.equal(last.includes('the end'), isWhole, last);
  }
});

describe('a silent', () => {
  test('upstream server within an answer breaks it, also after 100', async (t) => {
    const upstream = tcpServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (said) => {
        if (said.includes('expect:')) {
          socket.write('HTTP/1.1 100 Continue\r\n\r\n');
        }
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha');
      });
    });
    const port = await portOf(t, upstream);
    const server = await front(t, port, 1, 100);
    assert.ok((await askInText(server.port, EXPECTING, 'x')).endsWith('\r\n\r\nha'));
    const second = await askInHttp2((await front(t, port, 2, 100)).port, {});
    assert.deepEqual([second.status, second.isWhole], [200, false]);
  });

  test('client within its body is told so, and the upstream server is let go', async (t) => {
    for (const http of [1, 2] as const) {
      const { server, sockets } = await patientServer(t, http, { upstreamTimeout: 100 });
      const open = http === 1 ? open1(server.port, 'POST') : open2(t, server.port, 'POST');
      open.write('half');
      assert.equal(await open.status, 408);
      await open.body;
      for (const socket of sockets) {
        await new Promise((resolve) => socket.once('close', resolve));
      }
      assert.deepEqual(server.failures, []);
    }
  });
});
