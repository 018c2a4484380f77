/** How connections of mayfly/tls begin, go on and end where node:tls does not say or decides otherwise. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as net from 'node:net';
import { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import * as tls from '../../src/node/tls.ts';
import { refuses } from '../support/refusals.ts';
import {
  between,
  closing,
  collect,
  delay,
  failure,
  mayfly,
  otherCa,
  serverOptions,
  trust,
  versions,
} from './support.ts';

const { serve, connect } = between(mayfly, mayfly);

describe('the life of a connection', () => {
  test('plain HTTP on the TLS port gets a readable answer', async () => {
    const [server, port] = await serve({}, () => assert.fail('this was no TLS'));
    for (const pieces of [['GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'], ['PO', 'ST / HTTP/1.1\r\n\r\n']]) {
      const refused = once(server, 'tlsClientError');
      const raw = net.connect(port, '127.0.0.1');
      for (const piece of pieces) {
        raw.write(piece);
        await delay(5);
      }
      const answer = String(await collect(raw));
      assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
      assert.match(answer, /https:\/\//);
      assert.equal((await refused)[0].code, 'TLS_ERR_NOT_TLS');
    }
    server.close();
  });

  test('bytes that are neither TLS nor HTTP are refused without an answer', async () => {
    const [server, port] = await serve({}, () => assert.fail('this was no TLS'));
    const refused = once(server, 'tlsClientError');
    const raw = net.connect(port, '127.0.0.1');
    raw.write(Buffer.from([0, 1, 2, 3, 4, 5, 6, 7, 8]));
    assert.equal((await collect(raw)).length, 0);
    assert.equal((await refused)[0].code, 'TLS_ERR_NOT_TLS');
    server.close();
  });

  test('a peer that stops in the middle of the handshake is given up after handshakeTimeout', async () => {
    const [server, port] = await serve({ handshakeTimeout: 40 });
    const refused = once(server, 'tlsClientError');
    const raw = net.connect(port, '127.0.0.1');
    raw.on('error', () => {});
    raw.write(Buffer.from([0x16, 3, 1, 2, 0, 1]));
    const [error, socket] = await refused;
    assert.equal(error.code, 'TLS_ERR_HANDSHAKE_TIMEOUT');
    assert.equal(socket.remoteAddress, '127.0.0.1');
    raw.resume();
    await closing(raw);
    assert.equal(server.counters.open, 0);
    server.close();
  });

  test('a connection on which nothing happens is closed with close_notify after idleTimeout', async () => {
    const [server, port] = await serve({ idleTimeout: 80 });
    const busy = connect(port);
    const idle = connect(port);
    await Promise.all([once(busy, 'secureConnect'), once(idle, 'secureConnect')]);
    const timer = setInterval(() => busy.write('x'), 15);
    busy.resume();
    idle.resume();
    await once(idle, 'end');
    assert.equal(busy.destroyed, false);
    assert.equal(server.counters.idleClosed, 1);
    clearInterval(timer);
    busy.end();
    await once(busy, 'close');
    server.close();
  });

  test('a client reports a transport that ends without close_notify, after what was received', async () => {
    const [server, port] = await serve({}, (socket) => socket.write('part'));
    const raws: net.Socket[] = [];
    server.on('connection', (raw) => raws.push(raw));
    const socket = connect(port);
    await once(socket, 'secureConnect');
    socket.pause();
    await delay(20);
    raws[0].end();
    await delay(20);
    const received: string[] = [];
    socket.on('data', (chunk) => received.push(String(chunk)));
    socket.once('end', () => assert.fail('this was no proper end'));
    socket.resume();
    const [error] = await once(socket, 'error');
    assert.equal(error.code, 'TLS_ERR_TRUNCATED');
    assert.deepEqual(received, ['part']);
    assert.equal(socket.truncated, true);
    server.close();
  });

  test('allowTruncation takes such an end as an end', async () => {
    const [server, port] = await serve({}, (socket) => socket.write('part'));
    const raws: net.Socket[] = [];
    server.on('connection', (raw) => raws.push(raw));
    const socket = connect(port, { allowTruncation: true });
    await once(socket, 'secureConnect');
    const text = collect(socket);
    await once(socket, 'data');
    raws[0].end();
    assert.equal(String(await text), 'part');
    assert.equal(socket.truncated, true);
    server.close();
  });

  test('a server takes an end without close_notify for an end, and may still answer', async () => {
    const [server, port] = await serve({ allowHalfOpen: true }, async (socket) => {
      const text = await collect(socket);
      assert.equal(socket.truncated, true);
      socket.end(`got ${text}`);
    });
    const raw = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const socket = connect(port, { socket: raw, allowHalfOpen: true });
    await once(socket, 'secureConnect');
    socket.write('all');
    await delay(10);
    raw.end();
    assert.equal(String(await collect(socket)), 'got all');
    server.close();
  });

  test('destroy without an error says goodbye: the peer sees an end', async () => {
    const [server, port] = await serve({}, (socket) => {
      socket.write('last words');
      socket.destroy();
    });
    assert.equal(String(await collect(connect(port))), 'last words');
    server.close();
  });

  test('destroy with an error does not: the peer sees a cut', async () => {
    const [server, port] = await serve({}, (socket) => {
      socket.on('error', () => {});
      socket.write('last words');
      setTimeout(() => socket.destroy(new Error('broken')), 10);
    });
    const socket = connect(port);
    socket.resume();
    assert.equal((await failure(socket, 'end')).code, 'TLS_ERR_TRUNCATED');
    server.close();
  });

  test('updateKeys renews both sides in the middle of a stream', async () => {
    const [server, port] = await serve({});
    const socket = connect(port);
    await once(socket, 'secureConnect');
    const text = collect(socket);
    socket.write('a');
    socket.updateKeys();
    socket.write('b');
    await delay(10);
    socket.updateKeys(false);
    socket.end('c');
    assert.equal(String(await text), 'abc');
    assert.ok(server.counters.keyUpdates >= 2);
    refuses('TLS_ERR_WRONG_STATE', () => socket.updateKeys());
    server.close();
  });

  test('a client renegotiates TLS 1.2 where the server lets it, and is declined where not', async () => {
    for (const clientRenegotiations of [1, 0]) {
      const { serve, connect } = between(mayfly, mayfly, 'TLSv1.2');
      const [server, port] = await serve({ clientRenegotiations });
      const socket = connect(port);
      await once(socket, 'secureConnect');
      const answer = collect(socket);
      socket.write('before ');
      const outcome = await new Promise<Error | null>((resolve) => assert.ok(socket.renegotiate({}, resolve)));
      assert.equal(
        (outcome as tls.TLSError | null)?.code,
        clientRenegotiations === 1 ? undefined : 'TLS_ERR_ALERT_RECEIVED',
      );
      socket.end('after');
      assert.equal(String(await answer), 'before after');
      server.close();
    }
  });

  test('a server renegotiates TLS 1.2 in the middle of a stream, and a client may decline', async () => {
    for (const serverRenegotiations of [3, 0]) {
      const { serve, connect } = between(mayfly, mayfly, 'TLSv1.2');
      const outcomes: Promise<Error | null>[] = [];
      const [server, port] = await serve({}, (socket) => {
        socket.pipe(socket);
        outcomes.push(new Promise((resolve) => socket.renegotiate({}, resolve)));
      });
      const socket = connect(port, { serverRenegotiations });
      const data = Buffer.alloc(300_000, 'r');
      const answer = collect(socket);
      socket.write(data);
      await once(socket, 'data');
      const error = (await outcomes[0]) as tls.TLSError | null;
      assert.equal(error?.code, serverRenegotiations === 3 ? undefined : 'TLS_ERR_ALERT_RECEIVED');
      socket.end();
      assert.deepEqual(await answer, data);
      server.close();
    }
  });

  test('updateKeys is refused in TLS 1.2, and the connection goes on', async () => {
    const { serve, connect } = between(mayfly, mayfly, 'TLSv1.2');
    const [server, port] = await serve({});
    const socket = connect(port);
    await once(socket, 'secureConnect');
    refuses('TLS_ERR_NOT_SUPPORTED', () => socket.updateKeys());
    socket.end('still there');
    assert.equal(String(await collect(socket)), 'still there');
    server.close();
  });

  test('setMaxSendFragment keeps records small', async () => {
    const [server, port] = await serve({});
    const socket = connect(port);
    await once(socket, 'secureConnect');
    assert.equal(socket.setMaxSendFragment(100), false);
    assert.equal(socket.setMaxSendFragment(1_024), true);
    const sizes: number[] = [];
    server.once('secureConnection', () => {});
    socket.on('data', (chunk: Buffer) => sizes.push(chunk.length));
    socket.end(Buffer.alloc(10_000));
    await once(socket, 'end');
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      10_000,
    );
    server.close();
  });

  test('renegotiation and traces are refused clearly', async () => {
    const [server, port] = await serve({});
    const socket = connect(port);
    await once(socket, 'secureConnect');
    const error = await new Promise<Error | null>((resolve) => socket.renegotiate({}, resolve));
    assert.equal((error as tls.TLSError).code, 'TLS_ERR_NOT_SUPPORTED');
    refuses('TLS_ERR_NOT_SUPPORTED', () => socket.enableTrace());
    socket.disableRenegotiation();
    socket.end().resume();
    await once(socket, 'close');
    server.close();
  });

  test('any Duplex carries a connection', async () => {
    const [left, right] = duplexPair();
    const server = tls.createServer(serverOptions, (socket) => socket.pipe(socket));
    server.emit('connection', left);
    const socket = tls.connect({ socket: right, servername: 'localhost', ...trust });
    const data = Buffer.alloc(300_000, 'z');
    const received = collect(socket);
    socket.write(data.subarray(0, 10));
    socket.end(data.subarray(10));
    assert.deepEqual(await received, data);
    server.sessions.close();
  });

  for (const version of versions) {
    test(`a connection that arrives byte by byte works all the same, ${version}`, async () => {
      const { serve, connect } = between(mayfly, mayfly, version);
      const [server, port] = await serve({});
      const raw = net.connect({ port, host: '127.0.0.1', noDelay: true });
      const slow = new Duplex({
        read() {
          raw.resume();
        },
        write(chunk: Buffer, _encoding, callback) {
          raw.write(chunk, callback);
        },
        final(callback) {
          raw.end(callback);
        },
      });
      raw.on('data', (chunk) => {
        for (const byte of chunk) {
          slow.push(Buffer.of(byte));
        }
      });
      raw.on('end', () => slow.push(null));
      const socket = connect(port, { socket: slow });
      socket.end('piece by piece');
      assert.equal(String(await collect(socket)), 'piece by piece');
      server.close();
    });
  }

  test('the counters count', async () => {
    const [server, port] = await serve({});
    server.on('tlsClientError', () => {});
    await failure(connect(port, { ca: otherCa.certificatePem }), 'secureConnect');
    const socket = connect(port);
    await once(socket, 'secureConnect');
    await delay(10);
    assert.equal(server.counters.accepted, 2);
    assert.equal(server.counters.open, 1);
    assert.equal(server.secureSockets.size, 1);
    assert.equal(server.counters.full, 1);
    assert.deepEqual({ ...server.counters.failures }, { TLS_ERR_ALERT_RECEIVED: 1 });
    socket.end().resume();
    await once(socket, 'close');
    await delay(10);
    assert.equal(server.counters.open, 0);
    server.close();
  });
});

describe('a process', () => {
  test('that survives a listener that throws loses nothing of the stream', async () => {
    const [server, port] = await serve({}, (socket) => {
      socket.write('a'.repeat(16_384 * 3));
      setImmediate(() => socket.end('b'));
    });
    const script = `
      const tls = await import(${JSON.stringify(new URL('../../src/node/tls.js', import.meta.url).href)});
      let received = 0;
      let thrown = 0;
      process.on('uncaughtException', () => thrown++);
      const socket = tls.connect({ host: '127.0.0.1', port: ${port}, rejectUnauthorized: false });
      socket.on('data', (chunk) => {
        received += chunk.length;
        if (thrown === 0) throw new Error('a listener failed');
      });
      socket.on('end', () => console.log(received, thrown));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
    assert.equal(stdout.trim(), '49153 1');
    server.close();
  });

  test('ends when nothing but an unref socket is left', async () => {
    const [server, port] = await serve({}, () => {});
    const script = `
      const tls = await import(${JSON.stringify(new URL('../../src/node/tls.js', import.meta.url).href)});
      const socket = tls.connect({ host: '127.0.0.1', port: ${port}, rejectUnauthorized: false }, () => {
        socket.unref();
        console.log('unref');
      });`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
    assert.equal(stdout.trim(), 'unref');
    server.close();
  });

  test('ends when its server is unref', async () => {
    const script = `
      const tls = await import(${JSON.stringify(new URL('../../src/node/tls.js', import.meta.url).href)});
      tls.createServer(${JSON.stringify(serverOptions)}).listen(0, '127.0.0.1', function () { this.unref(); console.log('up'); });`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
    assert.equal(stdout.trim(), 'up');
  });
});

async function run(file: string, args: string[]): Promise<{ stdout: string }> {
  const { execFile } = await import('node:child_process');
  const { promisify } = await import('node:util');
  return promisify(execFile)(file, args, { timeout: 60_000 });
}

/** Two streams, each of which reads what the other is written. */
function duplexPair(): [Duplex, Duplex] {
  let wake: (() => void)[] = [() => {}, () => {}];
  const ends = [0, 1].map(
    (own) =>
      new Duplex({
        read() {
          const call = wake[own];
          wake[own] = () => {};
          call();
        },
        write(chunk, _encoding, callback) {
          const other = ends[1 - own];
          if (other.push(Buffer.from(chunk))) {
            callback();
          } else {
            wake[1 - own] = callback;
          }
        },
        final(callback) {
          ends[1 - own].push(null);
          callback();
        },
      }),
  );
  wake = [...wake];
  return [ends[0], ends[1]];
}
