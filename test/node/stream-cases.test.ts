/** Streams as node:tls has them: the same assertions over both engines in all four pairings and both versions. */

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as net from 'node:net';
import { describe, test } from 'node:test';
import { between, cases, closing, collect, delay, failure, listen, mayfly, only, serverOptions } from './support.ts';

for (const { name, server: serverTls, client: clientTls, version } of cases) {
  describe(name, () => {
    const { serve, connect } = between(serverTls, clientTls, version);

    test('carries bytes of any length both ways in order', async () => {
      const [server, port] = await serve({}, (socket) => socket.pipe(socket));
      const socket = connect(port);
      const sent = createHash('sha256');
      const received = collect(socket);
      for (const length of [1, 2, 1_023, 8_191, 8_192, 16_384, 16_385, 100_000, 1_000_000, 3]) {
        const chunk = randomBytes(length);
        sent.update(chunk);
        if (!socket.write(chunk)) {
          await once(socket, 'drain');
        }
      }
      socket.end();
      assert.equal(
        createHash('sha256')
          .update(await received)
          .digest('hex'),
        sent.digest('hex'),
      );
      server.close();
    });

    test('keeps the order of many small writes, corked and not, and calls every callback', async () => {
      const [server, port] = await serve({}, (socket) => socket.pipe(socket));
      const socket = connect(port);
      let called = 0;
      let expected = '';
      for (let i = 0; i < 300; i++) {
        if (i % 50 === 0) {
          socket.cork();
        }
        const text = `${i},`;
        expected += text;
        socket.write(text, (error) => {
          assert.equal(error ?? null, null);
          called++;
        });
        if (i % 50 === 25) {
          socket.uncork();
        }
        if (i === 150) {
          await once(socket, 'secureConnect');
        }
      }
      socket.end();
      assert.equal(String(await collect(socket)), expected);
      assert.equal(called, 300);
      server.close();
    });

    test('sends what was written and ended before the handshake', async () => {
      const [server, port] = await serve({ allowHalfOpen: true }, async (socket) => {
        socket.end(`got ${await collect(socket)}`);
      });
      const socket = connect(port);
      socket.write('early ');
      socket.end('bird');
      assert.equal(String(await collect(socket)), 'got early bird');
      server.close();
    });

    test('a half-open side goes on sending after the other ended', async () => {
      const [server, port] = await serve({ allowHalfOpen: true }, (socket) => {
        socket.resume();
        socket.once('end', async () => {
          assert.equal(socket.writable, true);
          for (let i = 0; i < 3; i++) {
            socket.write(`${i}`);
            await delay(5);
          }
          socket.end('.');
        });
      });
      const socket = connect(port, { allowHalfOpen: true });
      await once(socket, 'secureConnect');
      socket.end();
      assert.equal(String(await collect(socket)), '012.');
      server.close();
    });

    test('without allowHalfOpen an end is answered with an end', async () => {
      const ended: Promise<unknown>[] = [];
      const [server, port] = await serve({}, (socket) => {
        socket.resume();
        ended.push(once(socket, 'close'));
      });
      const socket = connect(port);
      await once(socket, 'secureConnect');
      socket.resume();
      socket.end();
      const [hadError] = await once(socket, 'close');
      assert.equal(hadError, false);
      await Promise.all(ended);
      server.close();
    });

    test('a reader that stops makes the writer stop', async () => {
      const total = 32 * 1_048_576;
      let finished = false;
      const [server, port] = await serve({}, (socket) => {
        socket.end(Buffer.alloc(total, 'x'), () => {
          finished = true;
        });
      });
      const socket = connect(port);
      await once(socket, 'secureConnect');
      socket.pause();
      await delay(150);
      assert.equal(finished, false);
      assert.ok(socket.readableLength < 4_194_304, `${socket.readableLength} bytes are buffered`);
      let received = 0;
      socket.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      socket.resume();
      await once(socket, 'end');
      assert.equal(received, total);
      assert.equal(finished, true);
      server.close();
    });

    test('reading by readable and read() sees every byte', async () => {
      const [server, port] = await serve({}, (socket) => socket.end(Buffer.alloc(100_000, 'y')));
      const socket = connect(port);
      let received = 0;
      socket.on('readable', () => {
        for (let chunk = socket.read(777) ?? socket.read(); chunk !== null; chunk = socket.read()) {
          received += chunk.length;
        }
      });
      await once(socket, 'end');
      assert.equal(received, 100_000);
      server.close();
    });

    test('setTimeout tells of silence and does not end the connection', async () => {
      const [server, port] = await serve({}, (socket) => socket.pipe(socket));
      const socket = connect(port);
      await once(socket, 'secureConnect');
      socket.setTimeout(30);
      await once(socket, 'timeout');
      assert.equal(socket.destroyed, false);
      socket.setTimeout(0);
      socket.end('still there');
      assert.equal(String(await collect(socket)), 'still there');
      server.close();
    });

    test('a reset ends the connection, with its system code where it is told', async () => {
      const raws: net.Socket[] = [];
      const [server, port] = await serve({}, (socket) => socket.on('error', () => {}));
      server.on('connection', (raw: net.Socket) => raws.push(raw));
      const socket = connect(port);
      await once(socket, 'secureConnect');
      const errors: NodeJS.ErrnoException[] = [];
      socket.on('error', (error) => errors.push(error));
      socket.resume();
      const close = closing(socket);
      raws[0].resetAndDestroy();
      const [hadError] = await close;
      assert.equal(hadError, errors.length > 0);
      for (const error of errors) {
        assert.equal(error.code, 'ECONNRESET');
      }
      assert.ok(clientTls !== mayfly || errors.length === 1);
      server.close();
    });

    test('a client that leaves in the middle of the handshake is told of by tlsClientError alone', async () => {
      const [server, port] = await serve({}, () => assert.fail('there was no handshake'));
      const refused = once(server, 'tlsClientError');
      const raw = net.connect(port, '127.0.0.1');
      await once(raw, 'connect');
      raw.end(Buffer.from([0x16, 3, 1, 2, 0, 1]));
      const [error, socket] = await refused;
      assert.ok(error instanceof Error);
      assert.ok(socket instanceof serverTls.TLSSocket);
      server.close();
    });

    test('a server that leaves in the middle of the handshake is an error at the client', async () => {
      const server = net.createServer((raw) => raw.once('data', () => raw.end()));
      const port = await listen(server);
      const error = await failure(connect(port), 'secureConnect');
      assert.equal(typeof error.code, 'string');
      server.close();
    });

    test('a refused connection is an error with its system code', async () => {
      const server = net.createServer();
      const port = await listen(server);
      server.close();
      await once(server, 'close');
      assert.equal((await failure(connect(port), 'secureConnect')).code, 'ECONNREFUSED');
    });

    test('destroy during the handshake ends both sides without an error at the client', async () => {
      const [server, port] = await serve({}, () => assert.fail('there was no handshake'));
      server.on('tlsClientError', () => {});
      const socket = connect(port);
      socket.on('error', (error) => assert.fail(error));
      await once(socket, 'connect');
      socket.destroy();
      const [hadError] = await once(socket, 'close');
      assert.equal(hadError, false);
      server.close();
      await once(server, 'close');
    });

    test('an abort signal destroys the connection', async () => {
      const [server, port] = await serve({}, () => {});
      server.on('tlsClientError', () => {});
      const controller = new AbortController();
      const socket = connect(port, { signal: controller.signal });
      await once(socket, 'secureConnect').then(
        () => {},
        () => {},
      );
      const error = failure(socket, 'end');
      controller.abort();
      assert.equal((await error).name, 'AbortError');
      server.close();
    });

    test('runs over a TCP socket that is there already, at both ends', async () => {
      const secure = serverTls.createServer({ ...serverOptions, ...only(version) }, (socket) => socket.pipe(socket));
      const server = net.createServer((raw) => {
        raw.once('data', (line) => {
          assert.equal(String(line), 'STARTTLS\n');
          raw.pause();
          raw.write('GO\n');
          secure.emit('connection', raw);
        });
      });
      const port = await listen(server);
      const raw = net.connect(port, '127.0.0.1');
      raw.write('STARTTLS\n');
      assert.equal(String((await once(raw, 'data'))[0]), 'GO\n');
      const socket = connect(port, { socket: raw });
      socket.end('over the same wire');
      assert.equal(String(await collect(socket)), 'over the same wire');
      server.close();
    });

    test('runs through itself', async () => {
      const inner = serverTls.createServer({ ...serverOptions, ...only(version) }, (socket) => socket.pipe(socket));
      const [server, port] = await serve({ allowHalfOpen: true }, (socket) => inner.emit('connection', socket));
      const outer = connect(port);
      await once(outer, 'secureConnect');
      const socket = connect(port, { socket: outer });
      const data = randomBytes(200_000);
      socket.end(data);
      assert.deepEqual(await collect(socket), data);
      server.close();
    });

    test('what was received before an error in the stream is not lost on the way', async () => {
      const [server, port] = await serve({}, (socket) => {
        socket.write('one');
        setTimeout(() => socket.end('two'), 10);
      });
      const socket = connect(port);
      assert.equal(String(await collect(socket)), 'onetwo');
      server.close();
    });

    test('a server that closes lets open connections go on', async () => {
      const [server, port] = await serve({}, (socket) => socket.pipe(socket));
      const socket = connect(port);
      await once(socket, 'secureConnect');
      const close = once(server, 'close');
      server.close();
      socket.end('after close');
      assert.equal(String(await collect(socket)), 'after close');
      await close;
    });
  });
}
