/** A fatal alert ends the session with the connection, for those who hold its keys and for nobody else. RFC 5246 §7.2.2. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import { cipherSuites12 } from '../../src/crypto/suites12.ts';
import type { ClientSession12 } from '../../src/session/client-session.ts';
import type { Link } from '../support/connections.ts';
import { plaintext } from '../support/puppet.ts';
import { recordKeys12, recordsOf } from '../support/puppet12.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { World12 } from '../support/world12.ts';

const world = new World12();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

const HANDSHAKE_FAILURE = Uint8Array.of(2, 40);
const WARNING = Uint8Array.of(1, 41);

/** Whether the server still has the session, seen by resuming it. */
function isAlive(session: ClientSession12): boolean {
  const link = world.connect12('id', { session });
  const { resumed } = link.server.summary as { resumed: boolean };
  link.forget();
  return resumed;
}

/** The client was told, and how often. */
function told(link: Link): number {
  return link.client.actions.filter((action) => action.kind === 'sessionEnded').length;
}

/** A connection, resumed or not, and its session, which another connection could resume. */
function open(resumed: boolean): { readonly link: Link; readonly session: ClientSession12 } {
  if (!resumed) {
    const link = world.connect12('id');
    const session = link.client.sessions12.shift();
    assert(session);
    return { link, session };
  }
  const session = world.session12('id');
  return { link: world.connect12('id', { session }), session };
}

for (const resumed of [false, true]) {
  describe(`a connection that was ${resumed ? 'resumed' : 'made in full'}`, () => {
    const endings: Readonly<Record<string, (link: Link) => void>> = {
      'a fatal alert that the server sends': (link) => {
        link.server.take(link.server.connection.abort('internal_error'));
      },
      'a fatal alert that the client sends': (link) => {
        link.client.take(link.client.connection.abort('access_denied'));
      },
      'a record that was changed on its way to the server': (link) => {
        link.toServer = flipped;
        link.client.take(link.client.connection.send(Uint8Array.of(1)));
      },
      'a record that was changed on its way to the client': (link) => {
        link.toClient = flipped;
        link.server.take(link.server.connection.send(Uint8Array.of(1)));
      },
    };
    for (const [what, end] of Object.entries(endings)) {
      test(`loses its session with ${what}, at both ends`, () => {
        const { link, session } = open(resumed);
        assert.equal(told(link), 0);
        end(link);
        link.deliver();
        assert.equal(told(link), 1);
        link.forget();
        assert.equal(isAlive(session), false);
        session.secret.erase();
      });
    }

    test('keeps its session when it is closed, cut off, cancelled, or warned', () => {
      const { link, session } = open(resumed);
      link.client.take(link.client.connection.close());
      link.deliver();
      link.server.take(link.server.connection.close());
      link.deliver();
      assert.equal(told(link), 0);
      assert.equal(isAlive(session), true);
      const cut = world.connect12('id', { session });
      cut.cut();
      assert.equal(cut.server.error?.code, 'TLS_ERR_TRUNCATED');
      assert.equal(told(cut), 0);
      assert.equal(isAlive(session), true);
      const cancelled = world.connect12('id', { session });
      cancelled.client.take(cancelled.client.connection.abort('user_canceled'));
      cancelled.deliver();
      assert.equal(told(cancelled), 0);
      assert.equal(isAlive(session), true);
      session.secret.erase();
    });
  });
}

function flipped(bytes: Uint8Array): Uint8Array {
  const changed = new Uint8Array(bytes);
  if (changed.length > 0) {
    changed[changed.length - 1] ^= 1;
  }
  return changed;
}

describe('somebody who has seen a session ID and does not hold its keys', () => {
  test('ends no session with garbage, an alert or silence, at any point of the handshake', () => {
    const session = world.session12('id');
    const attacks: readonly ((link: Link) => Uint8Array)[] = [
      () => plaintext(21, HANDSHAKE_FAILURE),
      () => plaintext(20, Uint8Array.of(1)),
      () => plaintext(22, Uint8Array.of(16, 0, 0, 0)),
      () => plaintext(23, new Uint8Array(40)),
      () => new Uint8Array([...plaintext(20, Uint8Array.of(1)), ...plaintext(22, new Uint8Array(40))]),
      () => new Uint8Array([...plaintext(20, Uint8Array.of(1)), ...plaintext(21, HANDSHAKE_FAILURE)]),
      () => new Uint8Array([...plaintext(20, Uint8Array.of(1)), ...plaintext(21, new Uint8Array(26))]),
      () => new Uint8Array([...plaintext(20, Uint8Array.of(1)), ...plaintext(21, WARNING)]),
    ];
    for (const [index, attack] of attacks.entries()) {
      const link = world.pair12('id', { session });
      link.server.receive(link.client.start().flush());
      assert.equal(link.server.connection.state, 'ExpectChangeCipherSpec12', 'the session is resumed');
      link.server.receive(attack(link));
      link.server.take(link.server.connection.transportEnded());
      assert.notEqual(link.server.error, undefined, `attack ${index}`);
      link.forget();
      assert.equal(isAlive(session), true, `attack ${index}`);
    }
    session.secret.erase();
  });

  test('who has a connection of his own ends his own session alone when he offers it in a renegotiation', () => {
    const victim = world.session12('id');
    const link = world.pair12('id', {}, { clientRenegotiations: 3 }).run();
    link.assertComplete();
    const own = link.client.sessions12.shift();
    assert(own);
    // The ClientHello goes out under the keys of his own connection, and names the victim's session.
    const before = world.cache.stats().hits;
    const { legacySessionId } = { legacySessionId: victim.sessionId };
    const hello = renegotiatingHello(link, legacySessionId);
    link.server.receive(hello);
    assert.equal(world.cache.stats().hits, before + 1, 'the server has found it');
    assert.equal(link.server.connection.state, 'ExpectChangeCipherSpec12', 'and resumes it');
    link.server.take(link.server.connection.abort('internal_error'));
    link.forget();
    assert.equal(isAlive(victim), true);
    assert.equal(isAlive(own), false);
    own.secret.erase();
    victim.secret.erase();
  });

  /** The client's own hello for a renegotiation, with another session ID: sealed with the keys that it wrote with. */
  function renegotiatingHello(link: Link, sessionId: Uint8Array): Uint8Array {
    const original = link.client.connection.channel.handshake.bind(link.client.connection.channel);
    link.client.connection.channel.handshake = (raw) => {
      const at = 4 + 34;
      const named = new Uint8Array(raw.length - raw[at] + sessionId.length);
      named.set(raw.subarray(0, at));
      named[at] = sessionId.length;
      named.set(sessionId, at + 1);
      named.set(raw.subarray(at + 1 + raw[at]), at + 1 + sessionId.length);
      const length = named.length - 4;
      named.set([length >> 16, length >> 8, length], 1);
      original(named);
    };
    link.client.take(link.client.connection.startRenegotiation());
    return link.client.flush();
  }

  test('does not make a client forget: an alert in clear during a resumption tells the host nothing', () => {
    const session = world.session12('id');
    const link = world.pair12('id', { session });
    link.client.start();
    link.client.receive(plaintext(21, HANDSHAKE_FAILURE));
    assert.equal(link.client.error?.code, 'TLS_ERR_ALERT_RECEIVED');
    assert.equal(told(link), 0);
    link.forget();
    assert.equal(isAlive(session), true);
    session.secret.erase();
  });
});

describe('somebody who holds the keys', () => {
  for (const [what, type, content, code] of [
    ['an alert', 21, HANDSHAKE_FAILURE, 'TLS_ERR_ALERT_RECEIVED'],
    ['a Finished that does not verify', 22, Uint8Array.of(20, 0, 0, 12, ...new Uint8Array(12)), 'TLS_ERR_BAD_FINISHED'],
  ] as const) {
    for (const role of ['server', 'client'] as const) {
      test(`ends it by ${what} under them in a resumption, at a ${role}`, () => {
        const session = world.session12('id');
        const { victim, speak } = resuming(role, session);
        victim.receive(speak(type, content));
        assert.equal(victim.error?.code, code);
        const wasTold = victim.actions.filter((action) => action.kind === 'sessionEnded').length;
        assert.equal(wasTold, role === 'client' ? 1 : 0);
        victim.forget();
        assert.equal(isAlive(session), role === 'client');
        session.secret.erase();
      });
    }
  }

  /** One side of a resumption that has had its peer's hello, and what seals change_cipher_spec and a record for it. */
  function resuming(role: 'client' | 'server', session: ClientSession12) {
    const { client, server } = world.pair12('id', { session });
    const hello = client.start().flush();
    const flight = server.receive(hello).flush();
    const [serverHello] = recordsOf(flight);
    const keys = recordKeys12({
      suite: cipherSuites12[session.cipherSuite],
      masterSecret: session.secret.expose(),
      clientRandom: hello.slice(11, 43),
      serverRandom: serverHello.slice(11, 43),
    });
    const [victim, other] = role === 'client' ? [client, server] : [server, client];
    other.forget();
    if (role === 'client') {
      victim.receive(serverHello);
    }
    const sealing = role === 'client' ? keys.server : keys.client;
    const speak = (type: number, content: Uint8Array) =>
      concat(plaintext(20, Uint8Array.of(1)), sealing.seal(type, content));
    return { victim, speak };
  }

  test('the session of a ticket is the client’s to forget: the server keeps nothing that it could', () => {
    const link = world.connect12('ticket');
    const [session] = link.client.sessions12;
    link.server.take(link.server.connection.abort('internal_error'));
    link.deliver();
    assert.equal(told(link), 1);
    const again = world.connect12('ticket', { session });
    assert.equal(again.server.summary?.resumed, true);
    again.forget();
    link.forget();
  });

  test('what is told comes once, before the connection has failed, and in TLS 1.3 not at all', () => {
    const { link, session } = open(false);
    link.server.take(link.server.connection.abort('internal_error'));
    link.deliver();
    const kinds = link.client.actions.map((action) => action.kind);
    assert.deepEqual(kinds.slice(-2), ['sessionEnded', 'failed']);
    link.forget();
    session.secret.erase();
    const other = world.connect();
    other.server.take(other.server.connection.abort('internal_error'));
    other.deliver();
    assert.equal(told(other), 0);
    other.forget();
  });

  test('nothing is left of an ended session but ticket keys', () => {
    world.cache.clear();
    watch.clear();
    const { link, session } = open(true);
    link.server.take(link.server.connection.abort('internal_error'));
    link.deliver();
    link.forget();
    session.secret.erase();
    assert.equal(world.cache.stats().entries, 0);
    assert.deepEqual(
      watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
      [],
    );
  });
});
