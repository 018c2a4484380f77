/** Client certificates with OpenSSL, curl and `node:tls` on the other end, in the handshake and later. */

import assert from 'node:assert/strict';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { after, describe, test } from 'node:test';
import * as nodeTls from 'node:tls';
import type { PeerCertificate } from '../../src/certificates/peer-certificate.ts';
import { createServer as createHttpsServer } from '../../src/node/https.ts';
import { connect, createServer, type Server, type TLSSocket, type TlsOptions } from '../../src/node/tls.ts';
import { restrictedRsaPss } from '../crypto/rsa-pss.ts';
import { type ClientPem, clientCa, clientCertificate, mallory } from '../node/client-support.ts';
import { run, ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import {
  authority,
  authorityFile,
  certificateFor,
  closing,
  eventually,
  file,
  hangGuard,
  type KeyType,
  keyTypes,
  listen,
  pemFiles,
} from './support.ts';

type Keys = { publicKey: KeyObject; privateKey: KeyObject };
const serverPem = certificateFor('ecdsa-p256');
const serverFiles = pemFiles('server-of-clients', serverPem);
const clients = new Map<string, ClientPem>(
  (['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'ed448', 'rsa', 'rsa-pss'] as KeyType[]).map((type) => [
    type,
    clientCertificate(`by ${type}`, { keys: keyTypes[type].make() as Keys }),
  ]),
);
clients.set(
  'restricted rsa-pss',
  clientCertificate('by restricted rsa-pss', { keys: restrictedRsaPss('sha384', 'sha384', 48) }),
);
const files = new Map([...clients].map(([type, pem]) => [type, pemFiles(`client ${type}`, pem)]));
const malloryFiles = pemFiles('mallory', mallory);
const clientCaFile = file('client-ca.pem', clientCa.pem);
const asking = { ...serverPem, requestCert: true, ca: clientCa.pem };

const versions = [
  ['TLSv1.3', '-tls1_3'],
  ['TLSv1.2', '-tls1_2'],
] as const;

function subject(socket: TLSSocket): unknown {
  return (socket.getPeerCertificate() as Partial<PeerCertificate>).subject?.CN;
}

const stops: (() => unknown)[] = [];
after(async () => {
  for (const stop of stops) {
    await stop();
  }
});

/** Our server; what it saw, and the sockets it has. */
async function serve(
  options: TlsOptions,
): Promise<{ port: number; server: Server; sockets: TLSSocket[]; failures: string[] }> {
  const sockets: TLSSocket[] = [];
  const failures: string[] = [];
  const server = createServer(options, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.resume();
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException) => failures.push(String(error.code)));
  stops.push(() => {
    for (const socket of server.secureSockets) {
      socket.destroy();
    }
    server.close();
  });
  return { port: await listen(server), server, sockets, failures };
}

function sClient(port: number, args: readonly string[], pem?: { cert: string; key: string }): ToolProcess {
  const own = pem === undefined ? [] : ['-cert', pem.cert, '-key', pem.key];
  const tool = new ToolProcess('openssl', [
    ...['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-CAfile', authorityFile],
    ...own,
    ...args,
  ]);
  stops.push(() => tool.stop());
  return tool;
}

async function sServer(args: readonly string[]): Promise<{ port: number; tool: ToolProcess }> {
  const tool = new ToolProcess('openssl', [
    ...['s_server', '-accept', '127.0.0.1:0', '-cert', serverFiles.cert, '-key', serverFiles.key],
    ...['-CAfile', clientCaFile, ...args],
  ]);
  stops.push(() => tool.stop());
  await tool.until(/ACCEPT 127.0.0.1:\d+/);
  return { port: Number(/ACCEPT 127.0.0.1:(\d+)/.exec(tool.text)?.[1]), tool };
}

for (const [version, flag] of versions) {
  const only = { minVersion: version, maxVersion: version };

  describe(`client certificates with openssl, ${version}`, { ...hangGuard, ...skipUnless('openssl') }, () => {
    test('our server knows s_client by keys of every type, and turns away others', async () => {
      const { port, sockets, failures } = await serve({ ...asking, ...only });
      for (const [type, pem] of files) {
        const tool = sClient(port, [flag], pem);
        await eventually(`a client with ${type}`, () => sockets.length > 0 || failures.length > 0);
        const socket = sockets.pop();
        assert.deepEqual([socket?.authorized, socket && subject(socket)], [true, `by ${type}`], failures.join());
        // The names of the authorities were sent.
        await tool.until(/Acceptable client certificate CA names\s+CN ?= ?Clients/);
        socket?.destroy();
        await tool.stop();
      }
      for (const [pem, code] of [
        [malloryFiles, 'TLS_ERR_UNKNOWN_CA'],
        [undefined, 'TLS_ERR_CERTIFICATE_REQUIRED'],
      ] as const) {
        const tool = sClient(port, [flag], pem);
        await eventually('the refusal', () => failures.length > 0);
        assert.equal(failures.pop(), code);
        await tool.exited();
        assert.match(tool.text, /alert (unknown ca|certificate required|handshake failure)/);
      }
    });

    test('our client shows s_server what it asks for', async () => {
      const { port, tool } = await sServer([flag, '-rev', '-Verify', '3', '-verify_return_error']);
      for (const [type, pem] of clients) {
        const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...only, ...pem });
        socket.on('error', () => {});
        await once(socket, 'secureConnect');
        socket.write('123\n');
        assert.equal(String((await once(socket, 'data'))[0]), '321\n', type);
        socket.destroy();
        await tool.until(new RegExp(`CN ?= ?by ${type}`));
      }
      const nobody = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...only });
      assert.match(String(await closing(nobody.resume())), /certificate_required|handshake_failure/);
    });

    test('our server asks s_client later', async () => {
      const { port, sockets } = await serve({ ...serverPem, ca: clientCa.pem, ...only });
      const late = version === 'TLSv1.3' ? ['-enable_pha'] : [];
      for (const [pem, outcome, who] of [
        [files.get('ed25519'), undefined, 'by ed25519'],
        [malloryFiles, 'TLS_ERR_UNKNOWN_CA', undefined],
      ] as const) {
        sClient(port, [flag, ...late], pem);
        await eventually('the client', () => sockets.length > 0);
        const socket = sockets.pop() as TLSSocket;
        assert.equal(socket.authorized, false);
        const error = await new Promise<Error | null>((resolve) => socket.requestClientCertificate({}, resolve));
        assert.equal((error as NodeJS.ErrnoException | null)?.code, outcome);
        if (who !== undefined) {
          assert.deepEqual([socket.authorized, subject(socket)], [true, who]);
        }
        socket.destroy();
      }
    });

    test('s_server asks our client later', async () => {
      const { port, tool } = await sServer([flag]);
      const pem = clients.get('rsa') as ClientPem;
      const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...only, ...pem });
      await once(socket, 'secureConnect');
      socket.resume();
      tool.write(version === 'TLSv1.3' ? 'c\n' : 'R\n');
      await tool.until(/CN ?= ?by rsa\b/);
      socket.write('it goes on\n');
      await tool.until('it goes on');
      socket.destroy();
    });
  });

  test(`curl is asked once the path is known, ${version}`, { ...hangGuard, ...skipUnless('curl') }, async () => {
    const server = createHttpsServer({ ...serverPem, ca: clientCa.pem, ...only }, (request, response) => {
      const socket = request.socket as unknown as TLSSocket;
      if (request.url === '/') {
        response.end(`${socket.authorized}`);
        return;
      }
      socket.requestClientCertificate({}, (error) => response.end(error?.message ?? `hello ${subject(socket)}`));
    });
    const port = await listen(server);
    const { cert, key } = files.get('ecdsa-p256') as { cert: string; key: string };
    const flags = ['-sS', '--http1.1', '--cacert', authorityFile, '--cert', cert, '--key', key];
    const url = `https://localhost:${port}`;
    const { text } = await run('curl', [...flags, `${url}/`, `${url}/members`, `${url}/`]);
    assert.equal(text, 'falsehello by ecdsa-p256true');
    server.close();
  });
}

test('node:tls asks our client in a renegotiation', hangGuard, async () => {
  const server = nodeTls.createServer({ ...serverPem, ca: clientCa.pem, maxVersion: 'TLSv1.2' });
  const port = await listen(server);
  const accepted = once(server, 'secureConnection');
  const pem = clients.get('rsa-pss') as ClientPem;
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...pem });
  socket.resume();
  const [peer] = (await accepted) as [nodeTls.TLSSocket];
  peer.resume();
  const error = await new Promise<Error | null>((resolve) => {
    peer.renegotiate({ requestCert: true, rejectUnauthorized: true }, resolve);
  });
  assert.equal(error ?? null, null);
  assert.equal(peer.getPeerCertificate().subject.CN, 'by rsa-pss');
  socket.destroy();
  peer.destroy();
  server.close();
});

/** Writes now and then, until what has come is as wanted; then ends. */
function keepWriting(socket: NodeJS.WritableStream, isOver: () => boolean): void {
  if (isOver()) {
    socket.end();
    return;
  }
  socket.write(Buffer.alloc(1000));
  setImmediate(keepWriting, socket, isOver);
}

for (const asks of ['node:tls', 'our server'] as const) {
  test(
    `${asks} asks ${asks === 'our server' ? 'node:tls' : 'our client'} while the other side sends`,
    hangGuard,
    async () => {
      const theirs = asks === 'node:tls';
      const pem = clients.get('rsa') as ClientPem;
      const asking = { ...serverPem, ca: clientCa.pem, maxVersion: 'TLSv1.2' } as const;
      const server = theirs ? nodeTls.createServer(asking) : createServer(asking);
      const port = await listen(server);
      const accepted = once(server, 'secureConnection');
      const options = { host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...pem };
      const socket = theirs ? connect(options) : nodeTls.connect(options);
      const [peer] = (await accepted) as [nodeTls.TLSSocket];
      socket.resume();
      peer.resume();
      const errors: Error[] = [];
      for (const end of [socket, peer]) {
        end.on('error', (error: Error) => errors.push(error));
      }
      let isOver = false;
      // OpenSSL takes no data from a client behind its hello, and none from a server behind its own.
      keepWriting(theirs ? socket : (peer as never), () => isOver || errors.length > 0);
      await new Promise<void>((resolve) => {
        const done = () => resolve();
        peer.once('close', done);
        if (theirs) {
          peer.renegotiate({ requestCert: true, rejectUnauthorized: true }, done);
        } else {
          (peer as unknown as TLSSocket).requestClientCertificate({}, done);
        }
      });
      assert.equal(peer.getPeerCertificate().subject?.CN, 'by rsa');
      isOver = true;
      await once(theirs ? peer : socket, 'end');
      assert.deepEqual(errors, []);
      socket.destroy();
      peer.destroy();
      server.close();
    },
  );
}
