/** What programs written for `node:tls`, `node:https` and `node:http2` count on, held against Node's own where it has it. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import * as nodeHttp2 from 'node:http2';
import {
  type AddressInfo,
  createServer as createNetServer,
  connect as netConnect,
  type Server,
  Socket,
} from 'node:net';
import { describe, test } from 'node:test';
import { derToPem } from '../../src/certificates/pem.ts';
import * as http2 from '../../src/node/http2.ts';
import * as https from '../../src/node/https.ts';
import * as tls from '../../src/node/tls.ts';
import { DAY, makeIntermediate, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { closed, closing, collect, delay, listen, mayfly, native, serverOptions, type Tls, trust } from './support.ts';

const validity = { notBefore: Date.now() - DAY, notAfter: Date.now() + DAY };
const root = makeRoot(validity);
const intermediate = makeIntermediate(root, validity);
const leaf = makeLeaf(intermediate, { names: ['localhost'], ...validity });
const ofIntermediate = { cert: derToPem(leaf.der), key: leaf.key.privateKeyPem };

const modules: readonly (readonly [string, Tls])[] = [
  ['node:tls', native],
  ['mayfly', mayfly],
];

function client(from: Tls, server: Server | tls.Server, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  const { port } = server.address() as AddressInfo;
  return from.connect({ host: '127.0.0.1', servername: 'localhost', ...trust, port, ...options });
}

for (const [name, its] of modules) {
  describe(`With ${name}`, () => {
    test('a socket that nobody reads closes when the peer has ended, at either end', async () => {
      const server = its.createServer(serverOptions);
      await listen(server);
      const writer = client(its, server);
      const [[unread]] = await Promise.all([once(server, 'secureConnection'), once(writer, 'secureConnect')]);
      writer.end();
      await Promise.all([once(unread, 'close'), once(writer, 'close')]);
      const idle = client(its, server);
      const [[ending]] = await Promise.all([once(server, 'secureConnection'), once(idle, 'secureConnect')]);
      ending.end();
      await Promise.all([once(ending, 'close'), once(idle, 'close')]);
      await closed(server);
    });

    test('a leaf that is given alone is sent with its issuers from `ca`', async () => {
      const server = its.createServer({ ...ofIntermediate, ca: derToPem(intermediate.der) });
      await listen(server);
      for (const [, witness] of modules) {
        const socket = client(witness, server, { ca: derToPem(root.der) });
        await once(socket, 'secureConnect');
        assert.equal(socket.authorized, true);
        socket.destroy();
      }
      await closed(server);
    });

    test('a server socket without a server tells of junk by error, and not of a peer that hangs up', async () => {
      const told: string[][] = [];
      const ends: Promise<unknown>[] = [];
      const server = createNetServer((raw) => {
        const socket = new its.TLSSocket(raw, { ...serverOptions, isServer: true });
        const events: string[] = [];
        told.push(events);
        socket.on('error', () => events.push('error'));
        ends.push(closing(socket).then(([hadError]) => events.push(`close ${hadError}`)));
      });
      const port = await listen(server);
      for (const sent of ['no ClientHello', '']) {
        const peer = netConnect(port, '127.0.0.1', () => peer.end(sent));
        peer.on('error', () => {}).resume();
        await closing(peer);
      }
      await Promise.all(ends);
      assert.deepEqual(told, [['error', 'close true'], ['close false']]);
      await closed(server);
    });

    test('a TLSSocket takes null for no transport, and connects by port and host', async () => {
      const server = its.createServer(serverOptions, (socket) => socket.resume());
      const port = await listen(server);
      const socket = new its.TLSSocket(null as never, { ...trust, rejectUnauthorized: false });
      let connected = 0;
      const onConnect = () => {
        connected++;
        socket.write('hello');
      };
      assert.equal(socket.connect(port, '127.0.0.1', onConnect), socket);
      await once(socket, 'secure');
      assert.equal(connected, 1);
      socket.destroy();
      await closed(server);
    });

    test('a transport may be connected after it was given, and its connect is told of', async () => {
      const server = its.createServer(serverOptions, (socket) => socket.end('hello'));
      const port = await listen(server);
      const raw = new Socket();
      const socket = its.connect({ ...trust, servername: 'localhost', socket: raw });
      let connected = 0;
      socket.on('connect', () => connected++);
      await delay(5);
      raw.connect(port, '127.0.0.1');
      assert.equal(String(await collect(socket)), 'hello');
      assert.equal(connected, 1);
      await closed(server);
    });

    test('a transport that is destroyed while the end is on its way is no error', async () => {
      const server = its.createServer(serverOptions, (socket) => socket.on('error', () => {}).resume());
      const port = await listen(server);
      const raw = netConnect(port, '127.0.0.1');
      const socket = its.connect({ ...trust, servername: 'localhost', socket: raw });
      await once(socket, 'secureConnect');
      socket.end();
      await new Promise((resolve) => process.nextTick(resolve));
      raw.destroy();
      assert.deepEqual(await closing(socket), [false]);
      await closed(server);
    });

    test('certificates are given as X509Certificate, with their issuers', async () => {
      const server = its.createServer({
        ...ofIntermediate,
        cert: [leaf, intermediate].map(({ der }) => derToPem(der)).join(''),
      });
      await listen(server);
      const socket = client(its, server, { ca: derToPem(root.der) });
      const [[accepted]] = await Promise.all([once(server, 'secureConnection'), once(socket, 'secureConnect')]);
      const { fingerprint512 } = socket.getPeerCertificate();
      const peer = socket.getPeerX509Certificate();
      assert.ok(peer instanceof X509Certificate);
      assert.equal(peer.subject, 'CN=Test leaf');
      assert.equal(peer.issuerCertificate?.subject, 'CN=Test intermediate');
      assert.equal(accepted.getX509Certificate()?.fingerprint256, peer.fingerprint256);
      assert.equal(socket.getX509Certificate(), undefined);
      assert.equal(accepted.getPeerX509Certificate(), undefined);
      assert.equal(fingerprint512, peer.fingerprint512);
      socket.destroy();
      await closed(server);
    });

    test('pauseOnConnect hands sockets out paused', async () => {
      const server = its.createServer({ ...serverOptions, pauseOnConnect: true });
      await listen(server);
      const socket = client(its, server);
      const [accepted] = await once(server, 'secureConnection');
      assert.equal(accepted.isPaused(), true);
      accepted.resume();
      socket.destroy();
      await closed(server);
    });

    test('what an async listener fails with ends its socket, where rejections are captured', async () => {
      EventEmitter.captureRejections = true;
      const server = its.createServer(serverOptions);
      EventEmitter.captureRejections = false;
      const failed: unknown[] = [];
      server.on('secureConnection', async (socket: tls.TLSSocket) => {
        socket.on('error', (error) => failed.push(error.message));
        throw new Error('not today');
      });
      await listen(server);
      const socket = client(its, server);
      await closing(socket.on('error', () => {}).resume());
      assert.deepEqual(failed, ['not today']);
      await closed(server);
    });

    test('a key, a certificate and authorities that are false or empty were not given', () => {
      const nothing = { key: false, cert: '', ca: '' } as unknown as tls.SecureContextOptions;
      assert.doesNotThrow(() => its.createSecureContext(nothing));
    });
  });
}

test('setDefaultCACertificates changes whom clients without `ca` trust, also after the first connection', async (t) => {
  const { getCACertificates, setDefaultCACertificates } = tls;
  if (getCACertificates === undefined || setDefaultCACertificates === undefined) {
    t.skip('this Node has none');
    return;
  }
  const server = tls.createServer(serverOptions, (socket) => socket.end());
  server.on('tlsClientError', () => {});
  await listen(server);
  const before = getCACertificates();
  const outcomes: unknown[] = [];
  for (const roots of [before, [trust.ca], []]) {
    setDefaultCACertificates(roots);
    const socket = client(mayfly, server, { ca: undefined });
    outcomes.push(
      await Promise.race([
        once(socket, 'secureConnect').then(
          () => 'trusted',
          () => 'refused',
        ),
      ]),
    );
    socket.destroy();
  }
  setDefaultCACertificates(before);
  assert.deepEqual(outcomes, ['refused', 'trusted', 'refused']);
  await closed(server);
});

test('an https agent with maxCachedSessions 0 resumes nothing', async () => {
  const server = https.createServer(null, (request, response) => {
    response.end(String((request.socket as unknown as tls.TLSSocket).isSessionReused()));
  });
  server.setSecureContext(serverOptions);
  const port = await listen(server);
  const resumed = async (agent: https.Agent) => {
    const request = https.get({ ...trust, host: 'localhost', family: 4, port, agent });
    const [response] = await once(request, 'response');
    return String(await collect(response));
  };
  const never = new https.Agent({ maxCachedSessions: 0 });
  assert.deepEqual([await resumed(never), await resumed(never)], ['false', 'false']);
  const usual = new https.Agent();
  assert.deepEqual([await resumed(usual), await resumed(usual)], ['false', 'true']);
  await closed(server);
});

test('an http2 session that is unreferenced has its socket unreferenced', async () => {
  const server = http2.createSecureServer(serverOptions);
  const port = await listen(server);
  const socket = client(mayfly, server, { ALPNProtocols: ['h2'] });
  const calls: string[] = [];
  socket.ref = () => {
    calls.push('ref');
    return socket;
  };
  socket.unref = () => {
    calls.push('unref');
    return socket;
  };
  const session = http2.connect(`https://localhost:${port}`, { createConnection: () => socket } as never);
  session.unref();
  session.ref();
  assert.deepEqual(calls, ['unref', 'ref']);
  await once(session, 'connect');
  session.close();
  await once(session, 'close');
  await closed(server);
  assert.equal(http2.Http2ServerRequest, nodeHttp2.Http2ServerRequest);
});
