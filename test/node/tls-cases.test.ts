/** Behaviours of node:tls, with the same assertions over both engines in all four pairings. */

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as net from 'node:net';
import { describe, test } from 'node:test';
import type { ConnectionOptions, Server, TLSSocket, TlsOptions } from '../../src/node/tls.ts';
import { ca, certificateFor, closing, collect, delay, failure, listen, mayfly, only13, otherCa, pairs, serverOptions, trust } from './support.ts';

for (const { name, server: serverTls, client: clientTls } of pairs) {
  describe(name, () => {
    async function serve(options: TlsOptions, onSocket: (socket: TLSSocket) => void): Promise<[Server, number]> {
      const server = serverTls.createServer({ ...only13, ...serverOptions, ...options }, onSocket);
      return [server, await listen(server)];
    }

    function connect(port: number, options: ConnectionOptions = {}): TLSSocket {
      return clientTls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust, ...only13, ...options });
    }

    test('tells what was agreed once the handshake is complete', async () => {
      const [server, port] = await serve({ ALPNProtocols: ['b', 'a'] }, (socket) => {
        assert.equal(socket.getProtocol(), 'TLSv1.3');
        assert.equal(socket.alpnProtocol, 'b');
        assert.equal(socket.servername, 'localhost');
        assert.equal(socket.encrypted, true);
        assert.equal(socket.isSessionReused(), false);
        assert.equal(socket.getEphemeralKeyInfo(), null);
        assert.deepEqual(Object.keys(socket.getPeerCertificate()), []);
        assert.equal(socket.remoteAddress, '127.0.0.1');
        assert.equal(socket.remoteFamily, 'IPv4');
        assert.equal(socket.localPort, port);
        socket.end();
      });
      const socket = connect(port, { ALPNProtocols: ['a', 'b'] });
      assert.equal(socket.alpnProtocol, null);
      await once(socket, 'secureConnect');
      assert.equal(socket.authorized, true);
      assert.equal(socket.authorizationError, null);
      assert.equal(socket.alpnProtocol, 'b');
      assert.equal(socket.encrypted, true);
      assert.match((socket.getCipher() as { name: string }).name, /^TLS_/);
      assert.equal(socket.remotePort, port);
      assert.equal((socket.address() as net.AddressInfo).port, socket.localPort);
      socket.resume();
      await once(socket, 'close');
      server.close();
    });

    test('hands out the peer certificate with its issuer', async () => {
      const [server, port] = await serve({}, (socket) => socket.end());
      const socket = connect(port);
      await once(socket, 'secureConnect');
      const plain = socket.getPeerCertificate();
      assert.equal(plain.subject?.CN, 'localhost');
      assert.equal(plain.subjectaltname, 'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1');
      assert.match(plain.fingerprint256 ?? '', /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
      assert.equal(plain.ca, false);
      assert.ok(Buffer.isBuffer(plain.raw));
      assert.ok('subject' in socket.getPeerCertificate(true));
      socket.resume();
      await once(socket, 'close');
      server.close();
    });

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
      assert.equal(createHash('sha256').update(await received).digest('hex'), sent.digest('hex'));
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

    test('ALPN: no protocol in common fails the handshake, none offered is false', async () => {
      const [server, port] = await serve({ ALPNProtocols: ['a'] }, (socket) => {
        assert.equal(socket.alpnProtocol, false);
        socket.end();
      });
      const refusals = once(server, 'tlsClientError');
      await failure(connect(port, { ALPNProtocols: ['b'] }), 'secureConnect');
      await refusals;
      const socket = connect(port);
      await once(socket, 'secureConnect');
      assert.equal(socket.alpnProtocol, false);
      socket.resume();
      await once(socket, 'close');
      server.close();
    });

    test('ALPNCallback picks, and refuses with undefined', async () => {
      const [server, port] = await serve(
        {
          ALPNCallback: ({ servername, protocols }) => {
            assert.equal(servername, 'localhost');
            return protocols.includes('x') ? 'x' : undefined;
          },
        },
        // Not at once: a node:tls server that ends inside 'secureConnection' sends no close_notify.
        (socket) => setImmediate(() => socket.end(String(socket.alpnProtocol))),
      );
      const socket = connect(port, { ALPNProtocols: ['w', 'x'] });
      assert.equal(String(await collect(socket)), 'x');
      await failure(connect(port, { ALPNProtocols: ['w'] }), 'secureConnect');
      server.close();
    });

    test('addContext serves names by pattern, the last one added first', async () => {
      const [server, port] = await serve({}, (socket) => socket.end());
      server.addContext('*.example.com', certificateFor('*.example.com'));
      server.addContext('exact.example.com', certificateFor('exact.example.com'));
      for (const [servername, subject] of [
        ['a.example.com', '*.example.com'],
        ['exact.example.com', 'exact.example.com'],
        ['localhost', 'localhost'],
      ]) {
        const socket = connect(port, { servername });
        await once(socket, 'secureConnect');
        assert.equal(socket.getPeerCertificate().subject?.CN, subject);
        socket.resume();
        await once(socket, 'close');
      }
      server.close();
    });

    test('SNICallback answers now, later, with nothing, or with an error', async () => {
      const now = serverTls.createSecureContext(certificateFor('now.test'));
      const later = serverTls.createSecureContext(certificateFor('later.test'));
      const [server, port] = await serve(
        {
          SNICallback: (servername, callback) => {
            if (servername === 'now.test') {
              callback(null, now);
            } else if (servername === 'later.test') {
              setTimeout(callback, 5, null, later);
            } else if (servername === 'bad.test') {
              callback(new Error('no such host'));
            } else {
              callback(null);
            }
          },
        },
        (socket) => socket.end(),
      );
      for (const [servername, subject] of [
        ['now.test', 'now.test'],
        ['later.test', 'later.test'],
        ['localhost', 'localhost'],
      ]) {
        const socket = connect(port, { servername });
        await once(socket, 'secureConnect');
        assert.equal(socket.getPeerCertificate().subject?.CN, subject);
        socket.resume();
        await once(socket, 'close');
      }
      const refused = once(server, 'tlsClientError');
      await failure(connect(port, { servername: 'bad.test' }), 'secureConnect');
      assert.match((await refused)[0].message, /no such host/);
      server.close();
    });

    test('setSecureContext serves new connections with the new certificate', async () => {
      const [server, port] = await serve({}, (socket) => socket.end());
      server.setSecureContext(certificateFor('renewed.test'));
      const socket = connect(port, { servername: 'renewed.test' });
      await once(socket, 'secureConnect');
      assert.equal(socket.getPeerCertificate().subject?.CN, 'renewed.test');
      socket.resume();
      await once(socket, 'close');
      server.close();
    });

    test('a certificate of an unknown CA fails; rejectUnauthorized false takes it and says why', async () => {
      const [server, port] = await serve({}, (socket) => socket.end());
      server.on('tlsClientError', () => {});
      await failure(connect(port, { ca: otherCa.certificatePem }), 'secureConnect');
      const socket = connect(port, { ca: otherCa.certificatePem, rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      assert.equal(socket.authorized, false);
      assert.equal(typeof socket.authorizationError, 'string');
      socket.resume();
      await once(socket, 'close');
      server.close();
    });

    test('a certificate for another name fails', async () => {
      const [server, port] = await serve({}, (socket) => socket.end());
      server.on('tlsClientError', () => {});
      await failure(connect(port, { servername: 'elsewhere.test' }), 'secureConnect');
      server.close();
    });

    test('checkServerIdentity decides on the name', async () => {
      const [server, port] = await serve({}, (socket) => socket.end());
      server.on('tlsClientError', () => {});
      const seen: string[] = [];
      const socket = connect(port, {
        servername: 'elsewhere.test',
        checkServerIdentity: (hostname, certificate) => {
          seen.push(hostname, String(certificate.subject.CN));
          return undefined;
        },
      });
      await once(socket, 'secureConnect');
      assert.deepEqual(seen, ['elsewhere.test', 'localhost']);
      assert.equal(socket.authorized, true);
      socket.resume();
      await once(socket, 'close');
      const refused = connect(port, { checkServerIdentity: () => new Error('not today') });
      assert.match((await failure(refused, 'secureConnect')).message, /not today/);
      server.close();
    });

    test('a session from the session event is resumed', async () => {
      const [server, port] = await serve({}, (socket) => {
        socket.resume();
        socket.write(String(socket.isSessionReused()));
      });
      const first = connect(port);
      first.resume();
      const [session] = await once(first, 'session');
      assert.ok(Buffer.isBuffer(session));
      assert.equal(first.isSessionReused(), false);
      assert.ok(Buffer.isBuffer(first.getSession()));
      assert.ok(Buffer.isBuffer(first.getTLSTicket()));
      first.end();
      await once(first, 'close');
      const second = connect(port, { session });
      const [answer] = await once(second, 'data');
      assert.equal(String(answer), 'true');
      assert.equal(second.isSessionReused(), true);
      assert.equal(second.authorized, true);
      if (clientTls === mayfly) {
        assert.equal(second.getPeerCertificate().subject?.CN, 'localhost');
      }
      second.end();
      await once(second, 'close');
      server.close();
    });

    test('both ends export the same keying material and log the same secrets', async () => {
      const lines: string[][] = [[], []];
      let exported: Buffer | undefined;
      const [server, port] = await serve({}, (socket) => {
        exported = socket.exportKeyingMaterial(32, 'EXPERIMENTAL-test', Buffer.from('context'));
        socket.end();
      });
      server.on('keylog', (line: Buffer) => lines[0].push(String(line)));
      const socket = connect(port);
      socket.on('keylog', (line: Buffer) => lines[1].push(String(line)));
      await once(socket, 'secureConnect');
      const own = socket.exportKeyingMaterial(32, 'EXPERIMENTAL-test', Buffer.from('context'));
      assert.notDeepEqual(own, socket.exportKeyingMaterial(32, 'EXPERIMENTAL-test', Buffer.from('other')));
      socket.resume();
      await once(socket, 'close');
      assert.deepEqual(exported, own);
      assert.deepEqual(lines[0].sort(), lines[1].sort());
      assert.ok(lines[0].some((line) => /^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]{64,96}\n$/.test(line)));
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
      await once(socket, 'secureConnect').then(() => {}, () => {});
      const error = failure(socket, 'end');
      controller.abort();
      assert.equal((await error).name, 'AbortError');
      server.close();
    });

    test('runs over a TCP socket that is there already, at both ends', async () => {
      const secure = serverTls.createServer({ ...serverOptions, ...only13 }, (socket) => socket.pipe(socket));
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
      const inner = serverTls.createServer({ ...serverOptions, ...only13 }, (socket) => socket.pipe(socket));
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

    test('an IP address is verified by the address of the certificate', async () => {
      const [server, port] = await serve({}, (socket) => socket.end());
      const socket = clientTls.connect({ port, host: '127.0.0.1', ca: ca.certificatePem, ...only13 });
      await once(socket, 'secureConnect');
      assert.equal(socket.authorized, true);
      assert.equal(socket.servername, false);
      socket.resume();
      await once(socket, 'close');
      server.close();
    });
  });
}
