/** The short ways past the stream's own machinery keep what the stream promises: order, pauses, back-pressure, ends. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import type { Server, TLSSocket } from '../../src/node/tls.ts';
import { between, collect, mayfly, native } from './support.ts';

const { serve, connect } = between(mayfly, mayfly);
let server: Server;
let port: number;
let accepted: (socket: TLSSocket) => void = () => {};

before(async () => {
  [server, port] = await serve({ allowHalfOpen: true }, (socket) => accepted(socket));
});
after(() => server.close());

async function pair(): Promise<{ client: TLSSocket; peer: TLSSocket }> {
  const arrival = new Promise<TLSSocket>((resolve) => {
    accepted = resolve;
  });
  const client = connect(port);
  await once(client, 'secureConnect');
  return { client, peer: await arrival };
}

/** Numbers that look random and are the same in each run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('writes', () => {
  test('of every kind, mixed, arrive in order, and each callback is called', async () => {
    const { client, peer } = await pair();
    const received = collect(peer);
    const next = numbers(7);
    const expected: Uint8Array[] = [];
    let due = 0;
    let called = 0;
    for (let i = 0; i < 1_500; i++) {
      const kind = next(8);
      const chunk = randomBytes(kind === 0 ? next(70_000) : next(kind === 1 ? 9_000 : 200));
      expected.push(chunk);
      let open = true;
      if (kind === 2) {
        due++;
        open = client.write(chunk, () => called++);
      } else if (kind === 3) {
        open = client.write(chunk.toString('latin1'), 'latin1');
      } else if (kind === 4) {
        client.cork();
        client.write(chunk.subarray(0, chunk.length >> 1));
        client.write(chunk.subarray(chunk.length >> 1));
        client.uncork();
      } else {
        open = client.write(new Uint8Array(chunk));
      }
      if (!open && client.writableNeedDrain && next(3) === 0) {
        await once(client, 'drain');
      }
      if (next(40) === 0) {
        await new Promise(setImmediate);
      }
    }
    const length = expected.reduce((sum, { length }) => sum + length, 0);
    assert.equal(client.bytesWritten, length);
    client.end();
    assert.ok((await received).equals(Buffer.concat(expected)));
    assert.equal(peer.bytesRead, length);
    assert.equal(called, due);
    peer.destroy();
  });

  test('of all lengths, as text and bytes, corked or not, are called back in the order in which they were written', async () => {
    const { client, peer } = await pair();
    const received = collect(peer);
    const next = numbers(5);
    const expected: Buffer[] = [];
    const called: number[] = [];
    for (let i = 0, corks = 0; i < 600; i++) {
      const length = [1, 10, 5_000, 9_000, 16_384, 16_385, 40_000][next(7)];
      const done = (): void => void called.push(i);
      const text = String.fromCharCode(0x61 + (i % 26)).repeat(Math.min(length, 5_000));
      const kind = next(4);
      if (kind === 0) {
        client.write(text, done);
      } else if (kind === 1) {
        client.write(text, 'latin1', done);
      } else {
        client.write(Buffer.alloc(length, i), done);
      }
      expected.push(kind < 2 ? Buffer.from(text) : Buffer.alloc(length, i));
      if (next(8) === 0) {
        client.cork();
        corks++;
      } else if (corks > 0 && next(3) === 0) {
        client.uncork();
        corks--;
      } else if (next(6) === 0) {
        await new Promise(setImmediate);
      }
    }
    client.end();
    assert.ok((await received).equals(Buffer.concat(expected)));
    peer.end();
    await once(client, 'close');
    assert.deepEqual(
      called,
      expected.map((_, i) => i),
    );
  });

  for (const large of [9_000, 20_000]) {
    test(`whose sealing fails are called back with the error, and the alert leaves, with ${large} bytes behind them`, async () => {
      const { client, peer } = await pair();
      const { channel } = (client as unknown as { connection: { channel: { applicationData: () => void } } })
        .connection;
      channel.applicationData = () => {
        throw new Error('as of a worn key');
      };
      const outcomes: string[] = [];
      const note = (what: string) => (error?: Error | null) =>
        outcomes.push(`${what} ${error ? 'failed' : 'was sent'}`);
      client.on('error', () => {});
      const told = once(peer, 'error');
      client.write('small', 'utf8', note('small'));
      client.write(Buffer.alloc(large), note('large'));
      assert.equal(((await told)[0] as NodeJS.ErrnoException).code, 'TLS_ERR_ALERT_RECEIVED');
      if (!client.closed) {
        await once(client, 'close');
      }
      // Both were one record at most, or nothing of the large one was taken: neither can have been sent.
      assert.deepEqual(outcomes, ['small failed', 'large failed']);
      peer.destroy();
    });
  }

  test('that nobody reads make write() say no, and drain comes when they are read', async () => {
    const { client, peer } = await pair();
    const chunk = Buffer.alloc(1_000, 'x');
    let sent = 0;
    peer.pause();
    for (let quiet = 0; quiet < 3; ) {
      let open = true;
      for (let i = 0; i < 500 && open; i++) {
        open = client.write(chunk);
        sent += chunk.length;
      }
      await new Promise(setImmediate);
      quiet = open ? 0 : quiet + 1;
    }
    assert.ok(client.writableNeedDrain);
    const drained = once(client, 'drain');
    const received = collect(peer);
    peer.resume();
    await drained;
    client.end();
    assert.equal((await received).length, sent);
    peer.destroy();
  });

  test('after the end, after an error and of nothing are what they are in any stream', async () => {
    const { client, peer } = await pair();
    assert.equal(client.write(new Uint8Array(0)), true);
    client.write('x');
    client.end();
    const late = once(client, 'error');
    assert.equal(client.write(Buffer.from('late')), false);
    assert.equal(((await late)[0] as NodeJS.ErrnoException).code, 'ERR_STREAM_WRITE_AFTER_END');
    assert.equal(client.write(Buffer.from('later')), false);
    peer.destroy();
  });

  test('small ones of one turn leave in full records and few writes', async () => {
    const records: number[] = [];
    const [plain, plainPort] = await between(native, mayfly).serve({}, (socket) => {
      socket.on('data', (chunk: Buffer) => records.push(chunk.length));
    });
    // node:tls ends without close_notify.
    const client = connect(plainPort, { allowTruncation: true });
    await once(client, 'secureConnect');
    for (let i = 0; i < 128; i++) {
      client.write(Buffer.alloc(1_024, i));
    }
    client.end();
    await once(client, 'close');
    assert.equal(
      records.reduce((sum, length) => sum + length, 0),
      131_072,
    );
    // Each 'data' of node:tls is a record at most.
    assert.ok(records.length <= 12, `${records.length} records`);
    plain.close();
  });
});

describe('reading', () => {
  test('sees every byte once and in order, however it is paused, resumed and switched', async () => {
    const { client, peer } = await pair();
    const next = numbers(11);
    const sent = randomBytes(3_000_000);
    const seen: Buffer[] = [];
    let length = 0;
    const onData = (chunk: Buffer): void => {
      assert.ok(!client.isPaused(), 'nothing comes while it is paused');
      seen.push(Buffer.from(chunk));
      length += chunk.length;
      if (next(4) === 0) {
        client.pause();
        setImmediate(() => client.resume());
      } else if (next(6) === 0) {
        client.off('data', onData);
        client.pause();
        // Some by read(), then on by 'data'.
        setImmediate(() => {
          for (let chunk = client.read() as Buffer | null; chunk !== null; chunk = client.read() as Buffer | null) {
            seen.push(Buffer.from(chunk));
            length += chunk.length;
          }
          client.on('data', onData);
          client.resume();
        });
      }
    };
    client.on('data', onData);
    const ended = once(client, 'end');
    for (let at = 0; at < sent.length; ) {
      const end = at + 1 + next(next(5) === 0 ? 60_000 : 3_000);
      if (!peer.write(sent.subarray(at, end))) {
        await once(peer, 'drain');
      }
      if (next(10) === 0) {
        await new Promise(setImmediate);
      }
      at = end;
    }
    peer.end();
    await ended;
    assert.equal(length, sent.length);
    assert.ok(Buffer.concat(seen).equals(sent));
    assert.equal(client.bytesRead, sent.length);
    client.destroy();
  });

  test('strings, where an encoding is set in the middle', async () => {
    const { client, peer } = await pair();
    const seen: (string | Buffer)[] = [];
    client.on('data', (chunk: string | Buffer) => seen.push(chunk));
    for (const text of ['one', 'two', 'three ü', 'four']) {
      if (text === 'three ü') {
        client.setEncoding('utf8');
      }
      peer.write(text);
      await once(client, 'data');
    }
    assert.deepEqual(
      seen.map((chunk) => typeof chunk),
      ['object', 'object', 'string', 'string'],
    );
    assert.equal(seen[2], 'three ü');
    client.destroy();
    peer.destroy();
  });

  test('a listener that destroys the socket sees no more', async () => {
    const { client, peer } = await pair();
    let count = 0;
    client.on('data', () => {
      count++;
      client.destroy();
    });
    for (let i = 0; i < 20; i++) {
      peer.write(Buffer.alloc(20_000));
    }
    peer.on('error', () => {});
    await once(client, 'close');
    assert.equal(count, 1);
    peer.destroy();
  });
});
