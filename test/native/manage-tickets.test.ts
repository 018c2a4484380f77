/** The ring under servers of Node's own modules: OpenSSL seals and opens with its keys, and with no others. */

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import * as nodeHttp2 from 'node:http2';
import * as nodeHttps from 'node:https';
import { after, describe, test } from 'node:test';
import type * as nodeTls from 'node:tls';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { systemClock } from '../../src/node/clock.ts';
import { OpenSslTicketKeys } from '../../src/node/native/ticket-keys.ts';
import { type ManageTicketsOptions, manageTickets } from '../../src/node/native.ts';
import type { ExternalSessionCache } from '../../src/session/external-session-cache.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import type { TicketKeySource } from '../../src/session/ticket-key.ts';
import { closed, listen, serverOptions, trust, type Version, versions } from '../node/support.ts';
import { SimulatedClock } from '../session/simulated-clock.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { nativeServer, newRing, visit } from './support.ts';

const watch = new SecretWatch();
after(() => watch.stop());

async function serving(
  ring: TicketKeySource | undefined,
  use: (port: number, server: nodeTls.Server, tickets: ReturnType<typeof manageTickets>) => Promise<void>,
  options: ManageTicketsOptions & { readonly tls?: nodeTls.TlsOptions } = {},
): Promise<void> {
  const server = nativeServer(options.tls);
  const tickets = manageTickets(server, ring, options);
  const port = await listen(server);
  try {
    await use(port, server, tickets);
  } finally {
    await closed(server);
    tickets.stop();
  }
}

/** The session that comes of a full handshake. */
async function newSession(port: number, version: Version, options: nodeTls.ConnectionOptions = {}): Promise<Buffer> {
  const { reused, session } = await visit(port, version, undefined, options);
  assert(!reused && session !== undefined);
  return session;
}

for (const version of versions) {
  describe(`${version} at a node:tls server with a ring`, () => {
    test('resumes, and goes on to as often as the client comes back', async () => {
      await serving(undefined, async (port, _server, tickets) => {
        assert.equal(await tickets.mode, 'callback');
        let session = await newSession(port, version);
        for (let i = 0; i < 6; i++) {
          const next = await visit(port, version, session);
          assert(next.reused, `at the ${i + 1}th return`);
          session = next.session ?? session;
        }
        assert(tickets.counts.sealed >= 2 && tickets.counts.opened >= 6);
      });
    });

    test('a rotation leaves the tickets that are out as they are, a flush ends them', async () => {
      const ring = newRing();
      await serving(ring, async (port, _server, tickets) => {
        const session = await newSession(port, version);
        ring.rotate();
        assert((await visit(port, version, session)).reused);
        const other = await newSession(port, version);
        ring.flush();
        assert(!(await visit(port, version, other)).reused);
        assert.equal(tickets.counts.unknownKey > 0, true);
      });
      ring.close();
    });

    test('two servers with one ring take each other’s tickets, two with one ring each do not', async () => {
      const ring = newRing();
      await serving(ring, async (first) => {
        await serving(ring, async (second) => {
          assert((await visit(second, version, await newSession(first, version))).reused);
          assert((await visit(first, version, await newSession(second, version))).reused);
          await serving(undefined, async (stranger) => {
            assert(!(await visit(stranger, version, await newSession(first, version))).reused);
          });
        });
      });
      ring.close();
    });

    test('servers of another name, or with another trust in clients, do not, for all that they share the ring', async () => {
      const ring = newRing();
      await serving(ring, async (port) => {
        const others: (ManageTicketsOptions & { tls?: nodeTls.TlsOptions })[] = [
          { sessionIdContext: 'another service' },
          { tls: { requestCert: true, rejectUnauthorized: false, ca: trust.ca } },
        ];
        for (const options of others) {
          const use = async (other: number) => {
            assert(!(await visit(other, version, await newSession(port, version))).reused);
          };
          await serving(ring, use, options);
        }
      });
      ring.close();
    });

    test('the ring stays in place when the certificate is replaced', async () => {
      await serving(undefined, async (port, server) => {
        const session = await newSession(port, version);
        server.setSecureContext(serverOptions);
        assert((await visit(port, version, session)).reused);
      });
    });

    test('a ring without a sealing key gives no ticket, and the handshake does without', async () => {
      const empty: TicketKeySource = { sealingKey: () => undefined, openingKey: () => undefined, status: () => [] };
      await serving(empty, async (port, _server, tickets) => {
        const { session } = await visit(port, version);
        if (session !== undefined) {
          assert(!(await visit(port, version, session)).reused);
        }
        assert(tickets.counts.withoutKey > 0);
        assert.equal(tickets.counts.sealed, 0);
      });
    });

    test('after stop no ticket is made or opened, and nothing of the ring is left', async () => {
      const ring = newRing();
      watch.clear();
      const server = nativeServer();
      const tickets = manageTickets(server, ring);
      const port = await listen(server);
      const session = await newSession(port, version);
      tickets.stop();
      assert(!(await visit(port, version, session)).reused);
      assert.deepEqual(watch.alive, []);
      await closed(server);
      ring.close();
    });
  });
}

test('what OpenSSL sends is a ticket under the ring’s key: its MAC verifies with what the ring gives', async () => {
  const ring = newRing();
  await serving(ring, async (port) => {
    const socket = (await import('node:tls')).connect({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      ...trust,
      maxVersion: 'TLSv1.2',
    });
    socket.resume();
    await once(socket, 'secureConnect');
    const ticket = socket.getTLSTicket();
    assert(ticket !== undefined);
    await once(socket, 'close');
    const keys = new OpenSslTicketKeys({ keys: ring, clock: systemClock, tls13Only: false });
    const key = keys.opening(new Uint8Array(ticket.subarray(0, 16)));
    assert(key !== undefined, 'the ticket names a key of the ring');
    const mac = createHmac('sha256', key.secret.expose().subarray(0, 32)).update(ticket.subarray(0, -32)).digest();
    assert.deepEqual(mac, ticket.subarray(-32));
    keys.close();
  });
  ring.close();
});

describe('the keys for OpenSSL', () => {
  const clock = new SimulatedClock();

  test('differ by what they are for, come out the same each time, and end with what they came from', () => {
    const ring = new LocalTicketKeys({ provider: nodeProvider, clock });
    watch.clear();
    const both = new OpenSslTicketKeys({ keys: ring, clock, tls13Only: false });
    const tls13 = new OpenSslTicketKeys({ keys: ring, clock, tls13Only: true });
    const name = both.sealing()?.name as Uint8Array;
    assert.deepEqual(both.sealing()?.secret.expose(), both.opening(name)?.secret.expose());
    assert.notDeepEqual(both.sealing()?.secret.expose(), tls13.sealing()?.secret.expose());
    assert.equal(both.ticketLifetime, 3600);
    assert.equal(tls13.ticketLifetime, 7200);
    clock.advance(2 * 3_600_000);
    assert.equal(both.opening(name), undefined, 'secret12 has ended');
    assert.notEqual(tls13.opening(name), undefined);
    clock.advance(3_600_000);
    assert.equal(tls13.opening(name), undefined);
    clock.advance(24 * 3_600_000);
    both.close();
    tls13.close();
    ring.close();
    assert.deepEqual(watch.alive, []);
  });
});

test('https and http2 servers resume by the ring too', async () => {
  const ring = newRing();
  const https = nodeHttps.createServer(serverOptions, (_request, response) => response.end('x'));
  const http2 = nodeHttp2.createSecureServer({ ...serverOptions, allowHTTP1: true }, (_request, response) =>
    response.end('x'),
  );
  const managed = [manageTickets(https, ring), manageTickets(http2, ring)];
  const ports = [await listen(https), await listen(http2)];
  const get = (port: number, session?: Buffer) =>
    new Promise<{ session: Buffer | undefined; reused: boolean }>((resolve, reject) => {
      const request = nodeHttps.get(
        {
          host: '127.0.0.1',
          port,
          servername: 'localhost',
          agent: false,
          session,
          ...trust,
        } as nodeHttps.RequestOptions,
        (response) => {
          const socket = response.socket as nodeTls.TLSSocket;
          const reused = socket.isSessionReused();
          response.resume().once('end', () => resolve({ session: newest, reused }));
        },
      );
      let newest: Buffer | undefined;
      request.once('socket', (socket) =>
        socket.on('session', (made: Buffer) => {
          newest = made;
        }),
      );
      request.once('error', reject);
    });
  for (const [from, to] of [ports, ports.toReversed()]) {
    const { session } = await get(from);
    assert((await get(to, session)).reused);
  }
  for (const tickets of managed) {
    tickets.stop();
  }
  await closed(https);
  await closed(http2);
  ring.close();
});

describe('where Node has no ticket callback', () => {
  test('or one that fails its self-test, it is taken away again', async () => {
    const ring = newRing();
    const server = nativeServer();
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    const tickets = manageTickets(server, ring, {}, async () => 'the moon is full');
    assert.equal(await tickets.mode, 'setTicketKeys');
    assert.match((await warned).message, /the moon is full/);
    const port = await listen(server);
    for (const version of versions) {
      const session = await newSession(port, version);
      assert((await visit(port, version, session)).reused);
    }
    assert.equal(tickets.counts.sealed, 0, 'the callback is not asked');
    tickets.stop();
    await closed(server);
    ring.close();
  });

  test('keys go in by setTicketKeys, it is said aloud, and a rotation ends what is out', async () => {
    const ring = newRing();
    const server = nativeServer();
    const { context } = (server as unknown as { _sharedCreds: { context: { enableTicketKeyCallback?: unknown } } })
      ._sharedCreds;
    Object.defineProperty(context, 'enableTicketKeyCallback', { value: undefined });
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    const tickets = manageTickets(server, ring);
    assert.equal(await tickets.mode, 'setTicketKeys');
    assert.equal(((await warned) as NodeJS.ErrnoException).code, 'MAYFLY_NO_TICKET_CALLBACK');
    const port = await listen(server);
    const session = await newSession(port, 'TLSv1.3');
    assert((await visit(port, 'TLSv1.3', session)).reused);
    tickets.stop();
    await closed(server);
    ring.close();
  });
});

describe('sessions by ID in a store outside', () => {
  test('resume at another server, and what is stored is sealed', async () => {
    const stored = new Map<string, Uint8Array>();
    const cache: ExternalSessionCache = {
      get: async (id) => stored.get(Buffer.from(id).toString('hex')),
      set: async (id, value) => void stored.set(Buffer.from(id).toString('hex'), value),
      delete: (id) => void stored.delete(Buffer.from(id).toString('hex')),
    };
    const ring = newRing();
    const options = { cache, tls: { secureOptions: (await import('node:constants')).SSL_OP_NO_TICKET } };
    await serving(
      ring,
      async (first) => {
        await serving(
          ring,
          async (second) => {
            const session = await newSession(first, 'TLSv1.2');
            assert.equal(stored.size, 1);
            assert((await visit(second, 'TLSv1.2', session)).reused);
            const [[id, value]] = stored;
            // A session of OpenSSL begins with a DER sequence, and holds 48 bytes of master secret.
            assert.equal(value[0], 3);
            const tampered = new Uint8Array(value);
            tampered[tampered.length - 20] ^= 1;
            stored.set(id, tampered);
            assert(!(await visit(second, 'TLSv1.2', session)).reused);
            stored.set(id, value);
            ring.flush();
            assert(!(await visit(second, 'TLSv1.2', session)).reused, 'it dies with the ring');
          },
          options,
        );
      },
      options,
    );
    ring.close();
  });

  test('a store that fails costs full handshakes and nothing else', async () => {
    const errors: unknown[] = [];
    const fail = () => Promise.reject(new Error('the store is down'));
    const cache: ExternalSessionCache = { get: fail, set: fail, delete: fail };
    const options = {
      cache,
      onCacheError: (error: unknown) => void errors.push(error),
      tls: { secureOptions: (await import('node:constants')).SSL_OP_NO_TICKET },
    };
    await serving(
      undefined,
      async (port) => {
        const session = await newSession(port, 'TLSv1.2');
        assert(!(await visit(port, 'TLSv1.2', session)).reused);
        assert(errors.length >= 2);
      },
      options,
    );
  });
});

test('what is no server of node:tls is refused, and so is a server that has a ring', () => {
  assert.throws(() => manageTickets({} as never), { code: 'TLS_ERR_CONFIG' });
  const server = nativeServer();
  const tickets = manageTickets(server);
  assert.throws(() => manageTickets(server), { code: 'TLS_ERR_WRONG_STATE' });
  tickets.stop();
});
