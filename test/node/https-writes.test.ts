/** An HTTP response costs as few records and writes as it can, and the short way there keeps what a stream promises. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { Agent, createServer, request } from '../../src/node/https.ts';
import type { TLSSocket } from '../../src/node/tls.ts';
import { between, collect, listen, mayfly, only, serverOptions, trust } from './support.ts';

type Raw = Socket & { _writev(chunks: { chunk: Uint8Array }[], callback: unknown): void };

/** What a socket was given since the last look: lengths of its records, by write. */
function watch(raw: Raw): () => number[][] {
  let writes: number[][] = [];
  const { _write: write, _writev: writev } = raw;
  raw._write = function (chunk, ...rest) {
    writes.push(recordsIn(chunk));
    return write.call(this, chunk, ...rest);
  };
  raw._writev = function (chunks, callback) {
    writes.push(chunks.flatMap(({ chunk }) => recordsIn(chunk)));
    return writev.call(this, chunks, callback);
  };
  return () => {
    const seen = writes;
    writes = [];
    return seen;
  };
}

function recordsIn(bytes: Uint8Array): number[] {
  const lengths: number[] = [];
  for (let at = 0; at < bytes.length; at += 5 + lengths[lengths.length - 1]) {
    lengths.push((bytes[at + 3] << 8) | bytes[at + 4]);
  }
  return lengths;
}

/** The records of the second response on a connection, by write. */
async function responseWrites(t: TestContext, answer: RequestListener): Promise<{ writes: number[][]; body: Buffer }> {
  const server = createServer({ ...serverOptions, ...only('TLSv1.3') }, answer);
  let seen: (() => number[][]) | undefined;
  server.prependListener('connection', (raw) => {
    seen = watch(raw as Raw);
  });
  const port = await listen(server);
  const agent = new Agent({ keepAlive: true, ...trust });
  t.after(() => {
    agent.destroy();
    server.close();
  });
  const ask = async (): Promise<Buffer> => {
    const asked = request({ host: '127.0.0.1', port, servername: 'localhost', agent });
    asked.end();
    const [response] = await once(asked, 'response');
    return collect(response);
  };
  await ask();
  seen?.();
  const body = await ask();
  return { writes: seen?.() ?? [], body };
}

describe('an HTTP/1.1 response', () => {
  const small = Buffer.alloc(64, 'b');
  const answers: Record<string, RequestListener> = {
    'of bytes': (_request, response) => {
      response.writeHead(200, { 'content-length': small.length });
      response.end(small);
    },
    'of text': (_request, response) => response.end(small.toString()),
    'in pieces of one turn': (_request, response) => {
      response.write(small.subarray(0, 10));
      response.write(small.subarray(10).toString());
      response.end();
    },
    'that comes later': (_request, response) => setImmediate(() => response.end(small)),
  };
  for (const [name, answer] of Object.entries(answers)) {
    test(`${name} leaves in one record and one write, head and all`, async (t) => {
      const { writes, body } = await responseWrites(t, answer);
      assert.deepEqual(body, small);
      assert.equal(writes.length, 1);
      assert.equal(writes[0].length, 1);
    });
  }

  test('of 12 KiB leaves in one record', async (t) => {
    const twelve = Buffer.alloc(12_288, 'c');
    const { writes, body } = await responseWrites(t, (_request, response) => response.end(twelve));
    assert.deepEqual(body, twelve);
    assert.deepEqual(
      writes.map((records) => records.length),
      [1],
    );
  });

  test('of 64 KiB leaves in one write, four full records behind its head', async (t) => {
    const large = Buffer.alloc(65_536, 'd');
    const { writes, body } = await responseWrites(t, (_request, response) => response.end(large));
    assert.deepEqual(body, large);
    assert.equal(writes.length, 1);
    const [head, ...rest] = writes[0];
    assert.ok(head < 400, String(head));
    assert.deepEqual(rest, [16_401, 16_401, 16_401, 16_401]);
  });
});

describe('small writes', () => {
  const { serve, connect: connectTls } = between(mayfly, mayfly);

  async function pair(t: TestContext): Promise<{ client: TLSSocket; peer: TLSSocket; seen: () => number[][] }> {
    let arrive: (socket: TLSSocket) => void = () => {};
    const arrived = new Promise<TLSSocket>((resolve) => {
      arrive = resolve;
    });
    const [server, port] = await serve({}, (socket) => arrive(socket));
    t.after(() => server.close());
    const raw = connect(port, '127.0.0.1') as Raw;
    const client = connectTls(port, { socket: raw });
    await once(client, 'secureConnect');
    t.after(() => client.destroy());
    return { client, peer: await arrived, seen: watch(raw) };
  }

  test('under a cork wait for its end, and leave in one record', async (t) => {
    const { client, peer, seen } = await pair(t);
    const received = collect(peer);
    client.cork();
    client.write('a', 'latin1');
    await new Promise(setImmediate);
    client.write(Buffer.from('b'));
    await new Promise(setImmediate);
    assert.deepEqual(seen(), []);
    client.uncork();
    await new Promise(setImmediate);
    assert.deepEqual(
      seen().map((records) => records.length),
      [1],
    );
    client.end();
    assert.equal(String(await received), 'ab');
  });

  test('that follow a cork with a large one keep their order', async (t) => {
    const { client, peer } = await pair(t);
    const received = collect(peer);
    client.cork();
    client.write('a', 'latin1');
    client.write(Buffer.alloc(40_000, 'b'));
    client.write('ö', 'utf8');
    client.write(Buffer.alloc(9_000, 'd'));
    client.uncork();
    client.end('ß', 'latin1');
    const expected = `a${'b'.repeat(40_000)}ö${'d'.repeat(9_000)}`;
    const whole = Buffer.concat([Buffer.from(expected), Buffer.from([0xdf])]);
    assert.ok((await received).equals(whole));
  });

  test('call back later, after what they wrote has left', async (t) => {
    const { client, peer, seen } = await pair(t);
    peer.resume();
    const order: string[] = [];
    for (const name of ['first', 'second']) {
      client.write(name, 'latin1', (error) => order.push(`${name} ${error ?? 'sent'} ${seen().length}`));
    }
    client.write('', 'latin1', () => order.push('empty'));
    assert.deepEqual(order, []);
    await new Promise(setImmediate);
    assert.deepEqual(order, ['first sent 1', 'second sent 0', 'empty']);
  });

  test('that a broken socket does not send call back with the error', async (t) => {
    const { client } = await pair(t);
    client.on('error', () => {});
    const told = new Promise((resolve) => client.write('lost', 'latin1', resolve));
    const broken = new Error('broken');
    client.destroy(broken);
    assert.equal(await told, broken);
  });

  test('whose callback throws do not keep the others from theirs', async (t) => {
    const { client, peer } = await pair(t);
    peer.resume();
    const thrown = new Promise<Error>((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
    t.after(() => process.setUncaughtExceptionCaptureCallback(null));
    const called = new Promise((resolve) => {
      client.write('a', 'latin1', () => {
        throw new Error('of a callback');
      });
      client.write('b', 'latin1', resolve);
    });
    await called;
    assert.match((await thrown).message, /of a callback/);
  });
});
