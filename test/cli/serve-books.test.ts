/** What the status page and the metrics tell of the upstream server. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UpstreamStatus } from '../../src/cli/serve/upstream/books.ts';
import { statusOfFailure } from '../../src/cli/serve/upstream/failures.ts';
import { mergeUpstream } from '../../src/cli/status/merge.ts';
import { upstreamMetrics } from '../../src/cli/status/metrics.ts';
import { exposition } from '../../src/ledger/metrics.ts';
import { askInText, front, open1, say, textServer, WEBSOCKET_ACCEPT, WEBSOCKET_KEY } from './forwarding-support.ts';
import { sleep } from './support.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

test('connections, answers and those that broke off are counted, by whose doing', async (t) => {
  const upstream = await textServer(t);
  const { port, books } = await front(t, upstream.port, 1, 2000, { connections: 8 });
  upstream.behave = say(OK);
  await askInText(port, GET);
  assert.deepEqual([books().busy, books().idle, books().limit], [0, 1, 8]);
  upstream.behave = (socket) => socket.end(OK.slice(0, -1));
  await askInText(port, GET);
  const asked = new Promise((resolve) => {
    upstream.behave = resolve;
  });
  const leaving = open1(port, 'GET');
  for (const never of [leaving.status, leaving.body]) {
    never.catch(() => {});
  }
  leaving.end();
  await asked;
  assert.equal(books().busy, 1);
  leaving.leave();
  while (books().busy > 0) {
    await sleep(5);
  }
  assert.deepEqual(books().broken, { upstream: 1, client_left: 1 });
  const text = exposition(upstreamMetrics(books()));
  assert.match(text, /^mayfly_upstream_connections_limit 8$/m);
  assert.match(text, /^mayfly_upstream_broken_total\{by="client_left"\} 1$/m);
  assert.match(text, /^# TYPE mayfly_upstream_first_byte_seconds histogram$/m);
  assert.match(text, /^mayfly_upstream_first_byte_seconds_count 2$/m);
  // Each bucket holds those below it.
  const buckets = [...text.matchAll(/_bucket\{le="[^"]+"\} (\d+)$/gm)].map(([, count]) => Number(count));
  assert.deepEqual(
    buckets,
    buckets.toSorted((a, b) => a - b),
  );
  assert.equal(buckets.at(-1), 2);
});

test('an upgraded connection is one until it is closed', async (t) => {
  const upstream = await textServer(t);
  const { port, books } = await front(t, upstream.port, 1, 2000);
  upstream.behave = (socket) => {
    socket.write(`HTTP/1.1 101 Now\r\nConnection: upgrade\r\nUpgrade: websocket\r\n${WEBSOCKET_ACCEPT}\r\n`);
    socket.setTimeout(50, () => {
      assert.equal(books().upgraded, 1);
      socket.end();
    });
  };
  await askInText(port, GET.replace('close\r\n', `upgrade\r\nUpgrade: websocket\r\n${WEBSOCKET_KEY}`));
  while (books().upgraded > 0) {
    await sleep(5);
  }
});

test('of several processes, what is now is that of the running ones, and what was counted that of all', () => {
  const one: UpstreamStatus = {
    limit: 8,
    busy: 2,
    idle: 1,
    upgraded: 1,
    waiting: 3,
    waitingLimit: 8,
    held: 10,
    heldLimit: 100,
    broken: { upstream: 1 },
    firstByte: { '1': 2, '+Inf': 1 },
    firstByteSum: 3,
  };
  const { upstream } = mergeUpstream([{ upstream: one }, { upstream: one }], [{ upstream: one }]);
  assert.deepEqual(
    [upstream?.limit, upstream?.busy, upstream?.held, upstream?.broken, upstream?.firstByte, upstream?.firstByteSum],
    [16, 4, 20, { upstream: 3 }, { '1': 6, '+Inf': 3 }, 9],
  );
  assert.deepEqual(mergeUpstream([{}], [{}]), {});
});

test('failures go by the status that the client got', () => {
  const codes = ['ECONNREFUSED', 'QUEUE_FULL', 'QUEUE_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UPSTREAM'];
  assert.deepEqual(codes.map(statusOfFailure), [502, 503, 503, 504, 502]);
});
