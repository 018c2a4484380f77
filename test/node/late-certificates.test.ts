/**
 * Client certificates that are asked for on the running connection, once it is known what for: in TLS 1.2 by renegotiation,
 * in TLS 1.3 by authentication after the handshake. And the time that such a handshake may take.
 */

import assert from 'node:assert/strict';
import { createPrivateKey, sign } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { Agent as UndiciAgent, request as undiciRequest } from 'undici';
import type { PeerCertificate } from '../../src/certificates/peer-certificate.ts';
import * as ourHttp2 from '../../src/node/http2.ts';
import * as https from '../../src/node/https.ts';
import type { ConnectionOptions, TLSError, TLSSocket, TlsOptions } from '../../src/node/tls.ts';
import { createConnector } from '../../src/node/undici.ts';
import { alice, clientCa, mallory } from './client-support.ts';
import {
  between,
  closed,
  closing,
  collect,
  delay,
  listen,
  mayfly,
  native,
  only,
  serverOptions,
  trust,
  type Version,
  versions,
} from './support.ts';

interface Met {
  readonly client: TLSSocket;
  readonly socket: TLSSocket;
  end(): Promise<void>;
}

async function meet(
  version: Version,
  options: TlsOptions = {},
  own: ConnectionOptions = {},
  clientTls = mayfly,
): Promise<Met> {
  const { serve, connect } = between(mayfly, clientTls, version);
  const [server, port] = await serve({ ca: clientCa.pem, ...options }, (socket) => socket.resume());
  const accepted = once(server, 'secureConnection');
  const client = connect(port, own);
  await once(client, 'secureConnect');
  client.resume();
  const [socket] = (await accepted) as [TLSSocket];
  return {
    client,
    socket,
    async end() {
      client.destroy();
      socket.destroy();
      await closed(server);
    },
  };
}

function subject(socket: TLSSocket): unknown {
  return (socket.getPeerCertificate() as Partial<PeerCertificate>).subject?.CN;
}

type Asking = Parameters<TLSSocket['requestClientCertificate']>[0];

function ask(socket: TLSSocket, options: Asking = {}): Promise<TLSError | null> {
  return new Promise((resolve) => {
    socket.requestClientCertificate(options, (error) => resolve(error as TLSError | null));
  });
}

for (const version of versions) {
  describe(`requestClientCertificate, ${version}`, () => {
    test('tells who the client is, and data flows before, meanwhile and after', async () => {
      const { client, socket, end } = await meet(version, {}, alice);
      assert.deepEqual([socket.authorized, socket.authorizationError, subject(socket)], [false, null, undefined]);
      const received: Buffer[] = [];
      client.on('data', (chunk) => received.push(chunk));
      const arrived: Buffer[] = [];
      socket.on('data', (chunk) => arrived.push(chunk));
      socket.write('one ');
      client.write('uno ');
      const answered = ask(socket);
      socket.write('two ');
      client.write('due ');
      assert.equal(await answered, null);
      assert.deepEqual([socket.authorized, socket.authorizationError, subject(socket)], [true, null, 'alice']);
      socket.end('three');
      client.end('tre');
      await Promise.all([closing(client), closing(socket)]);
      assert.equal(Buffer.concat(received).toString(), 'one two three');
      assert.equal(Buffer.concat(arrived).toString(), 'uno due tre');
      await end();
    });

    test('ends the connection of a client without a certificate that is trusted', async () => {
      for (const [who, code, alert] of [
        [{ cert: undefined }, version === 'TLSv1.3' ? 'TLS_ERR_WRONG_STATE' : 'TLS_ERR_CERTIFICATE_REQUIRED', /./],
        [mallory, 'TLS_ERR_UNKNOWN_CA', /unknown_ca/],
      ] as const) {
        const { client, socket, end } = await meet(version, {}, who);
        const failed = new Promise<Error>((resolve) => client.once('error', resolve));
        socket.on('error', () => {});
        assert.equal((await ask(socket))?.code, code);
        assert.equal(socket.authorized, false);
        if (code !== 'TLS_ERR_WRONG_STATE') {
          assert.match((await failed).message, alert);
          assert.equal(socket.destroyed, true);
        }
        await end();
      }
    });

    test('with rejectUnauthorized false tells and goes on; what is asked later counts', async () => {
      const { socket, end } = await meet(version, {}, mallory);
      assert.equal(await ask(socket, { rejectUnauthorized: false }), null);
      assert.deepEqual(
        [socket.authorized, socket.authorizationError, subject(socket)],
        [false, 'TLS_ERR_UNKNOWN_CA', 'mallory'],
      );
      // From here on as it was asked before.
      assert.equal(await ask(socket), null);
      assert.equal(socket.authorized, false);
      socket.on('error', () => {});
      assert.equal((await ask(socket, { rejectUnauthorized: true }))?.code, 'TLS_ERR_UNKNOWN_CA');
      await end();
    });

    test('takes a ca of its own', async () => {
      const { socket, end } = await meet(version, { ca: undefined }, alice);
      assert.equal(await ask(socket, { ca: clientCa.pem }), null);
      assert.deepEqual([socket.authorized, subject(socket)], [true, 'alice']);
      await end();
    });

    test('a request that cannot be made changes nothing in the one that is open', async () => {
      const { client, socket, end } = await meet(version, {}, mallory);
      const failed = new Promise<Error>((resolve) => client.once('error', resolve));
      socket.on('error', () => {});
      const first = ask(socket);
      assert.equal((await ask(socket, { rejectUnauthorized: false }))?.code, 'TLS_ERR_WRONG_STATE');
      assert.equal((await first)?.code, 'TLS_ERR_UNKNOWN_CA');
      assert.match((await failed).message, /unknown_ca/);
      await end();
    });

    test('is refused at a client, on a closed connection, and on HTTP/2', async () => {
      const { client, socket, end } = await meet(version, {}, alice);
      assert.equal((await ask(client))?.code, 'TLS_ERR_WRONG_STATE');
      socket.end();
      assert.equal((await ask(socket))?.code, 'TLS_ERR_WRONG_STATE');
      assert.equal(socket.requestClientCertificate(), false);
      await end();
      const h2 = await meet(version, { ALPNProtocols: ['h2'] }, { ...alice, ALPNProtocols: ['h2'] });
      assert.equal((await ask(h2.socket))?.code, 'TLS_ERR_NOT_SUPPORTED');
      await h2.end();
    });

    test('fails when the client closes instead of answering', async () => {
      const { client, socket, end } = await meet(version, { allowHalfOpen: true }, alice);
      client.end();
      const error = await ask(socket);
      assert.equal(error?.code, 'TLS_ERR_WRONG_STATE');
      await end();
    });
  });

  describe(`handshakes on the running connection that come to no end, ${version}`, () => {
    /** A client behind a wire that can be cut: nothing it sends arrives any more. */
    async function meetOverWire(options: TlsOptions, own: ConnectionOptions): Promise<Met & { cut(): void }> {
      const { serve, connect } = between(mayfly, mayfly, version);
      const [server, port] = await serve({ ca: clientCa.pem, ...options }, (socket) => socket.resume());
      const wires: Socket[] = [];
      const wire = createTcpServer((near) => {
        const far = connectTcp(port, '127.0.0.1');
        near.pipe(far).pipe(near);
        wires.push(near, far);
        near.on('error', () => {});
        far.on('error', () => {});
      });
      const accepted = once(server, 'secureConnection');
      const client = connect(await listen(wire), own);
      client.on('error', () => {});
      await once(client, 'secureConnect');
      client.resume();
      const [socket] = (await accepted) as [TLSSocket];
      return {
        client,
        socket,
        cut() {
          for (const end of wires) {
            end.unpipe();
            end.resume();
          }
        },
        async end() {
          client.destroy();
          socket.destroy();
          for (const end of wires) {
            end.destroy();
          }
          wire.close();
          await closed(server);
        },
      };
    }

    test('end with TLS_ERR_HANDSHAKE_TIMEOUT at a server that asked for a certificate', async () => {
      const { socket, cut, end } = await meetOverWire({}, alice);
      limit(socket, 50);
      const failed = once(socket, 'error');
      cut();
      assert.equal((await ask(socket))?.code, 'TLS_ERR_HANDSHAKE_TIMEOUT');
      assert.equal((await failed)[0].code, 'TLS_ERR_HANDSHAKE_TIMEOUT');
      await end();
    });

    test('leave no timer behind when they come to an end, also where a signer took its time', async () => {
      const key = createPrivateKey(alice.key);
      const signer = async (_scheme: unknown, data: Uint8Array) => {
        await delay(20);
        return sign('sha256', data, key);
      };
      const { socket, client, end } = await meet(version, {}, { cert: alice.cert, sign: signer });
      limit(socket, 1_000);
      limit(client, 1_000);
      assert.equal(await ask(socket), null);
      await delay(1_200);
      assert.deepEqual([socket.destroyed, client.destroyed], [false, false]);
      await end();
    });

    if (version === 'TLSv1.2') {
      for (const side of ['client', 'server'] as const) {
        test(`end with TLS_ERR_HANDSHAKE_TIMEOUT at a ${side} that renegotiates`, async () => {
          const met = await meetOverWire({}, {});
          const asking = side === 'client' ? met.client : met.socket;
          limit(asking, 50);
          asking.on('error', () => {});
          met.cut();
          const error = await new Promise<TLSError | null>((resolve) => {
            asking.renegotiate({}, (outcome) => resolve(outcome as TLSError | null));
          });
          assert.equal(error?.code, 'TLS_ERR_HANDSHAKE_TIMEOUT');
          assert.equal(asking.destroyed, true);
          await met.end();
        });
      }

      test('end the same way when the peer began them and says no more', async () => {
        const met = await meetOverWire({ clientRenegotiations: 1 }, {});
        limit(met.socket, 50);
        const failed = once(met.socket, 'error');
        met.client.renegotiate({});
        // The hello is on its way; what answers the server's flight is not.
        await handshaking(met.socket);
        met.cut();
        const [error] = await failed;
        assert.equal(error.code, 'TLS_ERR_HANDSHAKE_TIMEOUT');
        await met.end();
      });
    }
  });

  describe(`an application that asks once the path is known, ${version}`, () => {
    interface Request extends IncomingMessage {
      readonly socket: TLSSocket & IncomingMessage['socket'];
    }
    type Handler = (request: Request, response: ServerResponse & { json(value: unknown): void }) => void;
    const express = createRequire(import.meta.url)('express') as () => {
      get(path: string, ...handlers: ((...args: never[]) => void)[]): void;
    } & ((request: IncomingMessage, response: ServerResponse) => void);

    test('knows its clients where it has to, over https', async () => {
      const app = express();
      const show: Handler = (request, response) => {
        const { socket } = request;
        response.json({ authorized: socket.authorized, who: subject(socket) ?? null });
      };
      const membersOnly = (request: Request, response: ServerResponse, next: (error?: Error) => void) => {
        if (request.socket.authorized) {
          next();
          return;
        }
        request.socket.requestClientCertificate({ rejectUnauthorized: false }, (error) => {
          if (error === null && request.socket.authorized) {
            next();
            return;
          }
          response.statusCode = 401;
          response.end(error?.message ?? String(request.socket.authorizationError));
        });
      };
      app.get('/', show);
      app.get('/members', membersOnly, show);
      const server = https.createServer({ ...serverOptions, ...only(version), ca: clientCa.pem }, app);
      const port = await listen(server);
      const get = async (agent: https.Agent, path: string) => {
        const made = https.get({ host: '127.0.0.1', servername: 'localhost', port, path, agent: agent as never });
        const [response] = (await once(made, 'response')) as [IncomingMessage];
        return { status: response.statusCode, text: String(await collect(response)), reused: made.reusedSocket };
      };
      const options = { ...trust, keepAlive: true, maxSockets: 1 };
      const member = new https.Agent({ ...options, ...alice });
      assert.equal((await get(member, '/')).text, '{"authorized":false,"who":null}');
      for (let i = 0; i < 2; i++) {
        const { text, reused } = await get(member, '/members');
        assert.equal(text, '{"authorized":true,"who":"alice"}');
        assert.equal(reused, true);
      }
      const stranger = new https.Agent({ ...options, ...mallory });
      assert.deepEqual(await get(stranger, '/members'), { status: 401, text: 'TLS_ERR_UNKNOWN_CA', reused: false });
      assert.equal((await get(stranger, '/')).text, '{"authorized":false,"who":"mallory"}');
      const nobody = new https.Agent(options);
      assert.equal((await get(nobody, '/members')).status, 401);
      assert.equal((await get(nobody, '/')).status, 200);
      for (const agent of [member, stranger, nobody]) {
        agent.destroy();
      }
      await closed(server);
    });

    test('and those that ask in the handshake: req.socket tells, over https and http2', async () => {
      const tell = (request: { socket: unknown }, response: { end(text: string): void }) => {
        const { authorized, authorizationError } = request.socket as TLSSocket;
        response.end(`${authorized} ${authorizationError} ${subject(request.socket as TLSSocket)}`);
      };
      const asking = {
        ...serverOptions,
        ...only(version),
        requestCert: true,
        rejectUnauthorized: false,
        ca: clientCa.pem,
      };
      const server = https.createServer(asking, tell as never);
      const port = await listen(server);
      const h2 = ourHttp2.createSecureServer(asking, tell as never);
      const h2port = await listen(h2 as never);
      for (const [who, told] of [
        [alice, 'true null alice'],
        [mallory, 'false TLS_ERR_UNKNOWN_CA mallory'],
        [{}, 'false TLS_ERR_CERTIFICATE_REQUIRED undefined'],
      ] as const) {
        const made = https.get({ host: '127.0.0.1', servername: 'localhost', port, agent: false, ...trust, ...who });
        const [response] = (await once(made, 'response')) as [IncomingMessage];
        assert.equal(String(await collect(response)), told);
        const dispatcher = new UndiciAgent({ connect: createConnector({ ...trust, ...who }) as never });
        assert.equal(await (await undiciRequest(`https://localhost:${port}`, { dispatcher })).body.text(), told);
        await dispatcher.close();
        const session = ourHttp2.connect(`https://localhost:${h2port}`, { ...trust, ...who });
        const stream = session.request({ ':path': '/' });
        assert.equal(String(await collect(stream)), told);
        session.close();
        await once(session, 'close');
      }
      await Promise.all([closed(server), closed(h2 as never)]);
    });
  });
}

describe('renegotiate', () => {
  for (const [name, clientTls] of [
    ['mayfly', mayfly],
    ['node:tls', native],
  ] as const) {
    test(`asks a client of ${name} for its certificate as node:tls does`, async () => {
      const { socket, end } = await meet('TLSv1.2', {}, alice, clientTls);
      const secured = once(socket, 'secure');
      const begun = await new Promise<Error | null>((resolve) => {
        assert.equal(socket.renegotiate({ requestCert: true, rejectUnauthorized: true }, resolve), true);
      });
      assert.equal(begun, null);
      await secured;
      assert.deepEqual([socket.authorized, subject(socket)], [true, 'alice']);
      // For fresh keys: the client stays who it is.
      assert.equal(await new Promise((resolve) => socket.renegotiate({}, resolve)), null);
      assert.deepEqual([socket.authorized, subject(socket)], [true, 'alice']);
      await end();
    });
  }

  test('a client that declines goes on as it was, and the callback tells', async () => {
    const { socket, end } = await meet('TLSv1.2', {}, { ...alice, serverRenegotiations: 0 });
    const error = await ask(socket);
    assert.equal(error?.code, 'TLS_ERR_ALERT_RECEIVED');
    assert.deepEqual([socket.authorized, socket.destroyed], [false, false]);
    await end();
  });

  test('a client cannot change its mind on rejectUnauthorized, and TLS 1.3 says what to do instead', async () => {
    const met = await meet('TLSv1.2');
    const outcome = (socket: TLSSocket, options: object) =>
      new Promise<TLSError>((resolve) => socket.renegotiate(options, (error) => resolve(error as TLSError)));
    assert.equal((await outcome(met.client, { rejectUnauthorized: false })).code, 'TLS_ERR_NOT_SUPPORTED');
    await met.end();
    const newer = await meet('TLSv1.3');
    const refused = await outcome(newer.socket, { requestCert: true });
    assert.equal(refused.code, 'TLS_ERR_NOT_SUPPORTED');
    assert.match(refused.message, /requestClientCertificate/);
    await newer.end();
  });
});

/** The time for handshakes from now on. The first one had more, so that a busy machine does not fail the test. */
function limit(socket: TLSSocket, handshakeTimeout: number): void {
  Object.assign((socket as unknown as { driver: object }).driver, { handshakeTimeout });
}

/** Looks until the peer's hello of a renegotiation has come. */
async function handshaking(socket: TLSSocket): Promise<void> {
  const { connection } = socket as unknown as { connection: { state: string } };
  while (connection.state === 'Connected') {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
