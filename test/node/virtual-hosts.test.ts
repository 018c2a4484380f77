/**
 * Sessions and virtual hosts: a session that was made under one trust policy gets nobody into another, whatever the client
 * says of it. The certificate is the same everywhere, so that it is not what keeps them apart.
 */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { ConnectionOptions, TLSSocket } from '../../src/node/tls.ts';
import * as tls from '../../src/node/tls.ts';
import { decodeClientSession, encodeClientSession } from '../../src/session/client-session.ts';
import { alice, type ClientPem, clientCa, clientCertificate, otherClientCa } from './client-support.ts';
import { certificateFor, closed, closing, listen, only, trust, type Version } from './support.ts';

const NAMES = ['open.test', 'asking.test', 'one.test', 'other.test'] as const;
type Name = (typeof NAMES)[number];
const own = certificateFor(...NAMES);
const carol = clientCertificate('carol', { issuer: otherClientCa });

const hosts: Record<
  Name,
  { readonly context: tls.SecureContextOptions; readonly member: ClientPem; readonly required: boolean }
> = {
  'open.test': { context: { ...own, requestCert: false }, member: alice, required: false },
  'asking.test': {
    context: { ...own, requestCert: true, rejectUnauthorized: false, ca: clientCa.pem },
    member: alice,
    required: false,
  },
  'one.test': { context: { ...own, requestCert: true, ca: clientCa.pem }, member: alice, required: true },
  'other.test': { context: { ...own, requestCert: true, ca: otherClientCa.pem }, member: carol, required: true },
};

interface Visit {
  readonly socket: TLSSocket;
  readonly reused: boolean;
  readonly authorized: boolean;
  readonly subject: unknown;
  readonly session: Buffer;
}

/** Undefined when the client was turned away. */
type Visitor = (port: number, options: ConnectionOptions) => Promise<Visit | undefined>;

const ways: readonly (readonly [string, Version, object])[] = [
  ['TLS 1.3', 'TLSv1.3', {}],
  ['TLS 1.2, by ticket', 'TLSv1.2', {}],
  ['TLS 1.2, by ID', 'TLSv1.2', { secureOptions: constants.SSL_OP_NO_TICKET }],
];

/** The same session, said to be of another host. */
function passedOff(session: Buffer, serverName: string): Buffer {
  const decoded = decodeClientSession(session);
  const encoded = encodeClientSession({ ...decoded, serverName });
  return encoded.use((bytes) => Buffer.from(bytes));
}

for (const [way, version, own12] of ways) {
  const seen: Omit<Visit, 'session'>[] = [];
  const onSocket = (socket: TLSSocket) => {
    const { subject } = socket.getPeerCertificate() as { subject?: { CN?: unknown } };
    const { authorized } = socket;
    seen.push({ socket, reused: socket.isSessionReused(), authorized, subject: subject?.CN });
    socket.end('in');
  };
  const visit: Visitor = async (port, options) => {
    const socket = tls.connect({ host: '127.0.0.1', port, ...trust, ...only(version), ...own12, ...options });
    let session: Buffer | undefined;
    let text = '';
    socket.on('session', (newest: Buffer) => {
      session = newest;
    });
    socket.on('data', (chunk) => {
      text += chunk;
    });
    let failed: Error | undefined;
    socket.on('error', (error) => {
      failed = error;
    });
    await closing(socket);
    const last = seen.pop();
    if (text !== 'in') {
      assert.equal(last, undefined);
      assert.match(String(failed), /certificate_required|handshake_failure|unknown_ca/);
      return undefined;
    }
    assert.ok(last !== undefined);
    return { ...last, session: session ?? Buffer.from(options.session ?? []) };
  };

  for (const how of ['addContext', 'SNICallback'] as const) {
    describe(`${way}, hosts by ${how}`, () => {
      let server: tls.Server;
      let port: number;
      before(async () => {
        const contexts = new Map(NAMES.map((name) => [name, tls.createSecureContext(hosts[name].context)]));
        const options: tls.TlsOptions =
          how === 'addContext'
            ? hosts['one.test'].context
            : {
                ...hosts['one.test'].context,
                SNICallback: (name, callback) => callback(null, contexts.get(name as Name)),
              };
        server = tls.createServer({ ...options, ...only(version) }, onSocket);
        if (how === 'addContext') {
          for (const [name, context] of contexts) {
            server.addContext(name, context);
          }
        }
        port = await listen(server);
      });
      after(() => closed(server));

      for (const from of NAMES) {
        test(`a session of ${from} is good there and nowhere else`, async () => {
          const { member } = hosts[from];
          const first = await visit(port, { servername: from, ...member });
          assert.ok(first !== undefined && !first.reused);
          const again = await visit(port, { servername: from, ...member, session: first.session });
          assert.equal(again?.reused, true);
          assert.equal(again?.authorized, from !== 'open.test');
          for (const to of NAMES.filter((name) => name !== from)) {
            const fresh = await visit(port, { servername: from, ...member });
            assert.ok(fresh !== undefined);
            const session = passedOff(fresh.session, to);
            const nobody = await visit(port, { servername: to, session });
            if (hosts[to].required) {
              assert.equal(nobody, undefined, `${from} to ${to}`);
            } else {
              assert.deepEqual(
                [nobody?.reused, nobody?.authorized, nobody?.subject],
                [false, false, undefined],
                `${from} to ${to}`,
              );
            }
            const one = await visit(port, { servername: to, session, ...hosts[to].member });
            assert.equal(one?.reused, false);
            assert.equal(one?.authorized, to !== 'open.test');
          }
        });
      }
    });
  }

  describe(`${way}, one name`, () => {
    test('a session ends with the policy it was made under', async () => {
      const server = tls.createServer({ ...own, ...only(version) }, onSocket);
      const port = await listen(server);
      for (const from of NAMES) {
        for (const to of NAMES) {
          server.addContext('one.test', hosts[from].context);
          const first = await visit(port, { servername: 'one.test', ...hosts[from].member });
          server.addContext('one.test', hosts[to].context);
          const second = await visit(port, { servername: 'one.test', session: first?.session });
          if (from === to) {
            assert.equal(second?.reused, true, from);
          } else {
            assert.notEqual(second?.reused, true, `${from} to ${to}`);
            assert.equal(second === undefined, hosts[to].required, `${from} to ${to}`);
            assert.equal(second?.subject, undefined);
          }
        }
      }
      await closed(server);
    });

    test('servers that share their sessions do not share their clients', async () => {
      const sessions = new tls.ServerSessions();
      const ports = new Map<Name, number>();
      const servers: tls.Server[] = [];
      for (const name of NAMES) {
        const server = tls.createServer({ ...hosts[name].context, ...only(version), sessions }, onSocket);
        servers.push(server);
        ports.set(name, await listen(server));
      }
      for (const from of NAMES) {
        const first = await visit(ports.get(from) as number, { servername: 'one.test', ...hosts[from].member });
        for (const to of NAMES) {
          const second = await visit(ports.get(to) as number, { servername: 'one.test', session: first?.session });
          assert.equal(second?.reused === true, from === to, `${from} to ${to}`);
          assert.equal(second?.authorized === true, from === to && from !== 'open.test', `${from} to ${to}`);
        }
      }
      await Promise.all(servers.map(closed));
    });

    test('a session of one application protocol is not resumed for another', async () => {
      const server = tls.createServer(
        { ...hosts['one.test'].context, ...only(version), ALPNProtocols: ['one', 'two'] },
        onSocket,
      );
      const port = await listen(server);
      const first = await visit(port, { servername: 'one.test', ...alice, ALPNProtocols: ['one'] });
      const same = await visit(port, { servername: 'one.test', ALPNProtocols: ['one'], session: first?.session });
      assert.deepEqual([same?.reused, same?.authorized], [true, true]);
      for (const ALPNProtocols of [['two'], []]) {
        const fresh = await visit(port, { servername: 'one.test', ...alice, ALPNProtocols: ['one'] });
        const options = { servername: 'one.test', ALPNProtocols, session: fresh?.session };
        assert.equal(await visit(port, options), undefined, String(ALPNProtocols));
        assert.equal((await visit(port, { ...options, ...alice }))?.reused, false);
      }
      await closed(server);
    });
  });
}

describe('the sessions that a client keeps', () => {
  for (const [way, version, own12] of ways) {
    test(`${way}: are offered only with the certificate that they were made with`, async () => {
      const subjects: unknown[] = [];
      const server = tls.createServer({ ...hosts['asking.test'].context, ...only(version) }, (socket) => {
        const { subject } = socket.getPeerCertificate() as { subject?: { CN?: unknown } };
        subjects.push([socket.isSessionReused(), subject?.CN]);
        socket.end('in');
      });
      const port = await listen(server);
      const sessionCache = new tls.ClientSessions();
      const bob = clientCertificate('bob');
      const call = async (who: object) => {
        const socket = tls.connect({
          ...{ host: '127.0.0.1', port, servername: 'one.test', ...trust, ...only(version), ...own12 },
          ...{ sessionCache, ...who },
        });
        socket.resume();
        await closing(socket);
        return subjects.pop();
      };
      assert.deepEqual(await call(alice), [false, 'alice']);
      assert.deepEqual(await call(bob), [false, 'bob']);
      assert.deepEqual(await call({}), [false, undefined]);
      assert.deepEqual(await call(alice), [true, 'alice']);
      assert.deepEqual(await call(bob), [true, 'bob']);
      assert.deepEqual(await call({}), [true, undefined]);
      sessionCache.clear();
      await closed(server);
    });
  }
});
