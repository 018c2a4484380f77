/** Clients that take or send as little as they can must not keep all others from the upstream server. */

import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { type ClientHttp2Stream, connect as http2Connect } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Exchange } from '../../src/cli/serve/exchange.ts';
import { openSite } from '../../src/cli/serve/site.ts';
import { clientOf } from '../../src/cli/serve/upstream/shares.ts';
import { connect as tlsConnect } from '../../src/node/tls.ts';
import { certificateFor } from '../interop/support.ts';
import { askInText, front, portOf } from './forwarding-support.ts';
import { sleep } from './support.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

/** Answers `/` at once, and `/NUMBER` with so many bytes. */
async function server(t: TestContext): Promise<number> {
  const upstream = createServer((incoming, response) => {
    incoming.on('error', () => {}).resume();
    const length = Number(incoming.url?.slice(1));
    if (incoming.method === 'GET') {
      response.setHeader('content-length', length);
      response.end(Buffer.alloc(length));
    } else {
      incoming.once('end', () => response.end('taken'));
    }
  });
  return portOf(t, upstream);
}

/** HTTP/2 clients that take nothing of their answers, before they are told to. */
async function stubborn(
  t: TestContext,
  port: number,
  paths: readonly string[],
  { initialWindowSize = 0, localAddress }: { initialWindowSize?: number; localAddress?: string } = {},
): Promise<ClientHttp2Stream[]> {
  const session = http2Connect(`http://127.0.0.1:${port}`, {
    settings: { initialWindowSize },
    createConnection: () => connect({ port, host: '127.0.0.1', ...(localAddress && { localAddress }) }),
  });
  session.on('error', () => {});
  t.after(() => session.destroy());
  return Promise.all(
    paths.map(async (path) => {
      const stream = session.request({ ':path': path });
      stream.on('error', () => {});
      await once(stream, 'response');
      return stream;
    }),
  );
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await sleep(5);
  }
}

test('an answer that can be read ahead leaves its connection to others while its client reads nothing', async (t) => {
  const { port, books } = await front(t, await server(t), 2, 5000, { connections: 1, readAhead: 200_000 });
  const [first] = await stubborn(t, port, ['/150000']);
  await until(() => books().busy === 0);
  const [second] = await stubborn(t, port, ['/10']);
  (second.session as NonNullable<typeof second.session>).destroy();
  // And it is whole when it is read at last.
  first.session?.settings({ initialWindowSize: 65_535 });
  let length = 0;
  first.on('data', (bytes: Buffer) => {
    length += bytes.length;
  });
  await once(first, 'end');
  assert.equal(length, 150_000);
  await until(() => books().held === 0);
});

test('a client that takes too little of a large answer is cut off when others wait, and not before', async (t) => {
  const options = { connections: 1, readAhead: 32_768, slowAfter: 60, queue: { size: 2, patience: 5000 } };
  const { port, books } = await front(t, await server(t), 2, 5000, options);
  const [slow] = await stubborn(t, port, ['/500000']);
  await sleep(150);
  assert.equal(slow.destroyed, false);
  assert.equal(books().busy, 1);
  const closed = new Promise((resolve) => slow.once('close', resolve));
  await stubborn(t, port, ['/10']);
  await closed;
  assert.notEqual(slow.rstCode, 0);
  assert.deepEqual(books().broken, { client_slow: 1 });
});

test('an answer that waits behind others of its connection is not given up, only a connection that stands still is', async (t) => {
  const { port, books } = await front(t, await server(t), 2, 5000, { clientTimeout: 80 });
  const [waiting, moving] = await stubborn(t, port, ['/200000', '/900000'], { initialWindowSize: 16_384 });
  let isOver = false;
  waiting.once('close', () => {
    isOver = true;
  });
  for (let turn = 0; turn < 20; turn++) {
    moving.read(8192);
    await sleep(15);
  }
  assert.equal(isOver, false);
  await until(() => isOver);
  assert.deepEqual(books().broken, { client_stalled: 2 });
});

test('a client that sends its body byte by byte is answered 408 when others wait, and not before', async (t) => {
  const options = { connections: 1, slowAfter: 60, queue: { size: 2, patience: 5000 } };
  const { port, books } = await front(t, await server(t), 1, 5000, options);
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  let told = '';
  socket.on('data', (bytes) => {
    told += bytes;
  });
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
  const dripping = setInterval(() => socket.write('x'), 10);
  t.after(() => clearInterval(dripping));
  await sleep(150);
  assert.equal(told, '');
  assert.match(await askInText(port, GET.replace(' /', ' /3')), /^HTTP\/1\.1 200 /);
  await until(() => told !== '');
  assert.match(told, /^HTTP\/1\.1 408 /);
  assert.deepEqual(books().broken, { client_slow: 1 });
});

test('requests that wait behind another one on their connection end with it', async (t) => {
  const options = { connections: 4, readAhead: 32_768, slowAfter: 40 };
  const { port, books } = await front(t, await server(t), 1, 5000, options);
  const socket = connect(port, '127.0.0.1').pause();
  socket.write(GET.replace(' /', ' /9000000').replace('close', 'keep-alive').repeat(3));
  await until(() => books().busy === 3);
  socket.resetAndDestroy();
  await until(() => books().busy === 0);
  await until(() => books().held === 0);
});

test('answers that wait for their clients take so much memory, and those give way that stand still', async (t) => {
  const options = { readAhead: 100_000, readAheadMemory: 200_000, slowAfter: 60 };
  const { port, books } = await front(t, await server(t), 2, 5000, options);
  const streams = await stubborn(t, port, Array(9).fill('/60000'));
  await until(() => books().held === 180_000);
  await until(() => streams.filter((stream) => stream.closed).length === 6);
  assert.deepEqual(books().broken, { client_slow: 6 });
});

/** What is asked of the proxy from one of the machine's own addresses. */
function askFrom(t: TestContext, localAddress: string, port: number): Promise<unknown> {
  const asked = request({ port, host: '127.0.0.1', localAddress, agent: false });
  t.after(() => asked.destroy());
  asked.on('error', () => {}).end();
  return new Promise((resolve) => asked.once('response', ({ statusCode }) => resolve(statusCode)));
}

test('one address has its share of the connections and of the queue', {
  skip: process.platform !== 'linux',
}, async (t) => {
  const waiting: Socket[] = [];
  const upstream = createServer((_incoming, response) => waiting.push(response.socket as Socket));
  const options = { connections: 4, connectionsPerClient: 2, queue: { size: 2, patience: 5000 } };
  const { port, books, failures } = await front(t, await portOf(t, upstream), 1, 5000, options);
  const many = Array.from({ length: 4 }, () => askFrom(t, '127.0.0.1', port));
  // Two have connections, one waits, and for more of this address there is no room in the queue.
  assert.equal(await Promise.race(many), 503);
  assert.deepEqual(failures, ['QUEUE_FULL']);
  await until(() => waiting.length === 2);
  assert.deepEqual([books().busy, books().waiting], [2, 1]);
  askFrom(t, '127.0.0.2', port);
  await until(() => waiting.length === 3);
  // When the first address lets one go, its next request has it.
  waiting[0].write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  await until(() => books().waiting === 0);
  assert.equal(books().busy, 3);
});

test('one address has no more connections than are left, so that there are some for each that comes later', {
  skip: process.platform !== 'linux',
}, async (t) => {
  const upstream = createServer(() => {});
  const { port, books } = await front(t, await portOf(t, upstream), 1, 5000, { connections: 40 });
  let asked = 0;
  for (const [client, busy] of [20, 30, 38, 40].entries()) {
    for (let i = 0; i < 30; i++) {
      askFrom(t, `127.0.0.${client + 1}`, port);
    }
    asked += 30;
    await until(() => books().busy + books().waiting === asked);
    assert.equal(books().busy, busy);
  }
});

test('when many addresses share all connections, the one that keeps most waiting gives way, with the slowest', {
  skip: process.platform !== 'linux',
}, async (t) => {
  // Looks are 100 ms apart, and nobody is given up for slowness by itself.
  const patient = { clientTimeout: 60_000, slowAfter: 60_000, readAhead: 32_768 };
  const queue = { size: 64, patience: 5000 };
  const { port, books } = await front(t, await server(t), 2, 400, { ...patient, queue, connections: 24 });
  const ask = (count: number, client: string): Promise<ClientHttp2Stream[]> =>
    stubborn(t, port, Array(count).fill('/900000'), { initialWindowSize: 16_384, localAddress: client });
  const [most, ...others] = [await ask(12, '127.0.0.1'), await ask(8, '127.0.0.2'), await ask(4, '127.0.0.3')];
  await until(() => books().busy === 24);
  const moving = most[11];
  const reading = setInterval(() => moving.read(4096), 10);
  t.after(() => clearInterval(reading));
  await sleep(400);
  assert.deepEqual(books().broken, {});
  await stubborn(t, port, ['/10'], { initialWindowSize: 16_384, localAddress: '127.0.0.4' });
  assert.deepEqual(books().broken, { client_slow: 1 });
  assert.equal(most.filter((stream) => stream.closed).length, 1);
  assert.equal(
    [moving, ...others.flat()].some((stream) => stream.closed),
    false,
  );
});

test('with bodies that come byte by byte it is the same', { skip: process.platform !== 'linux' }, async (t) => {
  const options = { clientTimeout: 60_000, slowAfter: 60_000, queue: { size: 64, patience: 5000 } };
  const { port, books } = await front(t, await server(t), 1, 200, { ...options, connections: 20 });
  const drip = (client: string): Socket => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: client });
    t.after(() => socket.destroy());
    socket.on('error', () => {}).resume();
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
    return socket;
  };
  const sockets: Socket[] = [];
  for (const [client, busy] of [
    ['127.0.0.2', 10],
    ['127.0.0.3', 18],
    ['127.0.0.4', 20],
  ] as const) {
    while (sockets.length < busy) {
      sockets.push(drip(client));
    }
    await until(() => books().busy === busy);
  }
  const dripping = setInterval(() => {
    for (const socket of sockets) {
      socket.write('x');
    }
  }, 10);
  t.after(() => clearInterval(dripping));
  await sleep(200);
  assert.deepEqual(books().broken, {});
  assert.equal(await askFrom(t, '127.0.0.5', port), 200);
  assert.deepEqual(books().broken, { client_slow: 1 });
});

test('and an address that has few is not made to give way', { skip: process.platform !== 'linux' }, async (t) => {
  const options = { clientTimeout: 60_000, slowAfter: 60_000, readAhead: 32_768, queue: { size: 2, patience: 400 } };
  const { port, books, failures } = await front(t, await server(t), 2, 200, { ...options, connections: 8 });
  await stubborn(t, port, Array(8).fill('/900000'), { localAddress: '127.0.0.2' });
  await stubborn(t, port, ['/10'], { localAddress: '127.0.0.3' });
  assert.deepEqual(failures, ['QUEUE_TIMEOUT']);
  assert.deepEqual(books().broken, {});
});

test('who has one address of an IPv6 network has all of it', () => {
  const given = ['192.0.2.1', '::ffff:192.0.2.1', '2001:db8::1', '2001:db8:0:7:1::2', '2001:db8:1::', '::1'];
  assert.deepEqual(given.map(clientOf), ['192.0.2.1', '192.0.2.1', '2001:db8:0', '2001:db8:0', '2001:db8:1', '0:0:0']);
});

test('where bodies are passed on, none is cut off for being long', async () => {
  let limit: number | undefined;
  const look = (message: unknown): void => {
    limit = (message as { server: { requestTimeout: number } }).server.requestTimeout;
  };
  const answer = ({ response }: Exchange): void => void response.end();
  const site = await openSite({
    ...certificateFor('ecdsa-p256'),
    listen: { host: '127.0.0.1', port: 0 },
    versions: ['TLSv1.3'],
    http: '1',
    sessions: {},
    handle: answer,
    handleExpecting: answer,
  });
  subscribe('http.server.request.start', look);
  try {
    const socket = tlsConnect({ port: site.addresses[0].port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.write(GET);
    await once(socket.resume(), 'end');
    assert.equal(limit, 0);
  } finally {
    unsubscribe('http.server.request.start', look);
    await site.drain(0);
  }
});
