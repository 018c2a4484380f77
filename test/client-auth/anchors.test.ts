/** Authorities that are added and removed while a server runs: whom it believes is decided by those that it has now. */

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { derToPem } from '../../src/certificates/pem.ts';
import * as tls from '../../src/node/tls.ts';
import { type Authority, DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { closing, listen, localhost, only, serverOptions, trust, versions } from '../node/support.ts';

const validity = { notBefore: Date.now() - DAY, notAfter: Date.now() + 30 * DAY };
const north = makeRoot({ subject: 'North', ...validity });
const south = makeRoot({ subject: 'South', ...validity });
/** Another key under the same name: what a removed authority might be replaced by. */
const newNorth = makeRoot({ subject: 'North', ...validity });

function member(of: Authority): { cert: string; key: string } {
  const leaf = makeLeaf(of, { subject: 'alice', extKeyUsage: null, ...validity });
  return { cert: derToPem(leaf.der), key: leaf.key.privateKeyPem };
}

interface Visit {
  readonly authorized: boolean;
  readonly reused: boolean;
  readonly session: Buffer;
}

for (const version of versions) {
  describe(`a server whose authorities change, ${version},`, () => {
    const start = async (test: TestContext, ca: readonly Authority[], rejectUnauthorized = true) => {
      const options = (cas: readonly Authority[]) => ({
        ...{ ...serverOptions, ...only(version), requestCert: true, rejectUnauthorized },
        ca: cas.map(({ der }) => derToPem(der)),
      });
      const server = tls.createServer(options(ca));
      server.on('tlsClientError', () => {});
      test.after(() => server.close());
      const port = await listen(server);
      const visit = (own: object, session?: Buffer): Promise<Visit | undefined> =>
        new Promise((resolve) => {
          let seen: Pick<Visit, 'authorized' | 'reused'> | undefined;
          let newest: Buffer | undefined;
          server.once('secureConnection', (socket: tls.TLSSocket) => {
            seen = { authorized: socket.authorized, reused: socket.isSessionReused() };
            socket.on('error', () => {}).end('hello');
          });
          const target = { host: '127.0.0.1', port, servername: 'localhost', ...trust, ...own };
          const socket = tls.connect(session === undefined ? target : { ...target, session });
          socket.on('session', (one: Buffer) => {
            newest = one;
          });
          socket.on('error', () => {}).resume();
          socket.once('close', () => {
            server.removeAllListeners('secureConnection');
            resolve(seen === undefined || newest === undefined ? undefined : { ...seen, session: newest });
          });
        });
      return { visit, trusts: (...cas: Authority[]) => server.setSecureContext(options(cas)) };
    };

    test('lets in nobody of one that it has removed, by a session or without', async (context) => {
      const { visit, trusts } = await start(context, [north, south]);
      const [ours, theirs] = [member(north), member(south)];
      const [a, b, c] = [await visit(ours), await visit(ours), await visit(theirs)];
      assert.ok(a?.authorized && b?.authorized && c?.authorized);
      assert.equal((await visit(ours, a.session))?.reused, true);
      trusts(south);
      assert.equal(await visit(ours, b.session), undefined);
      assert.equal(await visit(ours), undefined);
      // The others are asked anew, and let in.
      const again = await visit(theirs, c.session);
      assert.deepEqual([again?.authorized, again?.reused], [true, false]);
    });

    test('that tells instead of refusing, tells by those that it has now', async (context) => {
      const { visit, trusts } = await start(context, [north], false);
      const ours = member(north);
      const [a, b] = [await visit(ours), await visit(ours)];
      assert.ok(a?.authorized && b?.authorized);
      trusts(south);
      const later = await visit(ours, a.session);
      assert.deepEqual([later?.authorized, later?.reused], [false, false]);
      trusts(north, south);
      assert.equal((await visit(ours, later?.session))?.authorized, true, 'nor is a refusal remembered');
    });

    test('does not take one for another of the same name', async (context) => {
      const { visit, trusts } = await start(context, [north]);
      const [old, fresh] = [member(north), member(newNorth)];
      const a = await visit(old);
      assert.ok(a?.authorized);
      assert.equal(await visit(fresh), undefined);
      trusts(newNorth);
      assert.equal(await visit(old, a.session), undefined);
      assert.equal((await visit(fresh))?.authorized, true);
    });
  });
}

test('a client judges the session of a server anew by the authorities that it is given', async (context) => {
  const server = tls.createServer(serverOptions, (socket) => socket.on('error', () => {}).end('hello'));
  context.after(() => server.close());
  const port = await listen(server);
  const visit = async (options: tls.ConnectionOptions): Promise<[string, Buffer | undefined]> => {
    const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...options });
    let session: Buffer | undefined;
    socket.on('session', (one: Buffer) => {
      session = one;
    });
    const told = new Promise<string>((resolve) => {
      socket.once('secureConnect', () => resolve(`${socket.authorized} ${socket.isSessionReused()}`));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    });
    socket.resume();
    await closing(socket);
    return [await told, session];
  };
  const strangers = { ca: derToPem(north.der) };
  const next = async () => (await visit(trust))[1];
  assert.equal((await visit({ ...trust, session: await next() }))[0], 'true true');
  assert.equal((await visit({ ...strangers, session: await next() }))[0], 'TLS_ERR_UNKNOWN_CA');
  const lax = { ...strangers, rejectUnauthorized: false };
  assert.equal((await visit({ ...lax, session: await next() }))[0], 'false true');
  assert.equal((await visit({ ...lax, ca: localhost.certificatePem, session: await next() }))[0], 'true true');
  assert.equal(
    (await visit({ ...trust, servername: 'example.com', session: await next() }))[0],
    'TLS_ERR_CERTIFICATE_NAME',
  );
  const pinned = { ...trust, checkServerIdentity: () => new Error('another pin') };
  assert.equal((await visit({ ...pinned, session: await next() }))[0], 'TLS_ERR_CERTIFICATE_NAME');
  const alike = { ...trust, servername: 'LOCALHOST', session: await next() };
  assert.match((await visit(alike))[0], /^true/);
});
