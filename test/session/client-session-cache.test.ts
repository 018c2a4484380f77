/** The client's cache: bounds, single use, erasure on time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ClientSession, ClientSession12, ClientSession13 } from '../../src/session/client-session.ts';
import {
  ClientSessionCache,
  type ClientSessionCacheOptions,
  clientSessionKey,
} from '../../src/session/client-session-cache.ts';
import { MAX_WAIT } from '../../src/session/clock.ts';
import { clientSession, clientSession12, HOUR, MINUTE, NO_BYTES } from './fixtures.ts';
import { SimulatedClock } from './simulated-clock.ts';

function start(options: Partial<ClientSessionCacheOptions> = {}) {
  const clock = new SimulatedClock();
  const cache = new ClientSessionCache({ clock, ...options });
  const received = (changes: Partial<ClientSession13> = {}): ClientSession13 =>
    clientSession({ receivedAt: clock.now(), ...changes });
  const putNew = (key: string, changes: Partial<ClientSession13> = {}): ClientSession13 => {
    const session = received(changes);
    cache.put(key, session);
    return session;
  };
  const putNew12 = (key: string, changes: Partial<ClientSession12> = {}): ClientSession12 => {
    const now = clock.now();
    const session = clientSession12({ receivedAt: now, authenticatedAt: now, ...changes });
    cache.put(key, session);
    return session;
  };
  return { cache, clock, received, putNew, putNew12 };
}

describe('client session key', () => {
  const binding = { host: 'h', port: 443, serverName: 's', alpnProtocols: ['h2', 'http/1.1'], trustPolicy: 'roots' };

  it('differs when any part of the binding differs, however the texts are divided', () => {
    const variants = [
      binding,
      { ...binding, host: 'i' },
      { ...binding, port: 444 },
      { ...binding, serverName: '' },
      { ...binding, alpnProtocols: ['h2'] },
      { ...binding, alpnProtocols: ['http/1.1', 'h2'] },
      { ...binding, alpnProtocols: ['h2,http/1.1'] },
      { ...binding, alpnProtocols: [] },
      { ...binding, trustPolicy: 'insecure' },
      { ...binding, host: 'h","port' },
    ];
    assert.equal(new Set(variants.map(clientSessionKey)).size, variants.length);
    assert.equal(clientSessionKey({ ...binding, host: 'H', serverName: 'S' }), clientSessionKey(binding));
  });
});

describe('client session cache', () => {
  it('gives the newest session first, each once, and hands it on alive', () => {
    const { cache, putNew } = start();
    const [a, b] = [putNew('k'), putNew('k')];
    assert.equal(cache.take('k'), b);
    assert.equal(cache.take('k'), a);
    assert.equal(cache.take('k'), undefined);
    assert.equal(cache.size, 0);
    assert(!a.secret.erased && !b.secret.erased);
  });

  it('gives nothing of another key', () => {
    const { cache, putNew } = start();
    putNew('k');
    assert.equal(cache.take('l'), undefined);
    assert.equal(cache.size, 1);
    cache.clear();
  });

  it('beyond the bound of a key its oldest is evicted and erased', () => {
    const { cache, putNew } = start({ maxSessionsPerKey: 2 });
    const [a, b, c] = [putNew('k'), putNew('k'), putNew('k')];
    assert.deepEqual(
      [a, b, c].map(({ secret }) => secret.erased),
      [true, false, false],
    );
    assert.equal(cache.size, 2);
    cache.clear();
  });

  it('beyond the bound in all, the key that was fed longest ago gives up its oldest', () => {
    const { cache, putNew } = start({ maxSessions: 3 });
    const [a1, b1, a2, c1] = [putNew('a'), putNew('b'), putNew('a'), putNew('c')];
    assert.deepEqual(
      [a1, b1, a2, c1].map(({ secret }) => secret.erased),
      [false, true, false, false],
    );
    assert.equal(cache.take('b'), undefined);
    cache.clear();
  });

  it('skips and erases what has expired', () => {
    const { cache, clock, putNew } = start();
    const long = putNew('k');
    const short = putNew('k', { ticketLifetime: 60 });
    clock.stall(MINUTE);
    assert.equal(cache.take('k'), long);
    assert.equal(short.secret.erased, true);
  });

  it('takes the time that the caller gives', () => {
    const { cache, clock, putNew } = start();
    const session = putNew('k', { ticketLifetime: 60 });
    assert.equal(cache.take('k', clock.now() + MINUTE), undefined);
    assert.equal(session.secret.erased, true);
  });

  it('erases at once what comes in expired, and ignores what is erased already', () => {
    const { cache, clock, putNew, received } = start();
    assert.equal(putNew('k', { receivedAt: clock.now() - 3 * HOUR }).secret.erased, true);
    assert.equal(putNew('k', { ticketLifetime: 0 }).secret.erased, true);
    const erased = received();
    erased.secret.erase();
    cache.put('k', erased);
    assert.equal(cache.size, 0);
    assert.equal(clock.timers, 0);
  });

  it('a session put twice is held once', () => {
    const { cache, putNew } = start();
    const session = putNew('k');
    cache.put('k', session);
    assert.equal(cache.take('k'), session);
    assert.equal(cache.take('k'), undefined);
  });

  it('erases on time when idle, by either clock', () => {
    const { cache, clock, putNew } = start();
    const [a, b] = [putNew('k', { ticketLifetime: 600 }), putNew('l', { ticketLifetime: 1200 })];
    clock.jump(-5 * HOUR);
    clock.advance(10 * MINUTE - 1);
    assert.equal(a.secret.erased, false);
    clock.advance(1);
    assert.equal(a.secret.erased, true);
    assert.equal(b.secret.erased, false);
    clock.jump(6 * HOUR);
    clock.advance(MAX_WAIT);
    assert.equal(b.secret.erased, true);
    assert.equal(cache.size, 0);
    assert.equal(clock.timers, 0);
  });

  it('keeps no session longer than its own lifetime, whatever the server says', () => {
    const { clock, putNew } = start({ ticketLifetime: 600 });
    const session = putNew('k', { ticketLifetime: 604_800 });
    clock.advance(10 * MINUTE);
    assert.equal(session.secret.erased, true);
  });

  it('keeps a session that seems to be from the future no longer than its lifetime', () => {
    const { clock, putNew } = start();
    const session = putNew('k', { receivedAt: clock.now() + 5 * HOUR });
    clock.advance(2 * HOUR);
    assert.equal(session.secret.erased, true);
  });

  it('clear erases all and cancels the timer', () => {
    const { cache, clock, putNew } = start();
    const sessions = ['a', 'b', 'b'].map((key) => putNew(key));
    cache.clear();
    assert(sessions.every(({ secret }) => secret.erased));
    assert.equal(cache.size, 0);
    assert.equal(clock.timers, 0);
  });

  it('bounds of nonsense are refused', () => {
    const clock = new SimulatedClock();
    for (const wrong of [
      { maxSessions: 0 },
      { maxSessionsPerKey: 1.5 },
      { ticketLifetime: 0 },
      { ticketLifetime: 82_801 },
    ]) {
      assert.throws(() => new ClientSessionCache({ clock, ...wrong }), { code: 'TLS_ERR_CONFIG' });
    }
  });

  it('a TLS 1.2 session stays, and each taker gets a copy to erase', () => {
    const { cache, putNew12 } = start();
    const held = putNew12('k');
    const copies = [cache.take('k'), cache.take('k')];
    for (const copy of copies) {
      assert(copy?.version === 'TLSv1.2');
      assert.notEqual(copy.secret, held.secret);
      assert.deepEqual(copy.secret.expose(), held.secret.expose());
      assert.deepEqual(copy.sessionId, held.sessionId);
    }
    copies[0]?.secret.erase();
    assert(!copies[1]?.secret.erased && !held.secret.erased);
    assert.equal(cache.size, 1);
    cache.clear();
    assert(held.secret.erased && !copies[1]?.secret.erased);
  });

  it('a new or renewed TLS 1.2 session takes the place of the one before, of this key only', () => {
    const { cache, putNew, putNew12 } = start();
    const [old, tls13, other] = [putNew12('k'), putNew('k'), putNew12('l')];
    const renewed = putNew12('k', { sessionId: NO_BYTES, ticket: new Uint8Array(90).fill(8) });
    assert.deepEqual(
      [old, tls13, other, renewed].map(({ secret }) => secret.erased),
      [true, false, false, false],
    );
    assert.equal(cache.size, 3);
    assert.equal(cache.take('k')?.ticket.length, 90);
    cache.clear();
  });

  it('a TLS 1.3 session that came later is used first, then the TLS 1.2 one again', () => {
    const { cache, putNew, putNew12 } = start();
    putNew12('k');
    const tls13 = putNew('k');
    assert.equal(cache.take('k'), tls13);
    assert.equal(cache.take('k')?.version, 'TLSv1.2');
    assert.equal(cache.take('k')?.version, 'TLSv1.2');
    cache.clear();
  });

  it('a TLS 1.2 session is erased one hour after its full handshake, however often its ticket was renewed', () => {
    const { cache, clock, putNew12 } = start();
    const authenticatedAt = clock.now();
    putNew12('k');
    clock.advance(HOUR - MINUTE);
    const renewed = putNew12('k', { authenticatedAt });
    clock.advance(MINUTE - 1);
    assert(cache.take('k'));
    clock.advance(1);
    assert.equal(renewed.secret.erased, true);
    assert.equal(clock.timers, 0);
  });

  it('a TLS 1.2 session lives as long as its ticketLifetime where the caller says so', () => {
    const { cache, clock, putNew12 } = start({ dangerouslyLongTls12Sessions: true });
    const session = putNew12('k');
    clock.advance(2 * HOUR - 1);
    assert(cache.take('k'));
    clock.advance(1);
    assert.equal(session.secret.erased, true);
  });

  it('drop erases the TLS 1.2 session that a copy is of, and no other', () => {
    const { cache, clock, putNew, putNew12 } = start();
    const held = putNew12('k');
    const copy = cache.take('k') as ClientSession12;
    const tls13 = putNew('k');
    cache.drop('l', copy);
    cache.drop('k', { ...copy, sessionId: new Uint8Array(32) });
    cache.drop('k', { ...copy, ticket: new Uint8Array(1) });
    assert.equal(held.secret.erased, false);
    cache.drop('k', copy);
    assert.deepEqual([held.secret.erased, copy.secret.erased, tls13.secret.erased], [true, false, false]);
    assert.equal(cache.take('k'), tls13);
    assert.equal(clock.timers, 0);
    putNew12('k');
    cache.drop('k', copy);
    assert.equal(cache.size, 0);
    assert.equal(clock.timers, 0);
  });

  it('forget erases all sessions of its key, and no other', () => {
    const { cache, clock, putNew, putNew12 } = start();
    const ended = [putNew('k'), putNew('k'), putNew12('k')];
    const other = putNew('l');
    cache.forget('k');
    cache.forget('nothing');
    assert.deepEqual(
      ended.map(({ secret }) => secret.erased),
      [true, true, true],
    );
    assert.equal(cache.take('k'), undefined);
    assert.equal(cache.take('l'), other);
    assert.equal(clock.timers, 0);
  });

  it('under any interleaving: within bounds, no session given twice, every other one erased', () => {
    const key = fc.constantFrom('a', 'b', 'c');
    const command = fc.oneof(
      fc.record({ kind: fc.constant('put' as const), key, ms: fc.integer({ min: 1, max: 90 * 60 }) }),
      fc.record({ kind: fc.constant('take' as const), key, ms: fc.constant(0) }),
      fc.record({ kind: fc.constantFrom('advance' as const, 'stall' as const), key, ms: fc.nat(HOUR) }),
      fc.record({ kind: fc.constant('jump' as const), key, ms: fc.integer({ min: -HOUR, max: HOUR }) }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
        const { cache, clock, putNew } = start({ maxSessions: 5, maxSessionsPerKey: 3 });
        const all = new Set<ClientSession>();
        const taken = new Set<ClientSession>();
        for (const { kind, key: at, ms } of commands) {
          if (kind === 'put') {
            all.add(putNew(at, { ticketLifetime: ms }));
          } else if (kind === 'take') {
            const session = cache.take(at);
            if (session !== undefined) {
              assert(!taken.has(session) && !session.secret.erased);
              assert(clock.now() < session.receivedAt + session.ticketLifetime * 1000);
              taken.add(session);
            }
          } else {
            clock[kind](ms);
          }
          assert(cache.size <= 5);
          assert.equal([...all].filter((s) => !taken.has(s) && !s.secret.erased).length, cache.size);
          assert.equal(clock.timers, cache.size > 0 ? 1 : 0);
        }
        cache.clear();
        assert([...all].every((session) => taken.has(session) !== session.secret.erased));
      }),
      { numRuns: 200 },
    );
  });
});
