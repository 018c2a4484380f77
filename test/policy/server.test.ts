/** Servers under a policy: what is agreed, what is remembered, and what is said when an option is weaker. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import * as nodeTls from 'node:tls';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { systemClock } from '../../src/node/clock.ts';
import * as mayfly from '../../src/node/tls.ts';
import { resolvePolicy } from '../../src/policy/policy.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { listen, localhost, serverOptions, trust } from '../node/support.ts';

const HOUR = 3_600_000;

/** What the process was warned of while `call` ran. */
async function warnings<T>(call: () => T): Promise<{ result: T; told: readonly string[] }> {
  const told: string[] = [];
  const listener = (warning: Error & { code?: string }) => {
    if (warning.code === 'MAYFLY_POLICY_WEAKENED') {
      told.push(warning.message);
    }
  };
  process.on('warning', listener);
  try {
    const result = call();
    await new Promise((resolve) => setImmediate(resolve));
    return { result, told };
  } finally {
    process.off('warning', listener);
  }
}

async function serve(t: TestContext, options: mayfly.TlsOptions) {
  const server = mayfly.createServer({ ...serverOptions, ...options }, (socket) => {
    // Clients come and go here.
    socket.on('error', () => {});
    socket.end('hello');
  });
  server.on('tlsClientError', () => {});
  t.after(() => server.close());
  const port = await listen(server);
  return { server, port, at: { host: '127.0.0.1', port, servername: 'localhost', ...trust } };
}

describe('a server', () => {
  it('without a policy has the default one, to the last value', () => {
    const server = mayfly.createServer(serverOptions);
    const { weakened, explain: _, ...policy } = server.policy;
    assert.deepEqual(policy, resolvePolicy('default'));
    assert.deepEqual(weakened, []);
    server.sessions.close();
  });

  it('under each preset has just that, and no warning', async () => {
    for (const name of ['strict', 'default', 'compatible'] as const) {
      const { result: server, told } = await warnings(() => mayfly.createServer({ ...serverOptions, policy: name }));
      const { weakened: _, explain: __, ...policy } = server.policy;
      assert.deepEqual(policy, resolvePolicy(name));
      assert.deepEqual(told, []);
      server.sessions.close();
    }
  });

  it('that is strict agrees on TLS 1.3 with X25519MLKEM768, resumes with it, and refuses all else', async (t) => {
    const { server, at } = await serve(t, { policy: 'strict' });
    const first = mayfly.connect(at);
    const [session] = await once(first, 'session');
    assert.equal(first.mayfly?.namedGroup, 'X25519MLKEM768');
    assert.equal(first.getProtocol(), 'TLSv1.3');
    first.destroy();
    const second = mayfly.connect({ ...at, session });
    await once(second, 'secureConnect');
    assert.equal(second.isSessionReused(), true);
    assert.equal(second.mayfly?.namedGroup, 'X25519MLKEM768', 'a key exchange in the resumption too');
    second.destroy();
    const old = nodeTls.connect({ ...at, maxVersion: 'TLSv1.2' });
    const [versionError] = await once(old, 'error');
    assert.match(versionError.code, /PROTOCOL_VERSION|HANDSHAKE_FAILURE/);
    const classical = mayfly.connect({ ...at, ecdhCurve: 'X25519' });
    const [groupError] = await once(classical, 'error');
    assert.equal(groupError.code, 'TLS_ERR_ALERT_RECEIVED');
    assert.equal(server.counters.full, 1);
    assert.equal(server.counters.resumed, 1);
  });

  it('keeps what its policy says of sessions in its ring and tickets', async (t) => {
    const policy = { sealUntil: '10m', ticketLifetime: '20m', ticketsPerConnection: 3, maxSessions: 7 } as const;
    const { server, at } = await serve(t, { policy });
    const [key] = server.sessions.status();
    assert.equal(key.sealUntil - key.sealFrom, HOUR / 6);
    assert.equal(key.openUntil - key.createdAt, HOUR / 2);
    assert.equal(server.sessions.policy?.ticketsPerConnection, 3);
    assert.equal(server.sessions.policy?.ticketLifetime, 1200);
    const socket = mayfly.connect(at);
    let tickets = 0;
    socket.on('session', () => tickets++);
    socket.resume();
    await once(socket, 'close');
    assert.equal(tickets, 3);
    assert.equal(server.policy.maxSessions, 7);
    assert.match(server.policy.explain()[1].sentences.join(' '), /at most 20m before/);
  });

  it('lets an option go before its policy, and says once where that protects less', async () => {
    const options: [mayfly.TlsOptions, string[]][] = [
      [{ sessions: { rotate: '2h' } }, ['sealUntil']],
      [{ sessions: { ticketLifetime: '5h', handshakeValidity: '7d' } }, ['ticketLifetime', 'handshakeValidity']],
      [{ sessionTimeout: 7200 }, ['ticketLifetime']],
      [{ sessions: { earlyData: true } }, ['earlyData']],
      [
        { sessions: { dangerouslyLongTls12Sessions: true, sessionIds: true } },
        ['sessionIds', 'dangerouslyLongTls12Sessions'],
      ],
      [{ idleTimeout: 0 }, ['idleTimeout']],
      [{ keyRenewal: false }, ['keyRenewal']],
      [{ keyRenewal: { afterMilliseconds: 700_000 } }, ['keyRenewal']],
      [{ ecdhCurve: 'X25519MLKEM768:X25519' }, ['namedGroups']],
      [{ minVersion: 'TLSv1.2', ecdhCurve: 'X25519MLKEM768:X25519' }, ['versions', 'namedGroups']],
      [{ dangerouslyAllowPskKe: true }, ['pskModes']],
    ];
    for (const [given, expected] of options) {
      const { result: server, told } = await warnings(() =>
        mayfly.createServer({ ...serverOptions, policy: 'strict', ...given }),
      );
      assert.deepEqual(
        server.policy.weakened.map(({ what }) => what),
        expected,
      );
      assert.equal(told.length, 1, JSON.stringify(given));
      for (const what of expected) {
        assert(told[0].includes(what), told[0]);
      }
      server.sessions.close();
    }
  });

  it('is told nothing where an option protects more, or no policy was named', async () => {
    const stricter: mayfly.TlsOptions[] = [
      { policy: 'strict', sessions: { rotate: '5m', ticketLifetime: '5m', tickets: false }, idleTimeout: 1000 },
      { policy: 'strict', keyRenewal: { afterMilliseconds: 60_000, afterBytes: 2 ** 20 } },
      { policy: 'default', minVersion: 'TLSv1.3', ecdhCurve: 'X25519' },
      { sessions: { rotate: '6h', earlyData: true }, idleTimeout: 0, keyRenewal: false },
    ];
    for (const given of stricter) {
      const { result: server, told } = await warnings(() => mayfly.createServer({ ...serverOptions, ...given }));
      assert.deepEqual(told, []);
      assert.deepEqual(server.policy.weakened, []);
      server.sessions.close();
    }
  });

  it('holds contexts that were made elsewhere to its policy, also those that come later', async (t) => {
    const wide = mayfly.createSecureContext({ ...serverOptions, minVersion: 'TLSv1.2' });
    const { server, at } = await serve(t, { policy: 'strict', secureContext: wide });
    assert.deepEqual(server.policy.versions, ['TLSv1.3']);
    assert.deepEqual(server.policy.weakened, []);
    server.setSecureContext({ ...serverOptions, minVersion: 'TLSv1.2' });
    const old = nodeTls.connect({ ...at, maxVersion: 'TLSv1.2' });
    await once(old, 'error');
    for (const nothing of [{ maxVersion: 'TLSv1.2' }, { ecdhCurve: 'X25519' }]) {
      assert.throws(() => server.setSecureContext({ ...serverOptions, ...nothing }), { code: 'TLS_ERR_CONFIG' });
    }
    const socket = mayfly.connect(at);
    await once(socket, 'secureConnect');
    socket.destroy();
  });

  it('refuses a policy under which no handshake could succeed', () => {
    const refused: mayfly.TlsOptions[] = [
      { policy: 'strict', minVersion: 'TLSv1.2' },
      { policy: 'strict', secureContext: mayfly.createSecureContext({ ...serverOptions, maxVersion: 'TLSv1.2' }) },
      { policy: 'strict', secureContext: mayfly.createSecureContext({ ...serverOptions, ecdhCurve: 'X25519' }) },
      { policy: 'lenient' as 'strict' },
      { policy: { sealUntil: '8h' } },
    ];
    for (const options of refused) {
      assert.throws(() => mayfly.createServer({ ...serverOptions, ...options }), { code: 'TLS_ERR_CONFIG' });
    }
  });

  it('with a ring made elsewhere is told when that ring turns too slowly for its policy', async () => {
    using keys = new LocalTicketKeys({ provider, clock: systemClock, rotateEvery: 2 * HOUR, ticketLifetime: HOUR });
    const { result: server, told } = await warnings(() =>
      mayfly.createServer({ ...serverOptions, policy: 'strict', sessions: { keys } }),
    );
    assert.deepEqual(
      server.policy.weakened.map(({ what }) => what),
      ['sealUntil'],
    );
    assert.equal(told.length, 1);
    server.sessions.close();
  });

  it('limits the use of its keys as the policy says', async (t) => {
    const { server, port } = await serve(t, { policy: { usageLimit: 8 } });
    server.removeAllListeners('secureConnection');
    server.on('secureConnection', (socket) => {
      socket.on('error', () => {});
      socket.setMaxSendFragment(512);
      socket.end(Buffer.alloc(20_000));
    });
    const socket = mayfly.connect({ host: '127.0.0.1', port, servername: 'localhost', ca: trust.ca });
    let length = 0;
    socket.on('data', (bytes: Buffer) => {
      length += bytes.length;
    });
    await once(socket, 'close');
    assert.equal(length, 20_000);
    assert(server.counters.keyUpdates >= 4, `${server.counters.keyUpdates} KeyUpdates`);
    assert.ok(localhost);
  });
});
