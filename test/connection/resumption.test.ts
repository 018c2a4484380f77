import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import type { ResumptionRefusal } from '../../src/actions.ts';
import { Secret } from '../../src/bytes/secret.ts';
import type { ClientOptions, ServerOptions, TicketPolicy } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { choosePskMode } from '../../src/handshake/server-psk.ts';
import { pskBinder } from '../../src/keys/finished.ts';
import { EarlySecret } from '../../src/keys/ladder.ts';
import {
  bindersLength,
  decodeClientHello,
  encodeClientHello,
  type PreSharedKeyOffer,
} from '../../src/messages/client-hello.ts';
import { decodeServerHello } from '../../src/messages/server-hello.ts';
import type { ClientSession13 } from '../../src/session/client-session.ts';
import { identity, type Link, World } from '../support/connections.ts';
import { Puppet, plaintext } from '../support/puppet.ts';
import { SecretWatch } from '../support/secret-watch.ts';

const HOUR = 3_600_000;
const watch = new SecretWatch();
let world = new World();
beforeEach(() => {
  world.close();
  watch.clear();
  world = new World();
});
after(() => {
  watch.stop();
  world.close();
});

/** The sessions of a full handshake, which is over. */
function sessions(
  client: Partial<ClientOptions> = {},
  server: Partial<ServerOptions> = {},
): readonly ClientSession13[] {
  const link = world.connect(client, server);
  end(link);
  return link.client.sessions;
}

function end(link: Link): Link {
  link.client.connection.erase();
  link.server.connection.erase();
  return link;
}

/** Both sides agree that the handshake was full, and the server knows why. */
function assertFull(link: Link, refusal: ResumptionRefusal): void {
  assert.equal(link.client.summary?.resumed, false);
  assert.equal(link.server.summary?.refusal, refusal);
  assert.equal(link.client.summary?.refusal, 'by_peer');
  end(link);
}

function tickets(changes: Partial<TicketPolicy>) {
  assert(world.context.tickets !== undefined);
  return { context: { ...world.context, tickets: { ...world.context.tickets, ...changes } } };
}

describe('a session resumes', () => {
  test('without certificate and signature, with the chain of the handshake that made it', () => {
    const [session] = sessions();
    const link = world.connect({ session });
    assert.equal(link.client.summary?.resumed, true);
    assert.equal(link.client.summary?.refusal, undefined);
    assert.deepEqual(link.client.summary?.peerCertificates, world.context.credentials[0].certificateChain);
    assert.equal(
      link.client.actions.some(({ kind }) => kind === 'need'),
      false,
    );
    end(link);
  });

  test('under keys of its own: no traffic secret is seen twice', () => {
    const [session] = sessions();
    const seen = new Set<string>();
    for (let i = 0; i < 3; i++) {
      const link = world.connect({ session });
      for (const secret of link.server.keyLog.values()) {
        assert.equal(seen.has(secret), false);
        seen.add(secret);
      }
      end(link);
    }
  });

  test('with a ticket sealed under the previous ring key, until that key may not open any more', () => {
    const [first, second] = sessions();
    world.keys.rotate();
    const link = world.connect({ session: first });
    assert.equal(link.server.summary?.resumed, true);
    end(link);
    world.clock.advance(2 * HOUR);
    // The client knows too that the ticket is over: it is made to offer it all the same.
    assertFull(world.connect({ session: { ...second, ticketLifetime: 100_000 } }), 'unknown_key');
  });

  test('with a suite of the same hash, not with one of another', () => {
    const [session, other] = sessions({ cipherSuites: ['TLS_AES_128_GCM_SHA256'] });
    const link = world.connect({ session, cipherSuites: ['TLS_CHACHA20_POLY1305_SHA256'] });
    assert.equal(link.server.summary?.resumed, true);
    assert.equal(link.server.summary?.cipherSuite, 'TLS_CHACHA20_POLY1305_SHA256');
    end(link);
    const suites = { cipherSuites: ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256'] as const };
    assertFull(
      world.connect({ session: other, ...suites }, { cipherSuites: ['TLS_AES_256_GCM_SHA384'] }),
      'suite_changed',
    );
  });

  test('with fresh tickets each time, each of which resumes', () => {
    let [session] = sessions();
    for (let i = 0; i < 5; i++) {
      const link = end(world.connect({ session }));
      assert.equal(link.server.summary?.resumed, true);
      assert.equal(link.client.sessions.length, 1);
      session = link.client.sessions[0];
    }
  });

  test('after clocks differ: the age that a client claims is not held against it', () => {
    const [session] = sessions();
    const link = world.connect({ session: { ...session, ticketAgeAdd: session.ticketAgeAdd + 77_777_777 } });
    assert.equal(link.server.summary?.resumed, true);
    end(link);
  });
});

describe('a session that is refused leads to a full handshake, and the server knows why', () => {
  test('unknown_key: the ring was flushed, or the ticket is of another server', () => {
    const [session, other] = sessions();
    world.keys.flush();
    assertFull(world.connect({ session }), 'unknown_key');
    const elsewhere = new World();
    assertFull(elsewhere.connect({ session: other }), 'unknown_key');
    elsewhere.close();
  });

  test('bad_ticket: any byte of it was changed', () => {
    const [session] = sessions();
    for (let at = 0; at < session.ticket.length; at += 5) {
      const ticket = new Uint8Array(session.ticket);
      ticket[at] ^= 1 << (at % 8);
      const isName = at >= 1 && at < 17;
      assertFull(world.connect({ session: { ...session, ticket } }), isName ? 'unknown_key' : 'bad_ticket');
    }
    for (const length of [1, 30, session.ticket.length - 1]) {
      assertFull(world.connect({ session: { ...session, ticket: session.ticket.slice(0, length) } }), 'bad_ticket');
    }
    assertFull(world.connect({ session: { ...session, ticket: new Uint8Array(20_000) } }), 'bad_ticket');
  });

  test('expired_ticket: its lifetime is over, though the ring key still opens', () => {
    const [session] = sessions({}, tickets({ ticketLifetime: 60 }));
    assert.equal(session.ticketLifetime, 60);
    world.clock.advance(60_000);
    assertFull(
      world.connect({ session: { ...session, ticketLifetime: 1000 } }, tickets({ ticketLifetime: 60 })),
      'expired_ticket',
    );
  });

  test('expired_handshake: the full handshake is too long ago, as the policy has it now', () => {
    const [session] = sessions();
    world.clock.advance(100_000);
    assertFull(world.connect({ session }, tickets({ handshakeValidity: 100 })), 'expired_handshake');
  });

  test('policy_changed: another name, protocol or certificate', () => {
    const [session] = sessions();
    // A client that offers a session for one name under another would be refused by its own core first.
    assertFull(
      world.connect({ session: { ...session, serverName: 'other.example' }, serverName: 'other.example' }),
      'policy_changed',
    );
    assertFull(world.connect({ session, alpnProtocols: ['http/1.1'] }), 'policy_changed');
    assertFull(world.connect({ session, alpnProtocols: [] }), 'policy_changed');
    const renewed = identity('ed25519', ' renewed');
    const context = { ...world.context, credentials: [renewed.credential] };
    const link = world.pair({ session }, { context });
    link.client.publicKey = renewed.publicKey;
    link.run().assertComplete();
    assertFull(link, 'policy_changed');
  });

  test('the same name in other letters is the same policy', () => {
    const [session] = sessions();
    const link = world.connect({ session: { ...session, serverName: 'LOCALHOST' }, serverName: 'LOCALHOST' });
    assert.equal(link.server.summary?.resumed, true);
    end(link);
  });

  test('disabled: this context has no tickets, and gives none', () => {
    const [session] = sessions();
    const link = world.connect({ session }, { context: { ...world.context, tickets: undefined } });
    assert.equal(link.client.sessions.length, 0);
    assertFull(link, 'disabled');
  });

  test('no_psk_dhe_ke: the client would resume without a key exchange', () => {
    const [session] = sessions();
    for (const pskKeyExchangeModes of [[0], [0, 0x2a], [2]]) {
      const { selected, error } = offer(session, { pskKeyExchangeModes }).link;
      assert.equal(selected, undefined);
      assert.equal(error, undefined);
    }
    assert.equal(choosePskMode(world.context, [0]), undefined);
    assert.equal(choosePskMode(world.context, [0x2a, 1]), 'psk_dhe_ke');
  });

  test('at the client, a session that cannot be used is not even offered', () => {
    const [session] = sessions();
    const used = { ...session, secret: Secret.copy('resumptionPsk', new Uint8Array(32)) };
    used.secret.erase();
    const cases: [Partial<ClientOptions>, ResumptionRefusal][] = [
      [{ session: used }, 'expired_ticket'],
      [{ session: { ...session, receivedAt: world.now() - 7_200_000 } }, 'expired_ticket'],
      [{ session: { ...session, authenticatedAt: world.now() - 604_800_000 } }, 'expired_handshake'],
      [{ session, serverName: 'other.example' }, 'policy_changed'],
      [{ session, cipherSuites: ['TLS_AES_256_GCM_SHA384'] }, 'suite_changed'],
    ];
    for (const [options, refusal] of cases) {
      const link = world.connect(options);
      assert.equal(link.client.summary?.refusal, refusal);
      assert.equal(link.server.summary?.refusal, undefined, 'the server saw none');
      end(link);
    }
  });

  test('nothing of a refused session stays alive', () => {
    const [session] = sessions();
    watch.clear();
    for (const changes of [{ alpnProtocols: ['http/1.1'] }, {}]) {
      end(
        world.connect(
          { session, wantSessions: false, ...changes },
          tickets({ handshakeValidity: changes.alpnProtocols ? 1000 : 1 }),
        ),
      );
      assert.deepEqual(watch.alive, []);
    }
  });
});

/** Sends a hand-made offer of PSKs in an honest ClientHello; binders are computed unless given. */
function offer(
  session: ClientSession13,
  {
    identities = [{ identity: session.ticket, obfuscatedTicketAge: session.ticketAgeAdd }],
    binders,
    binderFor = 0,
    pskKeyExchangeModes = [1],
    server: serverOptions = {},
  }: {
    identities?: PreSharedKeyOffer['identities'];
    binders?: readonly Uint8Array[];
    binderFor?: number;
    pskKeyExchangeModes?: readonly number[];
    server?: Partial<ServerOptions>;
  } = {},
): { link: { selected: number | undefined; error: string | undefined; alerts: readonly string[] } } {
  const client = world.client().start();
  const hello = decodeClientHello(client.flush().subarray(9));
  client.forget();
  const given = binders ?? identities.map(() => new Uint8Array(32));
  const extensions = { ...hello.extensions, pskKeyExchangeModes, preSharedKey: { identities, binders: given } };
  const raw = encodeClientHello({ ...hello, extensions });
  if (binders === undefined) {
    const cut = raw.length - bindersLength(given);
    const early = EarlySecret.create(nodeProvider, 'sha256', session.secret);
    const hash = nodeProvider.hash('sha256', raw.subarray(0, cut));
    raw.set(pskBinder(nodeProvider, 'sha256', early.binderKey('resumption'), hash), cut + 2 + binderFor * 33 + 1);
    early.erase();
  }
  const server = world.server(serverOptions);
  server.receive(plaintext(22, raw));
  const sent = server.flush();
  const puppet = new Puppet(server.keyLog);
  let selected: number | undefined;
  if (server.error === undefined) {
    selected = decodeServerHello(sent.subarray(9, 5 + sent[3] * 256 + sent[4])).extensions.selectedIdentity;
  } else {
    puppet.read(sent);
  }
  server.forget();
  return { link: { selected, error: server.error?.code, alerts: puppet.alerts } };
}

describe('binders', () => {
  test('a wrong one ends the handshake with decrypt_error: no full handshake follows', () => {
    const [session] = sessions();
    watch.clear();
    const good = offer(session).link;
    assert.equal(good.selected, 0);
    const bad = [new Uint8Array(32), new Uint8Array(32).fill(1), new Uint8Array(33), new Uint8Array(48)];
    for (const binder of bad) {
      const { error, alerts } = offer(session, { binders: [binder] }).link;
      assert.equal(error, 'TLS_ERR_BAD_BINDER');
      assert.deepEqual(alerts, ['decrypt_error under plaintext']);
    }
    assert.deepEqual(watch.alive, []);
  });

  test('of another secret is wrong', () => {
    const [session, other] = sessions();
    assert.equal(offer({ ...session, secret: other.secret }).link.error, 'TLS_ERR_BAD_BINDER');
  });

  test('must be as many as identities, and each of 32 bytes at least', () => {
    const [session] = sessions();
    const one = { identity: session.ticket, obfuscatedTicketAge: 0 };
    const full = new Uint8Array(32);
    assert.equal(offer(session, { identities: [one, one], binders: [full] }).link.error, 'TLS_ERR_ILLEGAL_PARAMETER');
    assert.equal(offer(session, { identities: [one], binders: [full, full] }).link.error, 'TLS_ERR_ILLEGAL_PARAMETER');
    assert.equal(offer(session, { identities: [one], binders: [new Uint8Array(31)] }).link.error, 'TLS_ERR_DECODE');
  });

  test('only the binder of the chosen identity counts', () => {
    const [session] = sessions();
    const mine = { identity: session.ticket, obfuscatedTicketAge: 0 };
    const junk = { identity: new Uint8Array(100).fill(7), obfuscatedTicketAge: 0 };
    assert.equal(offer(session, { identities: [junk, mine], binderFor: 1 }).link.selected, 1);
    assert.equal(offer(session, { identities: [mine, junk], binderFor: 0 }).link.selected, 0);
    assert.equal(offer(session, { identities: [junk, mine, mine], binderFor: 1 }).link.selected, 1);
    assert.equal(offer(session, { identities: [junk, mine], binderFor: 0 }).link.error, 'TLS_ERR_BAD_BINDER');
  });

  test('of the first four identities the first that opens is taken, the others are not tried', () => {
    const [session] = sessions();
    const mine = { identity: session.ticket, obfuscatedTicketAge: 0 };
    const junk = { identity: new Uint8Array(100).fill(7), obfuscatedTicketAge: 0 };
    assert.equal(offer(session, { identities: [junk, junk, junk, mine], binderFor: 3 }).link.selected, 3);
    const late = offer(session, { identities: [junk, junk, junk, junk, mine], binderFor: 4 }).link;
    assert.equal(late.selected, undefined);
    assert.equal(late.error, undefined);
  });

  test('after a HelloRetryRequest covers the whole of what came before', () => {
    const [session] = sessions();
    const link = world.pair({ session, keyShares: ['x25519'], grease: false }, { namedGroups: ['secp256r1'] });
    let flights = 0;
    // The first hello's binder is not looked at, as that hello is not resumed: but it is in the transcript.
    link.toServer = (bytes) => {
      const changed = new Uint8Array(bytes);
      if (flights++ === 0) {
        changed[changed.length - 1] ^= 1;
      }
      return changed;
    };
    link.run();
    assert.equal(link.server.error?.code, 'TLS_ERR_BAD_BINDER');
    assert.equal(link.client.error?.alert, 'decrypt_error');
    link.forget();
  });
});

describe('how many tickets', () => {
  test('a client that does not ask gets the number of the policy, full and resumed', () => {
    const policy = tickets({ ticketsPerConnection: 3, ticketsPerResumption: 2 });
    const full = end(world.connect({}, policy));
    assert.equal(full.client.sessions.length, 3);
    assert.equal(end(world.connect({ session: full.client.sessions[0] }, policy)).client.sessions.length, 2);
    assert.equal(end(world.connect({}, tickets({ ticketsPerConnection: 0 }))).client.sessions.length, 0);
  });

  test('a client that asks gets what it asks for, down to none and up to the most', () => {
    for (const [newSession, resumption] of [
      [0, 0],
      [1, 4],
      [5, 0],
      [255, 255],
    ]) {
      const requestTickets = { newSession, resumption };
      const full = end(world.connect({ requestTickets }));
      assert.equal(full.client.sessions.length, Math.min(8, newSession));
      const [session] = full.client.sessions.length > 0 ? full.client.sessions : sessions();
      assert.equal(end(world.connect({ requestTickets, session })).client.sessions.length, Math.min(8, resumption));
    }
  });

  test('a client without psk_dhe_ke gets none', () => {
    const client = world.client().start();
    const hello = decodeClientHello(client.flush().subarray(9));
    client.forget();
    for (const pskKeyExchangeModes of [undefined, [0]]) {
      const server = world.server();
      server.receive(
        plaintext(22, encodeClientHello({ ...hello, extensions: { ...hello.extensions, pskKeyExchangeModes } })),
      );
      const ears = new Puppet(server.keyLog).read(server.flush(), {
        afterServerHello: 'SERVER_HANDSHAKE_TRAFFIC_SECRET',
        afterFinished: 'SERVER_TRAFFIC_SECRET_0',
      });
      assert.equal(
        ears.messages.some(({ name }) => name === 'new_session_ticket'),
        false,
      );
      server.forget();
      ears.erase();
    }
  });

  test('no ticket is sent without a sealing key, nor when the handshake is about to lose its validity', () => {
    const keys = { ...world.keys, sealingKey: () => undefined, openingKey: () => undefined, status: () => [] };
    assert.equal(end(world.connect({}, tickets({ keys }))).client.sessions.length, 0);
    const [session] = sessions({}, tickets({ handshakeValidity: 100 }));
    world.clock.advance(99_500);
    const link = end(
      world.connect({ session: { ...session, ticketLifetime: 1000 } }, tickets({ handshakeValidity: 100 })),
    );
    assert.equal(link.server.summary?.resumed, true);
    assert.equal(link.client.sessions.length, 0);
  });

  test('tickets that the first application key could not carry are not sent', () => {
    const link = end(
      world.connect({ recordSizeLimit: 64, requestTickets: { newSession: 8, resumption: 0 } }, { usageLimit: 16 }),
    );
    assert.equal(link.client.sessions.length, 3, 'of some 240 bytes each, in 12 records of 63');
  });

  test('a name too long to be kept costs the tickets, not the connection', () => {
    const name = '\xff'.repeat(200);
    const context = { ...world.context, alpnProtocols: [name] };
    const link = end(world.connect({ alpnProtocols: [name] }, { context }));
    assert.equal(link.client.sessions.length, 0);
  });
});

describe('a chain of resumptions', () => {
  test('carries the time of its full handshake along, at both ends, and never beyond handshakeValidity', () => {
    const policy = tickets({ handshakeValidity: 4 * 3600, ticketLifetime: 7200 });
    const start = world.now();
    let [session] = sessions({}, policy);
    let resumptions = 0;
    for (;;) {
      world.clock.advance(HOUR / 2);
      const link = end(world.connect({ session: { ...session, ticketLifetime: 100_000 } }, policy));
      if (link.server.summary?.resumed !== true) {
        // The lifetime of its last ticket was cut to what was left of the handshake's validity.
        assert.equal(link.server.summary?.refusal, 'expired_ticket');
        break;
      }
      resumptions++;
      assert.equal(link.server.summary.authenticatedAt, start);
      assert.equal(link.client.summary?.authenticatedAt, start);
      [session] = link.client.sessions;
      assert.equal(session.authenticatedAt, start);
      const left = 4 * 3600 - (world.now() - start) / 1000;
      assert(session.ticketLifetime <= left, 'no ticket outlives the handshake');
      assert(session.ticketLifetime <= 7200);
    }
    assert.equal(resumptions, 7);
    assert.equal(world.now() - start, 4 * HOUR);
  });
});
