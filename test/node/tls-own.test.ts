/** What mayfly/tls has beside node:tls, or decides otherwise. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, sign as nodeSign } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import * as tls from '../../src/node/tls.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import { refuses } from '../support/refusals.ts';
import { ca, certificateFor, closing, collect, delay, failure, listen, native, otherCa, serverOptions, trust } from './support.ts';

async function serve(
  options: tls.TlsOptions,
  onSocket: (socket: tls.TLSSocket) => void = (socket) => socket.pipe(socket),
): Promise<[tls.Server, number]> {
  const server = tls.createServer({ ...serverOptions, ...options }, onSocket);
  return [server, await listen(server)];
}

function connect(port: number, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  return tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust, ...options });
}

describe('secure contexts', () => {
  test('a key that does not belong to the certificate is refused at creation', () => {
    const { cert } = certificateFor('a.test');
    const { key } = certificateFor('b.test');
    refuses('TLS_ERR_KEY_MISMATCH', () => tls.createSecureContext({ cert, key }));
    refuses('TLS_ERR_KEY_MISMATCH', () => tls.createServer({ cert, key }));
  });

  test('a certificate without a key, and a key without a certificate, are refused', () => {
    const { cert, key } = certificateFor('a.test');
    refuses('TLS_ERR_CONFIG', () => tls.createSecureContext({ cert }));
    refuses('TLS_ERR_CONFIG', () => tls.createSecureContext({ key }));
    refuses('TLS_ERR_CONFIG', () => tls.createSecureContext({ cert: 'no certificate', key }));
    refuses('TLS_ERR_BAD_KEY', () => tls.createSecureContext({ cert, key: 'no key' }));
  });

  test('keys may be KeyObjects, bytes, objects with a passphrase, and stand in any order', () => {
    const a = certificateFor('a.test');
    const b = certificateFor('b.test');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    assert.ok(privateKey);
    const locked = createPrivateKey(a.key).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'open' });
    const context = tls.createSecureContext({
      cert: [a.cert, Buffer.from(b.cert)],
      key: [createPrivateKey(b.key), { pem: locked, passphrase: 'open' }],
    });
    assert.equal(context.credentials.length, 2);
    assert.ok(context.credentials.every((credential) => credential.privateKey !== undefined));
    assert.equal(tls.createSecureContext({ cert: a.cert, key: locked as string, passphrase: 'open' }).credentials.length, 1);
  });

  test('what is not supported says so', () => {
    for (const options of [
      { pfx: Buffer.from('x') },
      { requestCert: true },
      { crl: 'x' },
      { dhparam: 'x' },
      { ticketKeys: Buffer.alloc(48) },
      { maxVersion: 'TLSv1.2' },
      { secureProtocol: 'TLSv1_2_method' },
      { ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' },
      { ecdhCurve: 'brainpoolP256r1' },
      { sigalgs: 'DSA+SHA1' },
    ]) {
      refuses('TLS_ERR_NOT_SUPPORTED', () => tls.createServer({ ...serverOptions, ...(options as object) }));
    }
    refuses('TLS_ERR_CONFIG', () => tls.createServer({ ...serverOptions, minVersion: 'SSLv3' }));
    refuses('TLS_ERR_NOT_SUPPORTED', () => tls.connect({ port: 1, ...serverOptions }));
    const server = tls.createServer(serverOptions);
    assert.match(refuses('TLS_ERR_NOT_SUPPORTED', () => server.getTicketKeys()).message, /sessions/);
    refuses('TLS_ERR_NOT_SUPPORTED', () => server.setTicketKeys(Buffer.alloc(48)));
  });

  test('ciphers and groups are offered in the order given', async () => {
    const [server, port] = await serve({}, (socket) => socket.end());
    for (const [ciphers, ecdhCurve, group] of [
      ['TLS_CHACHA20_POLY1305_SHA256', 'P-384', 'secp384r1'],
      ['TLS_AES_256_GCM_SHA384', 'prime256v1:X25519', 'secp256r1'],
    ]) {
      const socket = connect(port, { ciphers, ecdhCurve });
      await once(socket, 'secureConnect');
      assert.equal((socket.getCipher() as { name: string }).name, ciphers);
      assert.equal(socket.mayfly?.namedGroup, group);
      socket.resume();
      await once(socket, 'close');
    }
    server.close();
  });

  test('a sign function signs in the place of a key', async () => {
    const { cert, key } = certificateFor('localhost');
    const calls: string[] = [];
    const [server, port] = await serve(
      {
        cert,
        key: undefined,
        sign: async (scheme, data) => {
          calls.push(scheme);
          await delay(2);
          return nodeSign('sha256', data, key);
        },
      },
      (socket) => socket.end('signed'),
    );
    assert.equal(String(await collect(connect(port))), 'signed');
    assert.deepEqual(calls, ['ecdsa_secp256r1_sha256']);
    server.close();
  });

  test('a sign function that fails, or answers nonsense, ends that handshake with internal_error', async () => {
    const { cert } = certificateFor('localhost');
    for (const sign of [
      () => Promise.reject(new Error('the vault is shut')),
      () => {
        throw new Error('the vault is shut');
      },
      () => undefined as never,
    ]) {
      const [server, port] = await serve({ cert, key: undefined, sign });
      const refused = once(server, 'tlsClientError');
      const error = await failure(connect(port), 'secureConnect');
      assert.equal(error.code, 'TLS_ERR_ALERT_RECEIVED');
      assert.match(error.message, /internal_error/);
      assert.equal((await refused)[0].code, 'TLS_ERR_SIGN_FAILED');
      server.close();
    }
  });

  test('the first certificate whose key the client can verify serves', skipUnless('openssl'), async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mayfly-test-'));
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const args = `req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=localhost -keyout ${key} -out ${cert}`.split(' ');
    execFileSync(requireTool('openssl'), [...args, '-addext', 'subjectAltName=DNS:localhost'], { stdio: 'ignore' });
    const rsa = { cert: readFileSync(cert), key: readFileSync(key) };
    rmSync(folder, { recursive: true });
    const [server, port] = await serve(
      { cert: [serverOptions.cert, rsa.cert], key: [serverOptions.key, rsa.key] },
      (socket) => socket.end(),
    );
    const both = { ca: [ca.certificatePem, rsa.cert] };
    for (const [sigalgs, type] of [
      ['RSA-PSS+SHA256:RSA+SHA256', 'modulus'],
      ['ECDSA+SHA256', 'nistCurve'],
    ]) {
      const options = { host: '127.0.0.1', port, servername: 'localhost', ...both, sigalgs };
      const socket = native.connect(options);
      await once(socket, 'secureConnect');
      assert.ok(type in socket.getPeerCertificate(), `${sigalgs}: ${type}`);
      socket.resume();
      await once(socket, 'close');
    }
    server.close();
  });
});

describe('sessions', () => {
  async function sessionFrom(port: number): Promise<Buffer> {
    const socket = connect(port);
    socket.resume();
    const [session] = await once(socket, 'session');
    socket.end();
    await once(socket, 'close');
    return session;
  }

  async function resumes(port: number, session: Buffer): Promise<boolean> {
    const socket = connect(port, { session });
    await once(socket, 'secureConnect');
    const reused = socket.isSessionReused();
    socket.end().resume();
    await once(socket, 'close');
    return reused;
  }

  test('rotate keeps tickets good, flush ends them, and the counters say why', async () => {
    const [server, port] = await serve({});
    const session = await sessionFrom(port);
    server.sessions.rotate();
    assert.equal(await resumes(port, session), true);
    assert.equal(server.sessions.status().length, 2);
    server.sessions.flush();
    assert.equal(await resumes(port, session), false);
    assert.equal(server.sessions.status().length, 1);
    assert.deepEqual({ ...server.counters.refusals }, { unknown_key: 1 });
    assert.equal(server.counters.full, 2);
    assert.equal(server.counters.resumed, 1);
    server.close();
  });

  test('tickets: false sends none', async () => {
    const [server, port] = await serve({ sessions: { tickets: false } });
    const socket = connect(port);
    let sessions = 0;
    socket.on('session', () => sessions++);
    socket.end('x');
    assert.equal(String(await collect(socket)), 'x');
    assert.equal(sessions, 0);
    refuses('TLS_ERR_NOT_SUPPORTED', () => server.sessions.rotate());
    server.close();
  });

  test('a session does not outlive a change of the certificate', async () => {
    const [server, port] = await serve({});
    const session = await sessionFrom(port);
    server.setSecureContext(certificateFor('localhost', '127.0.0.1'));
    assert.equal(await resumes(port, session), false);
    assert.deepEqual({ ...server.counters.refusals }, { policy_changed: 1 });
    server.close();
  });

  test('two servers share a ring by the same key source', async () => {
    const keys = new tls.ServerSessions();
    const [first, port] = await serve({ sessions: { keys } });
    const [second, otherPort] = await serve({ sessions: { keys } });
    assert.equal(await resumes(otherPort, await sessionFrom(port)), true);
    first.close();
    second.close();
    keys.close();
  });

  test('a session that was made without verification does not pass a client that verifies', async () => {
    const [server, port] = await serve({});
    server.on('tlsClientError', () => {});
    const lax = connect(port, { ca: otherCa.certificatePem, rejectUnauthorized: false });
    lax.resume();
    const [session] = await once(lax, 'session');
    lax.end();
    await once(lax, 'close');
    const strict = connect(port, { ca: otherCa.certificatePem, session });
    assert.equal((await failure(strict, 'secureConnect')).code, 'TLS_ERR_UNKNOWN_CA');
    assert.equal(server.counters.resumed, 0);
    server.close();
  });

  test('a session for another name is not offered, and bytes that are no session are passed over', async () => {
    const [server, port] = await serve(certificateFor('localhost', 'b.test'));
    const session = await sessionFrom(port);
    const other = connect(port, { servername: 'b.test', session });
    await once(other, 'secureConnect');
    assert.equal(other.isSessionReused(), false);
    other.end().resume();
    await once(other, 'close');
    assert.equal(await resumes(port, Buffer.from('no session at all')), false);
    server.close();
  });

  test('a session cache takes each session once', async () => {
    const [server, port] = await serve({ sessions: { ticketsPerConnection: 1 } });
    const sessionCache = new tls.ClientSessions();
    for (const reused of [false, true, true]) {
      const socket = connect(port, { sessionCache });
      socket.end('x');
      assert.equal(String(await collect(socket)), 'x');
      assert.equal(socket.isSessionReused(), reused);
      assert.equal(sessionCache.size, 1);
    }
    sessionCache.clear();
    server.close();
  });

  test('options that make no sense are refused', () => {
    for (const sessions of [
      { rotate: 0 },
      { rotate: '7h' },
      { rotate: 'soon' },
      { ticketLifetime: '24h' },
      { handshakeValidity: '8d' },
      { ticketsPerConnection: 1_000 },
    ]) {
      refuses('TLS_ERR_CONFIG', () => tls.createServer({ ...serverOptions, sessions }));
    }
  });

  test('a closed server has no keys left, and has new ones when it listens again', async () => {
    const [server, port] = await serve({});
    const session = await sessionFrom(port);
    server.close();
    await once(server, 'close');
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    assert.equal(await resumes(port, session), false);
    server.close();
  });
});

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
    assert.equal(sizes.reduce((sum, size) => sum + size, 0), 10_000);
    server.close();
  });

  test('renegotiation, traces and Finished messages are refused clearly', async () => {
    const [server, port] = await serve({});
    const socket = connect(port);
    await once(socket, 'secureConnect');
    const error = await new Promise<Error | null>((resolve) => socket.renegotiate({}, resolve));
    assert.equal((error as tls.TLSError).code, 'TLS_ERR_NOT_SUPPORTED');
    refuses('TLS_ERR_NOT_SUPPORTED', () => socket.enableTrace());
    refuses('TLS_ERR_NOT_SUPPORTED', () => socket.getFinished());
    refuses('TLS_ERR_NOT_SUPPORTED', () => socket.getPeerFinished());
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
  return promisify(execFile)(file, args, { timeout: 20_000 });
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
