/** OCSP stapling, certificate timestamps and compression through mayfly/tls, with `node:tls` as witness where it can be. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import * as nodeTls from 'node:tls';
import { derSequence } from '../../src/certificates/der-writer.ts';
import { extensionOids } from '../../src/certificates/oids.ts';
import { derToPem } from '../../src/certificates/pem.ts';
import * as https from '../../src/node/https.ts';
import * as tls from '../../src/node/tls.ts';
import { type Authority, DAY, extension, makeIntermediate, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { makeOcsp, type OcspSpec } from '../certificates/ocsp-maker.ts';
import { refuses } from '../support/refusals.ts';
import { cases, closing, collect, failure, listen, only, pairs, versions } from './support.ts';

const now = Date.now();
const validity = { notBefore: now - DAY, notAfter: now + 30 * DAY };
const root = makeRoot({ subject: 'Stapling root', ...validity });
const issuer = makeIntermediate(root, validity);
const leaf = makeLeaf(issuer, { names: ['localhost'], ...validity });
const stapleExtension = extension(extensionOids.tlsFeature, false, derSequence(Uint8Array.of(0x02, 1, 5)));
const mustStaple = makeLeaf(issuer, { names: ['localhost'], more: [stapleExtension], ...validity });
const trust = { ca: derToPem(root.der) };

function pem(of: Authority): { cert: string; key: string } {
  return { cert: derToPem(of.der) + derToPem(issuer.der), key: of.key.privateKeyPem };
}

function response(spec: Partial<OcspSpec> = {}): Uint8Array {
  const times = { producedAt: now - 3_600_000, thisUpdate: now - 3_600_000, nextUpdate: now + DAY };
  return makeOcsp({ leaf, issuer, ...times, ...spec });
}

/** A server that staples, by the event: it takes what the option refuses. */
async function serve(staple: Uint8Array | undefined, options: tls.TlsOptions = {}): Promise<[tls.Server, number]> {
  const server = tls.createServer({ ...pem(leaf), ...options }, (socket) => socket.on('error', () => {}).end('hello'));
  server.on('OCSPRequest', (_certificate: Buffer, _issuer: Buffer, callback: tls.OcspCallback) =>
    callback(null, staple),
  );
  server.on('tlsClientError', () => {});
  return [server, await listen(server)];
}

function connect(port: number, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  return tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust, ...options });
}

async function outcome(port: number, options: tls.ConnectionOptions): Promise<string> {
  const socket = connect(port, options);
  const ended = await new Promise<string>((resolve) => {
    socket.once('secureConnect', () => resolve('fine'));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
  socket.destroy();
  await closing(socket);
  return ended;
}

describe("'OCSPRequest' and 'OCSPResponse'", () => {
  for (const { name, server: serverTls, client: clientTls, version } of cases) {
    test(`pass the response from one to the other: ${name}`, async () => {
      const staple = response();
      const server = serverTls.createServer({ ...pem(leaf), ...only(version) }, (socket) =>
        socket.on('error', () => {}).end('hello'),
      );
      const asked: (Buffer | null)[][] = [];
      server.on('OCSPRequest', (certificate: Buffer, issuerDer: Buffer | null, callback: tls.OcspCallback) => {
        asked.push([certificate, issuerDer]);
        setImmediate(callback, null, Buffer.from(staple));
      });
      const port = await listen(server);
      const options = { host: '127.0.0.1', port, servername: 'localhost', ...trust, requestOCSP: true };
      // node:tls does not always say goodbye.
      const socket = clientTls.connect({ ...options, allowTruncation: true });
      const order: string[] = [];
      for (const event of ['OCSPResponse', 'secureConnect']) {
        socket.once(event, () => order.push(event));
      }
      const [received] = await once(socket, 'OCSPResponse');
      assert.ok(Buffer.isBuffer(received));
      assert.deepEqual(new Uint8Array(received), staple);
      assert.equal(String(await collect(socket)), 'hello');
      assert.deepEqual(order, ['OCSPResponse', 'secureConnect']);
      assert.deepEqual(asked, [[Buffer.from(leaf.der), Buffer.from(issuer.der)]]);
      server.close();
    });
  }

  for (const { name, server: serverTls, client: clientTls } of pairs) {
    test(`null comes where nothing was stapled: ${name}`, async () => {
      const server = serverTls.createServer(pem(leaf), (socket) => socket.on('error', () => {}).end());
      const port = await listen(server);
      const options = { host: '127.0.0.1', port, servername: 'localhost', ...trust, requestOCSP: true };
      const socket = clientTls.connect(options);
      const [received] = await once(socket, 'OCSPResponse');
      assert.equal(received, null);
      socket.resume();
      await closing(socket);
      server.close();
    });

    test(`a server is not asked for a client that does not ask, nor for a resumption: ${name}`, async () => {
      const server = serverTls.createServer({ ...pem(leaf), ...only('TLSv1.2') }, (socket) =>
        socket.on('error', () => {}).end(),
      );
      let asked = 0;
      server.on('OCSPRequest', (_certificate: Buffer, _issuer: Buffer, callback: tls.OcspCallback) => {
        asked++;
        callback(null, Buffer.from(response()));
      });
      const port = await listen(server);
      const options = { host: '127.0.0.1', port, servername: 'localhost', ...trust, ...only('TLSv1.2') };
      const plain = clientTls.connect(options);
      plain.resume();
      await closing(plain);
      assert.equal(asked, 0);
      const first = clientTls.connect({ ...options, requestOCSP: true });
      await once(first, 'secureConnect');
      const session = first.getSession();
      first.resume();
      await closing(first);
      const second = clientTls.connect({ ...options, requestOCSP: true, session });
      await once(second, 'secureConnect');
      assert.equal(second.isSessionReused(), true);
      second.resume();
      await closing(second);
      assert.equal(asked, 1);
      server.close();
    });
  }

  test('a listener that fails, throws, or answers nonsense ends that handshake', async () => {
    for (const listener of [
      (callback: tls.OcspCallback) => callback(new Error('the responder is down')),
      () => {
        throw new Error('a mistake');
      },
      (callback: tls.OcspCallback) => callback(null, 'text' as never),
    ]) {
      const server = tls.createServer(pem(leaf));
      server.on('OCSPRequest', (_certificate: Buffer, _issuer: Buffer, callback: tls.OcspCallback) =>
        listener(callback),
      );
      const refused = once(server, 'tlsClientError');
      const port = await listen(server);
      const error = await failure(connect(port, { requestOCSP: true }), 'secureConnect');
      assert.match(error.message, /internal_error/);
      assert.match(String((await refused)[0].message), /responder is down|a mistake|OCSPResponse/);
      server.close();
    }
  });

  test('a listener that never answers meets the handshake timeout', async () => {
    const server = tls.createServer({ ...pem(leaf), handshakeTimeout: 50 });
    server.on('OCSPRequest', () => {});
    const refused = once(server, 'tlsClientError');
    const port = await listen(server);
    await failure(connect(port, { requestOCSP: true }), 'secureConnect');
    assert.equal((await refused)[0].code, 'TLS_ERR_HANDSHAKE_TIMEOUT');
    server.close();
  });

  test('what comes is not judged unless `stapling` says so, as in node:tls', async () => {
    const [server, port] = await serve(Buffer.from('hello world'));
    assert.equal(await outcome(port, { requestOCSP: true }), 'fine');
    assert.equal(await outcome(port, { requestOCSP: true, stapling: 'check' }), 'TLS_ERR_BAD_STATUS');
    server.close();
  });
});

describe('the option stapling', () => {
  for (const version of versions) {
    const options = only(version);

    test(`refuses what is wrong and takes what is right, ${version}`, async () => {
      for (const [staple, check, require] of [
        [response(), 'fine', 'fine'],
        [undefined, 'fine', 'TLS_ERR_BAD_STATUS'],
        [response({ status: 'revoked' }), 'TLS_ERR_CERTIFICATE_REVOKED', 'TLS_ERR_CERTIFICATE_REVOKED'],
        [response({ status: 'unknown' }), 'TLS_ERR_BAD_STATUS', 'TLS_ERR_BAD_STATUS'],
        [response({ nextUpdate: now - 600_000 }), 'TLS_ERR_BAD_STATUS', 'TLS_ERR_BAD_STATUS'],
        [response({ leaf: mustStaple, serial: Uint8Array.of(9) }), 'TLS_ERR_BAD_STATUS', 'TLS_ERR_BAD_STATUS'],
        [response({ signer: root }), 'TLS_ERR_BAD_STATUS', 'TLS_ERR_BAD_STATUS'],
      ] as const) {
        const [server, port] = await serve(staple, options);
        assert.equal(await outcome(port, { ...options, stapling: 'check' }), check);
        assert.equal(await outcome(port, { ...options, stapling: 'require' }), require);
        server.close();
      }
    });

    test(`demands a staple of a certificate that must have one, ${version}`, async () => {
      const [without, port] = await serve(undefined, { ...pem(mustStaple), ...options });
      assert.equal(await outcome(port, options), 'fine', 'a client that does not ask cannot demand');
      assert.equal(await outcome(port, { ...options, stapling: 'check' }), 'TLS_ERR_BAD_STATUS');
      without.close();
      const [withStaple, second] = await serve(response({ leaf: mustStaple }), { ...pem(mustStaple), ...options });
      assert.equal(await outcome(second, { ...options, stapling: 'check' }), 'fine');
      withStaple.close();
    });

    test(`tells the server by the right alert, ${version}`, async () => {
      for (const [staple, alert] of [
        [response({ status: 'revoked' }), /certificate_revoked/],
        [Buffer.from('nonsense'), /bad_certificate_status_response/],
      ] as const) {
        const [server, port] = await serve(staple, options);
        const refused = once(server, 'tlsClientError');
        await outcome(port, { ...options, stapling: 'check' });
        assert.match((await refused)[0].message, alert);
        server.close();
      }
    });
  }

  test('leaves it to the caller where unauthorized servers are let in', async () => {
    const [server, port] = await serve(response({ status: 'revoked' }));
    const socket = connect(port, { stapling: 'check', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    assert.equal(socket.authorized, false);
    assert.equal(socket.authorizationError, 'TLS_ERR_CERTIFICATE_REVOKED');
    socket.destroy();
    server.close();
  });

  test('does not let a session past that was made without a staple', async () => {
    const [server, port] = await serve(response());
    const sessionCache = new tls.ClientSessions();
    const visit = async (options: tls.ConnectionOptions): Promise<[boolean, Buffer | undefined]> => {
      const socket = connect(port, options);
      const session = once(socket, 'session');
      await once(socket, 'secureConnect');
      socket.resume();
      await session;
      const result: [boolean, Buffer | undefined] = [socket.isSessionReused(), socket.getSession()];
      await closing(socket);
      return result;
    };
    const [, lax] = await visit({});
    assert.equal((await visit({ session: lax }))[0], true);
    const [, again] = await visit({});
    assert.equal((await visit({ session: again, stapling: 'require' }))[0], false);
    await visit({ sessionCache });
    assert.equal((await visit({ sessionCache, stapling: 'require' }))[0], false, 'another policy, another session');
    assert.equal((await visit({ sessionCache, stapling: 'require' }))[0], true, 'the same policy');
    server.close();
  });

  test('is not got round by a connection that an agent keeps', async () => {
    const server = https.createServer(pem(leaf), (_request, respond) => respond.end('hello'));
    const port = await listen(server as unknown as tls.Server);
    const agent = new https.Agent({ keepAlive: true });
    const get = (options: object) =>
      new Promise<string>((resolve) => {
        const target = { host: 'localhost', port, ...trust, agent, ...options };
        const request = https.get(target, (answer) => answer.resume().once('end', () => resolve('fine')));
        request.once('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
      });
    assert.equal(await get({}), 'fine');
    assert.equal(await get({ stapling: 'require' }), 'TLS_ERR_BAD_STATUS');
    assert.equal(await get({}), 'fine');
    agent.destroy();
    server.close();
  });

  test('has two values', () => {
    refuses('TLS_ERR_CONFIG', () => tls.connect({ port: 1, stapling: 'always' as never }));
  });
});

describe('the option ocspResponse', () => {
  const serveOption = async (ocspResponse: tls.TlsOptions['ocspResponse'], options: tls.TlsOptions = {}) => {
    const server = tls.createServer({ ...pem(leaf), ...options, ocspResponse }, (socket) =>
      socket.on('error', () => {}).end(),
    );
    return [server, await listen(server)] as const;
  };

  for (const version of versions) {
    test(`staples for those who ask, ${version}`, async () => {
      const [server, port] = await serveOption(response());
      const socket = connect(port, { ...only(version), stapling: 'require' });
      await once(socket, 'secureConnect');
      assert.ok((socket.mayfly?.ocspResponse?.length ?? 0) > 100);
      assert.equal(socket.authorized, true);
      socket.destroy();
      const other = nodeTls.connect({
        ...{ host: '127.0.0.1', port, servername: 'localhost', ...trust, requestOCSP: true },
        ...only(version),
      });
      const [received] = await once(other, 'OCSPResponse');
      assert.ok(Buffer.isBuffer(received) && received.length > 100);
      other.destroy();
      server.close();
    });
  }

  test('is refused where it is bad, when it is read', () => {
    for (const [bad, text] of [
      [response({ status: 'revoked' }), /revoked/],
      [response({ leaf: mustStaple, serial: Uint8Array.of(9) }), /says nothing/],
      [response({ nextUpdate: now - 600_000 }), /out of date/],
      [response({ signer: root }), /not appointed|not by|does not verify/],
      [response({ responseStatus: 3 }), /tryLater/],
      [Buffer.from('nonsense'), /cannot be read/],
      ['text' as never, /expected the bytes/],
      [[response(), response()], /2 are given for 1/],
    ] as const) {
      assert.throws(
        () => tls.createSecureContext({ ...pem(leaf), ocspResponse: bad }),
        (error: tls.TLSError) => error.code === 'TLS_ERR_CONFIG' && text.test(error.message),
        String(text),
      );
    }
    const alone = { cert: derToPem(leaf.der), key: leaf.key.privateKeyPem };
    assert.equal(tls.createSecureContext({ ...alone, ocspResponse: response() }).credentials.length, 1);
    assert.throws(() => tls.createSecureContext({ ...alone, ocspResponse: Buffer.from('x') }), /ocspResponse/);
  });

  test('is no longer stapled when it is out of date', async (t) => {
    const [server, port] = await serveOption(response());
    const stapled = async () => {
      const socket = connect(port, { requestOCSP: true });
      const [received] = await once(socket, 'OCSPResponse');
      socket.resume();
      await closing(socket);
      return received !== null;
    };
    assert.equal(await stapled(), true);
    t.mock.timers.enable({ apis: ['Date'], now: now + 2 * DAY });
    assert.equal(await stapled(), false);
    t.mock.timers.reset();
    server.close();
  });
});

describe('certificate timestamps', () => {
  const timestamps = [Buffer.from('one log promises'), Buffer.from('another too')];

  for (const version of versions) {
    test(`come to those who ask, ${version}`, async () => {
      const server = tls.createServer({ ...pem(leaf), signedCertificateTimestamps: timestamps }, (socket) =>
        socket.on('error', () => {}).end(),
      );
      const port = await listen(server);
      for (const requestSCTs of [true, false]) {
        const socket = connect(port, { ...only(version), requestSCTs });
        assert.deepEqual(socket.signedCertificateTimestamps, []);
        await once(socket, 'secureConnect');
        assert.deepEqual(socket.signedCertificateTimestamps, requestSCTs ? timestamps : []);
        socket.destroy();
      }
      server.close();
    });
  }

  test('are refused where they cannot be encoded', () => {
    for (const bad of [
      [Buffer.alloc(0)],
      [Buffer.alloc(0x1_0000)],
      ['text' as never],
      [timestamps, timestamps],
    ] as const) {
      refuses('TLS_ERR_CONFIG', () => tls.createSecureContext({ ...pem(leaf), signedCertificateTimestamps: bad }));
    }
  });
});

describe('the option certificateCompression', () => {
  const names = ['localhost', ...Array.from({ length: 60 }, (_, i) => `host-${i}.some.long.domain.example`)];
  const wide = makeLeaf(issuer, { names, ...validity });

  test('names what this Node can do', () => {
    const known = tls.getCertificateCompressionAlgorithms();
    assert.ok(known.includes('brotli') && known.includes('zlib'));
  });

  test('of a client has the certificate come compressed; a server does so for all that ask', async () => {
    const server = tls.createServer(pem(wide), (socket) => socket.on('error', () => {}).end());
    const port = await listen(server);
    for (const certificateCompression of [['zlib'], ['brotli', 'zlib'], [], undefined] as const) {
      const socket = connect(port, { certificateCompression });
      await once(socket, 'secureConnect');
      assert.equal(socket.mayfly?.certificateCompression, certificateCompression?.[0]);
      socket.destroy();
    }
    server.close();
  });

  test('of a server is its choice, and none where it is empty', async () => {
    for (const [certificateCompression, expected] of [
      [['zlib'], 'zlib'],
      [[], undefined],
    ] as const) {
      const server = tls.createServer({ ...pem(wide), certificateCompression }, (socket) =>
        socket.on('error', () => {}).end(),
      );
      const port = await listen(server);
      const socket = connect(port, { certificateCompression: ['brotli', 'zlib'] });
      await once(socket, 'secureConnect');
      assert.equal(socket.mayfly?.certificateCompression, expected);
      socket.destroy();
      server.close();
    }
  });

  test('refuses what is not known, comes twice, or has no version to go with', () => {
    const bad = [['gzip'], ['zlib', 'zlib'], 'zlib'] as unknown as tls.TlsOptions['certificateCompression'][];
    for (const certificateCompression of bad) {
      refuses('TLS_ERR_CONFIG', () => tls.createSecureContext({ certificateCompression }));
    }
    const certificateCompression = ['zlib'] as const;
    refuses('TLS_ERR_CONFIG', () => tls.createSecureContext({ certificateCompression, maxVersion: 'TLSv1.2' }));
  });

  const witness = nodeTls as unknown as { getCertificateCompressionAlgorithms?: () => ('zlib' | 'brotli' | 'zstd')[] };
  const theirs = witness.getCertificateCompressionAlgorithms?.() ?? [];
  const skip = theirs.length === 0 ? { skip: 'the node:tls of this Node compresses no certificates' } : {};

  test('of node:tls is understood, in both directions, by each algorithm', skip, async () => {
    for (const algorithm of theirs) {
      const certificateCompression = [algorithm];
      const ours = tls.createServer(
        { ...pem(wide), ca: trust.ca, certificateCompression, requestCert: true, rejectUnauthorized: false },
        (socket) => socket.on('error', () => {}).end(),
      );
      const port = await listen(ours);
      const theirOptions = { ...pem(wide), certificateCompression } as object;
      const theirClient = nodeTls.connect({
        ...{ host: '127.0.0.1', port, servername: 'localhost', ...trust },
        ...theirOptions,
      });
      const [accepted] = (await once(ours, 'secureConnection')) as [tls.TLSSocket];
      assert.equal(accepted.mayfly?.certificateCompression, algorithm);
      assert.equal(accepted.mayfly?.peerCertificates.length, 2, "the client's own came compressed");
      theirClient.resume();
      await closing(theirClient);
      ours.close();

      const server = nodeTls.createServer({ ...theirOptions, ...{ key: pem(wide).key } }, (socket) =>
        socket.on('error', () => {}).end(),
      );
      const theirPort = await listen(server);
      const socket = connect(theirPort, { certificateCompression });
      await once(socket, 'secureConnect');
      assert.equal(socket.mayfly?.certificateCompression, algorithm);
      socket.destroy();
      server.close();
    }
  });
});
