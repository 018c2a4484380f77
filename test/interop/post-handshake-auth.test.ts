/** Client authentication after the handshake: OpenSSL as the client, and as the server. */

import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, connect as netConnect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import type { Action, HandshakeSummary } from '../../src/actions.ts';
import { utf8 } from '../../src/bytes/bytes.ts';
import { Connection } from '../../src/connection.ts';
import type { Credential } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { freePort, ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import { authorityFile, certificateFor, eventually, hangGuard, listen, type Pem, pemFiles } from './support.ts';

const serverPem = certificateFor('ecdsa-p256');
const clientPem = certificateFor('ed25519');
const der = (pem: Pem) => new Uint8Array(new X509Certificate(pem.cert).raw);

function credentialOf(pem: Pem): Credential {
  const privateKey = nodeProvider.importPrivateKey(createPrivateKey(pem.key));
  return { certificateChain: [der(pem)], schemes: privateKey.schemes, privateKey };
}

/** Runs a connection over a socket; any chain will do, but its key has to have signed. */
class Host {
  readonly connection: Connection;
  readonly socket: Socket;
  readonly authenticated: HandshakeSummary[] = [];
  data = '';
  complete = false;
  error: Error | undefined;

  constructor(connection: Connection, socket: Socket) {
    this.connection = connection;
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => this.take(connection.receive(bytes)));
    socket.on('error', (error) => {
      this.error ??= error;
    });
  }

  take(actions: readonly Action[]): void {
    for (const action of actions) {
      if (action.kind === 'send') {
        this.socket.write(action.bytes);
      } else if (action.kind === 'data') {
        this.data += Buffer.from(action.bytes).toString();
      } else if (action.kind === 'handshakeComplete') {
        this.complete = true;
      } else if (action.kind === 'clientAuthenticated') {
        this.authenticated.push(action.summary);
      } else if (action.kind === 'failed') {
        this.error ??= action.error;
      } else if (action.kind === 'need' && action.need.kind === 'verifyCertificate') {
        const leaf = new X509Certificate(action.need.chain[0]).publicKey.export({ type: 'spki', format: 'der' });
        this.take(this.connection.resume(action.need, nodeProvider.importPublicKey(new Uint8Array(leaf))));
      }
    }
  }

  end(): void {
    this.connection.erase();
    this.socket.destroy();
  }
}

describe('client authentication after the handshake with openssl', { ...hangGuard, ...skipUnless('openssl') }, () => {
  for (const [what, withCertificate, updates] of [
    ['proves its certificate', true, false],
    ['proves its certificate with keys that were renewed', true, true],
    ['answers that it has none', false, false],
  ] as const) {
    test(`s_client ${what} to our server`, async () => {
      const context = { credentials: [credentialOf(serverPem)], alpnProtocols: [] };
      const listener = createServer();
      const port = await listen(listener);
      const { cert, key } = pemFiles('later-client', clientPem);
      const own = withCertificate ? ['-cert', cert, '-key', key] : [];
      const tool = new ToolProcess('openssl', [
        ...['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-tls1_3', '-enable_pha'],
        ...['-CAfile', authorityFile, ...own],
      ]);
      const [socket] = (await once(listener, 'connection')) as [Socket];
      const connection = Connection.server({ provider: nodeProvider, now: Date.now, context });
      const host = new Host(connection, socket);
      try {
        await eventually('the handshake', () => host.complete);
        if (updates) {
          host.take(connection.updateKeys(true));
        }
        host.take(connection.requestClientCertificate({ required: false, certificateAuthorities: [] }));
        await eventually('the certificate', () => host.authenticated.length > 0 || host.error !== undefined);
        assert.equal(host.error, undefined);
        // The root may follow.
        const [leaf] = host.authenticated[0].peerCertificates;
        assert.deepEqual(leaf, withCertificate ? der(clientPem) : undefined);
        tool.write('it goes on\n');
        await eventually('a line', () => host.data.includes('it goes on'));
      } finally {
        host.end();
        listener.close();
        await tool.stop();
      }
    });
  }

  test('our client proves its certificate to s_server, as often as it asks', async () => {
    const port = await freePort();
    const { cert, key } = pemFiles('later-server', serverPem);
    const tool = new ToolProcess('openssl', [
      ...['s_server', '-accept', `127.0.0.1:${port}`, '-tls1_3', '-cert', cert, '-key', key],
      ...['-CAfile', authorityFile],
    ]);
    let host: Host | undefined;
    try {
      await tool.until('ACCEPT');
      const socket = netConnect(port, '127.0.0.1');
      await once(socket, 'connect');
      const connection = Connection.client({
        provider: nodeProvider,
        now: Date.now,
        serverName: 'localhost',
        credentials: [credentialOf(clientPem)],
      });
      host = new Host(connection, socket);
      host.take(connection.start());
      await eventually('the handshake', () => host?.complete === true);
      for (const round of [1, 2]) {
        tool.write('c\n');
        await tool.until(() => (tool.text.match(/verify return:1/g) ?? []).length >= 2 * round);
        host.take(connection.send(utf8(`line ${round}\n`)));
        await tool.until(`line ${round}`);
      }
      assert.equal(host.error, undefined);
      assert.match(tool.text, /A server with ed25519/);
    } finally {
      host?.end();
      await tool.stop();
    }
  });
});
