import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import type { ClientOptions, ServerContext, ServerOptions } from '../../src/connection-options.ts';
import { type CipherSuite12Name, cipherSuites12 } from '../../src/crypto/suites12.ts';
import { decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { frame } from '../../src/messages/handshake-message.ts';
import { decodeServerHello, encodeServerHello } from '../../src/messages/server-hello.ts';
import { encodeNewSessionTicket12 } from '../../src/messages/tls12/new-session-ticket.ts';
import { type ClientSession12, cloneClientSession } from '../../src/session/client-session.ts';
import { SessionCache } from '../../src/session/session-cache.ts';
import { identity, type Link } from '../support/connections.ts';
import { plaintext } from '../support/puppet.ts';
import { verifyData12 } from '../support/puppet12.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { BOTH, ONLY12, stage12 } from '../support/stages12.ts';
import { NAMINGS, type Naming, World12 } from '../support/world12.ts';

const world = new World12();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

const SUITE: CipherSuite12Name = 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384';
const OTHER: CipherSuite12Name = 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256';
const HOUR = 3_600_000;

function nothingIsLeft(): void {
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey') && kind !== 'cachedSession'),
    [],
  );
}

interface Attempt {
  readonly naming: Naming;
  readonly client?: Partial<ClientOptions>;
  readonly server?: Partial<ServerOptions>;
  readonly at?: World12;
  /** Between the full handshake and the attempt. */
  readonly meanwhile?: () => void;
  readonly session?: (session: ClientSession12) => ClientSession12;
}

/** A session from a full handshake at `world`, offered in a second one. */
function attempt({ naming, client, server, at = world, meanwhile, session: change }: Attempt): Link {
  watch.clear();
  const made = world.session12(naming, { cipherSuites12: [SUITE] });
  meanwhile?.();
  const session = change === undefined ? made : change(made);
  const link = at.connect12(naming, { session, cipherSuites12: [SUITE, OTHER], ...client }, server);
  made.secret.erase();
  session.secret.erase();
  return link;
}

function isFull(link: Link, refusal: string | undefined, what = ''): void {
  assert.equal(link.server.summary?.resumed, false, what);
  assert.equal(link.server.summary?.refusal, refusal, what);
  assert.equal(link.client.summary?.resumed, false, what);
  assert.notEqual(link.client.summary?.refusal, undefined, what);
  assert.notEqual(link.client.summary?.namedGroup, undefined, what);
  link.forget();
  nothingIsLeft();
}

describe('a session that another server made leads to a full handshake', () => {
  for (const naming of NAMINGS) {
    test(`by ${naming}, at a server with keys and a cache of its own`, () => {
      const other = new World12();
      isFull(attempt({ naming, at: other }), naming === 'ticket' ? 'unknown_key' : undefined);
      other.close();
    });

    test(`by ${naming}, at a server that gives no such sessions`, () => {
      const context = { ...world.context, tickets: undefined };
      const refusal = naming === 'ticket' ? 'disabled' : undefined;
      isFull(attempt({ naming, server: { context } }), refusal);
    });

    test(`by ${naming}, at another certificate's virtual host`, () => {
      const other: ServerContext = {
        ...world.contextFor(naming),
        credentials: [
          { ...world.identity.credential, certificateChain: [utf8('the certificate of another virtual host')] },
        ],
      };
      isFull(attempt({ naming, server: { context: other } }), 'policy_changed');
    });

    test(`by ${naming}, under another name, though the thief says it was for that one`, () => {
      const session = (made: ClientSession12) => ({ ...made, serverName: 'other.example' });
      isFull(attempt({ naming, session, client: { serverName: 'other.example' } }), 'policy_changed');
      const link = attempt({ naming, client: { serverName: 'other.example' } });
      assert.equal(link.client.summary?.refusal, 'policy_changed', 'an honest client does not even offer it');
      isFull(link, undefined);
    });

    test(`by ${naming}, with another application protocol`, () => {
      isFull(attempt({ naming, client: { alpnProtocols: ['http/1.1'] } }), 'policy_changed');
      isFull(attempt({ naming, client: { alpnProtocols: [] } }), 'policy_changed');
    });

    test(`by ${naming}, at a server that asks for client certificates now, and the other way round`, () => {
      const clientAuthentication = { required: false, certificateAuthorities: [], id: 'requested:ca' };
      const asking = { ...world.contextFor(naming), clientAuthentication };
      isFull(attempt({ naming, server: { context: asking } }), 'policy_changed');
      const elsewhere = { ...asking, clientAuthentication: { ...clientAuthentication, id: 'requested:other ca' } };
      const session = world.session12(naming, {}, { context: asking });
      const kept = world.connect12(naming, { session }, { context: asking });
      assert.equal(kept.server.summary?.resumed, true);
      kept.forget();
      for (const context of [elsewhere, world.contextFor(naming)]) {
        const link = world.connect12(naming, { session }, { context });
        assert.equal(link.server.summary?.refusal, 'policy_changed');
        link.forget();
      }
      session.secret.erase();
    });

    test(`by ${naming}, when its suite is not allowed or offered any more`, () => {
      isFull(attempt({ naming, server: { cipherSuites12: [OTHER] } }), 'suite_changed');
      const link = attempt({ naming, client: { cipherSuites12: [OTHER] } });
      assert.equal(link.client.summary?.refusal, 'suite_changed', 'the client does not offer it');
      link.forget();
    });

    test(`by ${naming}, when it is over for the server, which forgot or erased it`, () => {
      const over = { ticket: () => world.keys.flush(), id: () => world.cache.clear() };
      isFull(attempt({ naming, meanwhile: over[naming] }), naming === 'ticket' ? 'unknown_key' : undefined);
    });
  }
});

describe('versions', () => {
  test('a session of TLS 1.2 is not offered for TLS 1.3 alone, and not taken by a server that speaks that', () => {
    for (const naming of NAMINGS) {
      const alone = attempt({ naming, client: { versions: ['TLSv1.3'] }, server: { versions: BOTH } });
      assert.equal(alone.client.summary?.refusal, 'version_changed');
      assert.equal(alone.client.summary?.resumed, false);
      alone.forget();
      const both = attempt({ naming, client: { versions: BOTH }, server: { versions: BOTH } });
      assert.equal(both.client.summary?.version, 'TLSv1.3');
      assert.equal(both.client.summary?.resumed, false);
      both.forget();
      nothingIsLeft();
    }
  });

  test('a session of TLS 1.2 resumes from a hello that also offers TLS 1.3, where the server speaks TLS 1.2', () => {
    for (const naming of NAMINGS) {
      const link = attempt({ naming, client: { versions: BOTH } });
      assert.equal(link.client.summary?.resumedBy, naming);
      link.forget();
    }
  });

  test('a session of TLS 1.3 is not taken by TLS 1.2, nor its ticket opened as one', () => {
    const full = world.connect({ versions: BOTH }, { versions: BOTH });
    const [session] = full.client.sessions;
    const link = world.connect({ versions: BOTH, session }, { versions: ONLY12 });
    assert.equal(link.client.summary?.version, 'TLSv1.2');
    assert.equal(link.client.summary?.refusal, 'by_peer');
    link.forget();
    const hello = world.client({ versions: ONLY12 }).start();
    const decoded = decodeClientHello(hello.flush().subarray(9));
    const forged = encodeClientHello({
      ...decoded,
      extensions: { ...decoded.extensions, sessionTicket: session.ticket },
    });
    const server = world.server({ versions: ONLY12 }).receive(plaintext(22, forged));
    server.assertFine();
    assert.equal(server.connection.state, 'ExpectClientKeyExchange12', 'a full handshake');
    server.forget();
    hello.forget();
    full.forget();
  });

  test("a ticket of TLS 1.2 is no identity of TLS 1.3's", () => {
    const made = world.session12('ticket');
    const full = world.connect({ versions: BOTH }, { versions: BOTH });
    const [session] = full.client.sessions;
    const link = world.connect({ versions: BOTH, session: { ...session, ticket: made.ticket } }, { versions: BOTH });
    assert.equal(link.server.summary?.refusal, 'version_changed');
    link.forget();
    full.forget();
    made.secret.erase();
  });
});

describe('a ticket that was changed', () => {
  test('in any byte leads to a full handshake, with no difference but the reason that the server keeps to itself', () => {
    const made = world.session12('ticket');
    watch.clear();
    for (let at = 0; at < made.ticket.length; at++) {
      const ticket = made.ticket.map((byte, i) => (i === at ? byte ^ (1 << (at % 8)) : byte));
      const link = world.connect12('ticket', { session: { ...made, ticket } });
      assert(['bad_ticket', 'unknown_key'].includes(String(link.server.summary?.refusal)), String(at));
      assert.equal(link.client.summary?.resumed, false);
      link.forget();
    }
    nothingIsLeft();
    made.secret.erase();
  });

  test('in its length leads to a full handshake', () => {
    const made = world.session12('ticket');
    const longer = new Uint8Array([...made.ticket, 0]);
    for (const ticket of [made.ticket.subarray(0, -1), made.ticket.subarray(1), made.ticket.subarray(0, 1), longer]) {
      const link = world.connect12('ticket', { session: { ...made, ticket } });
      assert.equal(link.server.summary?.resumed, false);
      link.forget();
    }
    made.secret.erase();
  });

  test('that is too long to be offered in a ClientHello is not kept', () => {
    for (const [length, sessions] of [
      [16_384, 1],
      [16_385, 0],
      [60_000, 0],
    ]) {
      const raw = encodeNewSessionTicket12({ lifetimeHint: 60, ticket: new Uint8Array(length) });
      const stage = stage12(world, 'client', 'ExpectFinished12', {
        tamper: (message) => (message.name === 'new_session_ticket' ? [{ ...message, raw }] : [message]),
      });
      const { suite, masterSecret } = stage.secrets();
      const verifyData = verifyData12(suite, masterSecret, 'server', stage.transcript);
      stage.victim.receive(stage.puppet.handshake(frame('finished', verifyData)));
      stage.victim.assertFine();
      assert.equal(stage.victim.sessions12.length, sessions, String(length));
      stage.victim.forget();
    }
  });
});

describe('whoever does not have the master secret', () => {
  for (const naming of NAMINGS) {
    test(`cannot resume the session that a ${naming} names, as client`, () => {
      const made = world.session12(naming);
      const thief = cloneClientSession(made);
      thief.secret.erase();
      const guessed = { ...made, secret: otherSecret(made) };
      const link = world.pair12(naming, { session: guessed }).run();
      assert.equal(link.server.summary, undefined);
      assert.equal(link.client.summary, undefined);
      assert.equal(link.client.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
      link.forget();
      // The session is none the worse for it.
      const honest = world.connect12(naming, { session: made });
      assert.equal(honest.server.summary?.resumed, true);
      honest.forget();
      made.secret.erase();
      guessed.secret.erase();
    });
  }
});

describe('what a server may do to a resumption', () => {
  const tampered = (naming: Naming, change: (hello: ReturnType<typeof decodeServerHello>) => object) => {
    const session = world.session12(naming, { cipherSuites12: [SUITE] });
    const link = world.pair12(naming, { session, cipherSuites12: [SUITE, OTHER] });
    let first = true;
    link.toClient = (bytes) => {
      if (!first || bytes.length === 0) {
        return bytes;
      }
      first = false;
      const length = (bytes[3] << 8) | bytes[4];
      const end = 4 + ((bytes[6] << 16) | (bytes[7] << 8) | bytes[8]);
      const hello = decodeServerHello(bytes.subarray(9, 5 + end));
      const raw = encodeServerHello({ ...hello, ...change(hello) });
      const rest = bytes.subarray(5 + end, 5 + length);
      return new Uint8Array([...plaintext(22, new Uint8Array([...raw, ...rest])), ...bytes.subarray(5 + length)]);
    };
    link.run();
    session.secret.erase();
    return link;
  };

  for (const naming of NAMINGS) {
    test(`it may not change the suite of a session by ${naming}`, () => {
      const link = tampered(naming, () => ({ cipherSuite: cipherSuites12[OTHER].code }));
      assert.equal(link.client.error?.code, 'TLS_ERR_ILLEGAL_PARAMETER');
      assert.equal(link.client.summary, undefined);
      link.forget();
    });

    test(`it may not drop extended master secret from a session by ${naming} (triple handshake)`, () => {
      const without = (hello: ReturnType<typeof decodeServerHello>) => ({
        extensions: { ...hello.extensions, extendedMasterSecret: undefined },
      });
      const link = tampered(naming, without);
      assert.equal(link.client.error?.code, 'TLS_ERR_EXTENDED_MASTER_SECRET');
      link.forget();
    });

    test(`it may not say that a session by ${naming} is new and go on with its keys`, () => {
      const link = tampered(naming, () => ({ legacySessionIdEcho: new Uint8Array(32).fill(1) }));
      assert.equal(link.client.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
      link.forget();
    });
  }
});

describe('extended master secret and resumption (RFC 7627 §5.3)', () => {
  const legacy = { allowLegacyMasterSecret: true };

  /** A hello of a client that does not know the extension. */
  const stripped = (bytes: Uint8Array): Uint8Array => {
    if (bytes[0] !== 22 || bytes[5] !== 1) {
      return bytes;
    }
    const hello = decodeClientHello(bytes.subarray(9));
    return plaintext(
      22,
      encodeClientHello({ ...hello, extensions: { ...hello.extensions, extendedMasterSecret: undefined } }),
    );
  };

  for (const naming of NAMINGS) {
    test(`a session by ${naming} made with it is refused in a hello without, and the handshake ends`, () => {
      const session = world.session12(naming);
      for (const allowLegacyMasterSecret of [false, true]) {
        const link = world.pair12(naming, { session, allowLegacyMasterSecret: true }, { allowLegacyMasterSecret });
        link.toServer = stripped;
        link.run();
        assert.equal(link.server.error?.code, 'TLS_ERR_EXTENDED_MASTER_SECRET');
        assert.equal(link.server.summary, undefined);
        link.forget();
      }
      session.secret.erase();
      nothingIsLeft();
    });

    test(`a session by ${naming} made without it is not resumed by a hello that has it`, () => {
      const stage = stage12(world, 'client', 'ExpectFinished12', {
        client: { ...legacy, cipherSuites12: [SUITE] },
        server: { ...legacy, context: world.contextFor(naming) },
      });
      stage.victim.forget();
      const made = world.session12(naming, { ...legacy, cipherSuites12: [SUITE] }, legacy);
      // As if it had been made with a server that lacks the extension.
      const session = { ...made, extendedMasterSecret: false };
      const refused = world.pair12(naming, { session }).run();
      assert.equal(
        refused.client.summary?.refusal,
        'legacy_master_secret',
        'not offered unless the operator allows it',
      );
      refused.forget();
      const offered = world.pair12(naming, { session, ...legacy }, legacy).run();
      assert.equal(offered.client.error?.code, 'TLS_ERR_EXTENDED_MASTER_SECRET', 'the use of it changed');
      offered.forget();
      made.secret.erase();
    });
  }
});

describe('lifetimes', () => {
  for (const naming of NAMINGS) {
    test(`a session by ${naming} ends an hour after its full handshake, however often it is resumed`, () => {
      const here = new World12();
      watch.clear();
      let session = here.session12(naming);
      const { authenticatedAt } = session;
      let resumptions = 0;
      for (let minutes = 10; minutes <= 120; minutes += 10) {
        here.clock.advance(HOUR / 6);
        const link = here.connect12(naming, { session });
        const { resumed, authenticatedAt: claimed } = link.server.summary ?? {};
        assert.equal(resumed, minutes < 60, `${minutes} min`);
        assert.equal(link.client.summary?.resumed, resumed);
        if (!resumed) {
          link.forget();
          break;
        }
        resumptions += 1;
        assert.equal(claimed, authenticatedAt, 'the chain counts from its full handshake');
        assert.equal(link.client.summary?.authenticatedAt, authenticatedAt);
        const renewed = link.client.sessions12.shift();
        assert.equal(renewed === undefined, naming === 'id', 'a ticket is renewed, an ID is not');
        if (renewed !== undefined) {
          assert(renewed.receivedAt + renewed.ticketLifetime * 1000 <= authenticatedAt + HOUR);
          assert.equal(renewed.authenticatedAt, authenticatedAt);
          session.secret.erase();
          session = renewed;
        }
        link.forget();
      }
      assert.equal(resumptions, 5);
      session.secret.erase();
      here.close();
      assert.deepEqual(watch.alive, []);
    });

    test(`a session by ${naming} never outlives handshakeValidity, also where the operator keeps sessions for longer`, () => {
      const here = new World12();
      const { tickets } = here.context;
      assert(tickets !== undefined);
      const policy = { ...tickets, handshakeValidity: 1800, ticketLifetime: 7200, dangerouslyLongTls12Sessions: true };
      const context: ServerContext = {
        ...here.contextFor(naming),
        ...(naming === 'ticket' ? { tickets: policy } : { tickets: policy, sessionCache: here.cache }),
      };
      // With tickets switched on the client must not ask for one to get an ID.
      let session = here.session12(naming === 'id' ? 'id' : 'ticket', {}, naming === 'ticket' ? { context } : {});
      here.clock.advance(1_700_000);
      const late = here.connect12(naming, { session }, naming === 'ticket' ? { context } : {});
      assert.equal(late.server.summary?.resumed, true);
      const [renewed] = late.client.sessions12;
      if (renewed !== undefined) {
        assert(renewed.ticketLifetime <= 100);
        session.secret.erase();
        session = cloneClientSession(renewed);
      }
      here.clock.advance(101_000);
      const over = here.connect12(naming, { session: { ...session, ticketLifetime: 9999 } }, { context });
      assert.equal(over.server.summary?.resumed, false);
      for (const link of [late, over]) {
        link.forget();
      }
      session.secret.erase();
      here.close();
    });

    test(`a client does not offer a session by ${naming} after its lifetime`, () => {
      const here = new World12();
      const session = here.session12(naming);
      here.clock.jump(session.ticketLifetime * 1000);
      const link = here.connect12(naming, { session });
      assert.equal(link.client.summary?.refusal, 'expired_ticket');
      assert.equal(link.server.summary?.refusal, undefined, 'nothing was offered');
      link.forget();
      session.secret.erase();
      here.close();
    });
  }

  test('a ticket whose key stopped opening is over, and the key is erased', () => {
    const here = new World12();
    watch.clear();
    const session = { ...here.session12('ticket'), ticketLifetime: 604_800 };
    here.clock.advance(4 * HOUR);
    const link = here.connect12('ticket', { session });
    assert.equal(link.server.summary?.resumed, false);
    link.forget();
    session.secret.erase();
    here.close();
    assert.deepEqual(watch.alive, []);
  });

  test('an evicted session leads to a full handshake, and its master secret is erased', () => {
    const cache = new SessionCache({ clock: world.clock, maxEntries: 2 });
    const context = { ...world.byId, sessionCache: cache };
    watch.clear();
    const sessions = [1, 2, 3].map(() => world.session12('id', {}, { context }));
    assert.equal(cache.stats().evicted, 1);
    const outcomes = sessions.reverse().map((session) => {
      const link = world.connect12('id', { session }, { context });
      const resumed = link.server.summary?.resumed;
      link.forget();
      session.secret.erase();
      return resumed;
    });
    assert.deepEqual(outcomes, [true, true, false], 'the newest first');
    cache.close();
    nothingIsLeft();
  });
});

describe('client certificates', () => {
  test('are kept with the session and given back when it is resumed', () => {
    for (const naming of NAMINGS) {
      const clientAuthentication = { required: true, certificateAuthorities: [], id: 'required:ca' };
      const context = { ...world.contextFor(naming), clientAuthentication };
      const credentials = [identity().credential];
      const full = world.connect12(naming, { credentials }, { context });
      const chain = full.server.summary?.peerCertificates;
      assert.deepEqual(chain, identity().credential.certificateChain);
      const resumed = world.connect12(naming, { credentials, session: full.client.sessions12[0] }, { context });
      assert.equal(resumed.server.summary?.resumedBy, naming);
      assert.deepEqual(resumed.server.summary?.peerCertificates, chain);
      full.forget();
      resumed.forget();
    }
  });

  test('too long to be kept leave the client without a session, not without a connection', () => {
    for (const naming of NAMINGS) {
      const clientAuthentication = { required: true, certificateAuthorities: [], id: 'required:ca' };
      const context = { ...world.contextFor(naming), clientAuthentication };
      const credentials = [{ ...identity().credential, certificateChain: [new Uint8Array(13_000)] }];
      const full = world.connect12(naming, { credentials }, { context });
      const [session] = full.client.sessions12;
      const again = world.connect12(naming, { credentials, session }, { context });
      assert.equal(again.server.summary?.resumed, false);
      full.forget();
      again.forget();
    }
  });
});

function otherSecret(session: ClientSession12): ClientSession12['secret'] {
  const other = session.secret.clone();
  other.expose()[0] ^= 1;
  return other;
}
