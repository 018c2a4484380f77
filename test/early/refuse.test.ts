import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { checkEarlyData, checkEarlyDataPolicy } from '../../src/session/anti-replay.ts';
import { externalPskTable } from '../../src/session/external-psk.ts';
import { LocalSingleUseRegister } from '../../src/session/single-use-register.ts';
import { sessionState, T0 } from '../session/fixtures.ts';
import type { Link } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import {
  assertRefused,
  assertTaken,
  cloneClientSession,
  EarlyWorld,
  earlyDataOf,
  kindsOf,
  MAX,
  PING,
  rejectedOf,
} from './support.ts';

const watch = new SecretWatch();
let world = new EarlyWorld();
beforeEach(() => {
  world.close();
  watch.clear();
  world = new EarlyWorld();
});
after(() => {
  watch.stop();
  world.close();
});

/** Resumed, but without the early data. */
function assertResumedWithout(link: Link, refusal: string): void {
  assertRefused(link, refusal);
  assert.equal(link.server.summary?.resumed, true);
  link.forget();
}

/** A full handshake, without the early data. */
function assertFullWithout(link: Link): void {
  assertRefused(link, 'not_resumed');
  assert.equal(link.server.summary?.resumed, false);
  link.forget();
}

describe('early data is refused, and handed back, and the connection goes on', () => {
  test('where the policy takes none any more', () => {
    assertResumedWithout(world.early({ server: world.with(undefined) }).deliver(), 'disabled');
  });

  test('where the ticket was given without leave for it', () => {
    const session = { ...world.session({}, world.with(undefined)), maxEarlyDataSize: MAX };
    assertResumedWithout(world.early({ session }).deliver(), 'disabled');
  });

  test('under another suite of the same hash', () => {
    const session = world.session({ cipherSuites: ['TLS_AES_128_GCM_SHA256'] });
    const link = world.early({
      session,
      client: { cipherSuites: ['TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'] },
      server: { cipherSuites: ['TLS_CHACHA20_POLY1305_SHA256'] },
    });
    assertResumedWithout(link.deliver(), 'suite_changed');
  });

  test('under another application protocol, or for another name: there the session does not resume', () => {
    const session = world.session({ alpnProtocols: ['h2', 'http/1.1'] });
    assert.equal(session.alpnProtocol, 'h2');
    const { context } = world.with({});
    assertFullWithout(
      world
        .early({
          session,
          client: { alpnProtocols: ['h2', 'http/1.1'] },
          server: { context: { ...context, alpnProtocols: ['http/1.1'] } },
        })
        .deliver(),
    );
    const renamed = { ...world.session(), serverName: 'other.example' };
    assertFullWithout(world.early({ session: renamed, client: { serverName: 'other.example' } }).deliver());
  });

  test('with a ticket of a key that is gone, and with bytes that are no ticket', () => {
    const session = world.session();
    world.keys.flush();
    assertFullWithout(world.early({ session }).deliver());
    assertFullWithout(world.early({ session: { ...world.session(), ticket: new Uint8Array(200).fill(7) } }).deliver());
  });

  for (const [what, off, refusal] of [
    ['ten seconds older than the ticket is', 10_000, undefined],
    ['more than ten seconds older', 10_001, 'age_mismatch'],
    ['half a day older', 43_200_000, 'age_mismatch'],
    ['younger than the ticket by more than the window', -10_001, 'age_mismatch'],
    ['younger by the window', -10_000, undefined],
  ] as const) {
    test(`by the age that the client claims: ${what}`, () => {
      const session = world.session();
      world.clock.advance(20_000);
      const link = world.early({
        session: { ...session, ticketAgeAdd: (session.ticketAgeAdd + off) % 2 ** 32 },
      });
      if (refusal === undefined) {
        assertTaken(link.deliver());
        link.forget();
      } else {
        assertResumedWithout(link.deliver(), refusal);
      }
    });
  }

  test('by a narrower window, where the hello took long on its way', () => {
    const server = world.with({ freshnessWindow: 500 });
    const late = world.early({ server });
    world.clock.advance(501);
    assertResumedWithout(late.deliver(), 'age_mismatch');
    const intime = world.early({ server });
    world.clock.advance(500);
    assertTaken(intime.deliver());
    intime.forget();
  });

  test('after a HelloRetryRequest: the second hello does not offer it, and what was sent is passed over', () => {
    const session = world.session();
    const link = world.early({
      session,
      client: { namedGroups: ['x25519', 'secp256r1'], keyShares: ['x25519'] },
      server: { namedGroups: ['secp256r1'] },
    });
    link.deliver();
    assert.equal(link.client.summary?.helloRetried, true);
    assertResumedWithout(link, 'hello_retried');
  });

  test('without a key exchange', () => {
    const { context } = world.with({});
    const server = { context: { ...context, dangerouslyAllowPskKe: 'prefer' as const } };
    const link = world.early({ server, client: { dangerouslyAllowPskKe: true } });
    link.deliver();
    assert.equal(link.server.summary?.pskMode, 'psk_ke');
    assertResumedWithout(link, 'no_psk_dhe_ke');
  });

  test('with an external PSK, which stands behind the session and has no leave for it', () => {
    const identity = utf8('an external identity');
    const externalPsk = Secret.copy('externalPsk', new Uint8Array(32).fill(9));
    const { context } = world.with({});
    const server = { context: { ...context, externalPsks: externalPskTable([{ identity, externalPsk }]) } };
    const session = world.session();
    world.keys.flush();
    const link = world.early({
      session,
      client: { externalPsks: [{ identity, externalPsk }] },
      server,
    });
    link.deliver();
    assert.deepEqual([link.server.error?.message, link.client.error?.message], [undefined, undefined]);
    assert.equal(link.server.summary?.authenticatedBy, 'externalPsk');
    assertRefused(link, 'not_resumed');
    link.forget();
    externalPsk.erase();
  });

  test('in a full handshake with a certificate for the client, which is asked for as ever', () => {
    const session = world.session();
    world.keys.flush();
    const credentials = [world.identity.credential];
    const { context } = world.with({});
    const clientAuthentication = { required: true, certificateAuthorities: [], id: 'all' };
    const link = world.early({
      session,
      client: { credentials },
      server: { context: { ...context, clientAuthentication } },
    });
    assertRefused(link.deliver(), 'not_resumed');
    assert.deepEqual(link.server.summary?.peerCertificates, credentials[0].certificateChain);
    link.forget();
  });

  test('all that was sent comes back, in order, and nothing more can be sent', () => {
    const link = world.early({ server: world.with(undefined), data: utf8('one, ') });
    link.client.take(link.client.connection.sendEarlyData(utf8('two, ')));
    link.client.take(link.client.connection.sendEarlyData(utf8('three')));
    link.deliver();
    assertRefused(link, 'disabled', utf8('one, two, three'));
    const kinds = kindsOf(link.client);
    assert.equal(kinds.indexOf('earlyDataRejected') < kinds.indexOf('handshakeComplete'), true);
    link.forget();
  });

  test('nothing comes back where nothing was sent', () => {
    const link = world.early({ server: world.with(undefined), data: new Uint8Array(0) });
    link.deliver();
    assert.deepEqual(rejectedOf(link.client), []);
    assert.equal(link.client.summary?.earlyData, 'refused');
    link.assertComplete();
    link.forget();
  });

  test('by a server of TLS 1.2 the connection is over, and the data comes back first', () => {
    const session = world.session();
    for (const versions of [['TLSv1.3', 'TLSv1.2'], ['TLSv1.3']] as const) {
      const link = world.early({ session, client: { versions } });
      link.client.flush();
      // A hello as such a server makes it.
      const old = world.pair({ versions: ['TLSv1.2'] }, { versions: ['TLSv1.2'] });
      old.client.start();
      old.server.receive(old.client.flush());
      link.client.receive(old.server.flush());
      assert.equal(link.client.error?.code, 'TLS_ERR_PROTOCOL_VERSION');
      assert.deepEqual(rejectedOf(link.client), [Buffer.from(PING).toString()]);
      link.forget();
      old.forget();
    }
  });

  test('skipping goes on for twice what our tickets allow, and 64 KiB at least', () => {
    for (const [maxEarlyDataSize, bytes, passes] of [
      [MAX, 60_000, true],
      [MAX, 70_000, false],
      [100_000, 190_000, true],
      [100_000, 210_000, false],
    ] as const) {
      const session = { ...world.session(), maxEarlyDataSize: 2 ** 20 };
      const link = world.early({
        session,
        data: new Uint8Array(bytes),
        server: world.with({ maxEarlyDataSize, recordingSince: world.now() }),
      });
      link.deliver();
      assert.equal(link.server.error?.code, passes ? undefined : 'TLS_ERR_BAD_RECORD_MAC', `${bytes}`);
      assert.equal(link.server.summary !== undefined, passes);
      link.forget();
    }
  });
});

describe('a recording of a hello with its early data', () => {
  /** What the client sent first. */
  function record(server = {}): Uint8Array {
    const link = world.early({ server });
    const bytes = link.client.flush();
    link.server.receive(bytes);
    assert.equal(earlyDataOf(link.server), Buffer.from(PING).toString());
    link.client.receive(link.server.flush());
    link.deliver();
    assertTaken(link);
    link.forget();
    return bytes;
  }

  test('sent again to the same server is not taken again, and leads to no connection', () => {
    const bytes = record();
    for (let i = 0; i < 3; i++) {
      const server = world.server().receive(bytes);
      server.assertFine();
      assert.equal(earlyDataOf(server), '');
      assert.equal(kindsOf(server).includes('earlyDataAccepted'), false);
      assert.equal(server.connection.state, 'ExpectFinished', 'it waits for a Finished that the recorder cannot make');
      assert.equal(server.connection.canSend, false);
      server.forget();
    }
    assert.equal(world.register.stats().used, 3);
  });

  test('is not taken either when it overtakes the original: one of the two is', () => {
    const link = world.early();
    const bytes = link.client.flush();
    const thief = world.server().receive(bytes);
    assert.equal(earlyDataOf(thief), Buffer.from(PING).toString());
    link.server.receive(bytes);
    link.client.receive(link.server.flush());
    link.deliver();
    assertResumedWithout(link, 'used_ticket');
    thief.forget();
  });

  test('with tickets that resume once it leads to a full handshake', () => {
    const bytes = record(world.with({}, { singleUse: world.register }));
    const server = world.server(world.with({}, { singleUse: world.register })).receive(bytes);
    assert.equal(earlyDataOf(server), '');
    assert.equal(kindsOf(server).includes('earlyDataAccepted'), false);
    server.forget();
  });

  test('where tickets resume once, one claim serves both', () => {
    const server = world.with({}, { singleUse: world.register });
    record(server);
    assert.deepEqual({ ...world.register.stats() }, { entries: 1, fresh: 1, used: 0, full: 0 });
  });

  test('is not taken by a server that has started since, though it knows the ticket key', () => {
    const link = world.early();
    const bytes = link.client.flush();
    world.clock.advance(1);
    const restarted = new LocalSingleUseRegister({ clock: world.clock });
    const changes = world.with({ register: restarted, recordingSince: world.now() });
    const server = world.server(changes).receive(bytes);
    assert.equal(earlyDataOf(server), '');
    assert.equal(restarted.stats().fresh, 0, 'it is not even asked');
    server.forget();
    link.forget();
    // What that server gives out itself it takes.
    const own = world.early({ session: world.session({}, changes), server: changes });
    assertTaken(own.deliver());
    own.forget();
    assertResumedWithout(
      world.early({ server: world.with({ recordingSince: world.now() + 1300 }) }).deliver(),
      'issued_before_register',
    );
    restarted.close();
  });

  test('is not taken once the window is over, even by a server that never saw it', () => {
    const link = world.early();
    const bytes = link.client.flush();
    world.clock.advance(10_001);
    const naive = world.with({ register: { claim: () => 'fresh' } });
    const server = world.server(naive).receive(bytes);
    assert.equal(earlyDataOf(server), '');
    server.forget();
    link.forget();
  });

  test('a hello whose binder is wrong uses up no ticket', () => {
    const link = world.early();
    const bytes = link.client.flush();
    const forged = new Uint8Array(bytes);
    const helloEnd = 5 + ((bytes[3] << 8) | bytes[4]);
    forged[helloEnd - 1] ^= 1;
    const server = world.server().receive(forged);
    assert.equal(server.error?.code, 'TLS_ERR_BAD_BINDER');
    server.forget();
    assert.equal(world.register.stats().entries, 0);
    link.server.receive(bytes);
    assertTaken(link.deliver());
    link.forget();
  });
});

describe('the register', () => {
  test('that is full refuses early data, not the session', () => {
    const server = world.with({ register: { claim: () => 'full' } });
    assertResumedWithout(world.early({ server }).deliver(), 'register_full');
  });

  test('is asked for nothing where no early data is offered, or is refused anyhow', () => {
    const asked: string[] = [];
    const register = {
      claim: () => {
        asked.push('claim');
        return 'fresh' as const;
      },
    };
    world.connect({ session: world.session() }, world.with({ register })).forget();
    assertResumedWithout(
      world.early({ server: world.with({ register, recordingSince: world.now() + 10_000 }) }).deliver(),
      'issued_before_register',
    );
    assert.deepEqual(asked, []);
  });

  test('that lies elsewhere is asked by a need, and early data waits for its answer', () => {
    const claims: string[] = [];
    const session = world.session();
    for (const [answer, refusal] of [
      ['fresh', undefined],
      ['used', 'used_ticket'],
      ['full', 'register_full'],
    ] as const) {
      const link = world.early({ session: cloneClientSession(session), server: world.with({ register: 'ask' }) });
      const { server } = link;
      server.hold = ['claimTicket'];
      server.receive(link.client.flush());
      const { need } = server;
      assert(need?.kind === 'claimTicket');
      assert.equal(server.connection.state, 'AwaitTicketClaim');
      assert.equal(server.flush().length, 0);
      assert.equal(earlyDataOf(server), '');
      claims.push(Buffer.from(need.ticketId).toString('hex'));
      assert.equal(need.expiresAt, session.receivedAt + session.ticketLifetime * 1000);
      server.need = undefined;
      server.take(server.connection.resume(need, answer));
      link.deliver();
      if (refusal === undefined) {
        assertTaken(link);
        link.forget();
      } else {
        assertResumedWithout(link, refusal);
      }
    }
    assert.equal(claims[0].length, 32);
    assert.deepEqual([claims[1], claims[2]], [claims[0], claims[0]], 'one ticket, one ID');
    session.secret.erase();
  });

  test('is bounded: what it cannot remember is refused', () => {
    const small = new LocalSingleUseRegister({ clock: world.clock, maxEntries: 2 });
    const server = world.with({ register: small });
    const outcomes = [1, 2, 3].map(() => {
      const link = world.early({ server }).deliver();
      const outcome = link.server.summary?.earlyDataRefusal ?? 'taken';
      link.forget();
      return outcome;
    });
    assert.deepEqual(outcomes, ['taken', 'taken', 'register_full']);
    small.close();
  });
});

describe('what is not early data any more', () => {
  test('a client that was refused goes on as usual, and may send the same again as data', () => {
    const link = world.early({ server: world.with(undefined) }).deliver();
    const [rejected] = rejectedOf(link.client);
    link.client.take(link.client.connection.send(utf8(rejected)));
    link.deliver();
    assert.equal(Buffer.from(link.server.data).toString(), rejected);
    assert.equal(earlyDataOf(link.server), '');
    link.forget();
  });

  test('data that was sent with the Finished, beside early data, is apart from it', () => {
    const link = world.early();
    link.server.receive(link.client.flush());
    link.client.receive(link.server.flush());
    link.client.take(link.client.connection.send(utf8('and this is live')));
    link.deliver();
    assert.equal(earlyDataOf(link.server), Buffer.from(PING).toString());
    assert.equal(Buffer.from(link.server.data).toString(), 'and this is live');
    assert.deepEqual(
      kindsOf(link.server).filter((kind) => ['earlyData', 'data', 'handshakeComplete'].includes(kind)),
      ['earlyData', 'handshakeComplete', 'data'],
    );
    assert.equal(concat(link.server.data).length > 0, true);
    link.forget();
  });
});

describe('the rules by themselves', () => {
  test('each refuses in its turn', () => {
    const session = sessionState({ issuedAt: T0, ticketAgeAdd: 5, maxEarlyDataSize: 100 });
    const good = {
      policy: { maxEarlyDataSize: 100, register: 'ask', recordingSince: T0 },
      session,
      selectedIdentity: 0,
      obfuscatedTicketAge: 1005,
      pskMode: 'psk_dhe_ke',
      cipherSuite: session.cipherSuite,
      now: T0 + 1000,
    } as const;
    assert.equal(checkEarlyData(good), undefined);
    assert.equal(checkEarlyData({ ...good, policy: undefined }), 'disabled');
    assert.equal(checkEarlyData({ ...good, session: undefined }), 'not_resumed');
    assert.equal(checkEarlyData({ ...good, selectedIdentity: 1 }), 'not_first_identity');
    assert.equal(checkEarlyData({ ...good, pskMode: 'psk_ke' }), 'no_psk_dhe_ke');
    assert.equal(checkEarlyData({ ...good, session: { ...session, maxEarlyDataSize: 0 } }), 'disabled');
    assert.equal(checkEarlyData({ ...good, session: { ...session, maxEarlyDataSize: undefined } }), 'disabled');
    assert.equal(checkEarlyData({ ...good, cipherSuite: 'TLS_CHACHA20_POLY1305_SHA256' }), 'suite_changed');
    assert.equal(checkEarlyData({ ...good, session: { ...session, issuedAt: T0 - 1 } }), 'issued_before_register');
    assert.equal(checkEarlyData({ ...good, obfuscatedTicketAge: 4 }), 'age_mismatch', 'an age below zero wraps');
    assert.equal(checkEarlyData({ ...good, now: T0 + 11_001 }), 'age_mismatch');
    assert.equal(checkEarlyData({ ...good, now: T0 - 9_001 }), 'age_mismatch', 'a clock that was set back');
    session.secret.erase();
  });

  test('a policy out of its bounds is refused', () => {
    const good = { maxEarlyDataSize: 1, register: 'ask', recordingSince: 0 } as const;
    checkEarlyDataPolicy(good);
    for (const changes of [
      { maxEarlyDataSize: 0 },
      { maxEarlyDataSize: 1.5 },
      { maxEarlyDataSize: 2 ** 20 + 1 },
      { freshnessWindow: 0 },
      { freshnessWindow: 60_001 },
      { recordingSince: Number.NaN },
    ]) {
      assert.throws(() => checkEarlyDataPolicy({ ...good, ...changes }), { code: 'TLS_ERR_CONFIG' });
    }
  });
});
