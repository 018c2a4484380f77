/** The server's session-ID cache: bounds, order of eviction, erasure on time, and its memory. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { secretBorn, secretEnded } from '../../src/ledger/channels.ts';
import { MAX_WAIT } from '../../src/session/clock.ts';
import { SessionCache, type SessionCacheOptions } from '../../src/session/session-cache.ts';
import type { SessionState12, SessionState13 } from '../../src/session/session-state.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { HOUR, MINUTE, NO_BYTES, plain, sessionState, sessionState12 } from './fixtures.ts';
import { SimulatedClock } from './simulated-clock.ts';

function start(options: Partial<SessionCacheOptions> = {}) {
  const clock = new SimulatedClock();
  const cache = new SessionCache({ clock, ...options });
  const stateNow = (changes: Partial<SessionState12> = {}): SessionState12 =>
    sessionState12({ issuedAt: clock.now(), authenticatedAt: clock.now(), ...changes });
  const setNew = (name: string | number, changes: Partial<SessionState12> = {}): SessionState12 => {
    const state = stateNow(changes);
    cache.set(id(name), state);
    return state;
  };
  const has = (name: string | number): boolean => {
    const state = cache.get(id(name));
    state?.secret.erase();
    return state !== undefined;
  };
  return { cache, clock, stateNow, setNew, has };
}

function id(name: string | number): Uint8Array {
  const bytes = new Uint8Array(32);
  bytes.set(Buffer.from(String(name)));
  return bytes;
}

describe('session cache', () => {
  it('gives back what was set, with a secret of its own, as often as it is asked', () => {
    const { cache, setNew } = start();
    const state = setNew('a');
    const [first, second] = [cache.get(id('a')), cache.get(id('a'))];
    assert(first && second);
    assert.deepEqual(plain(first), plain(state));
    state.secret.erase();
    first.secret.erase();
    assert.equal(second.secret.erased, false);
    assert.equal(cache.get(id('a'))?.secret.expose()[7], 8);
    cache.close();
  });

  it('keeps sessions of TLS 1.3 as well', () => {
    const { cache, clock } = start();
    const state: SessionState13 = sessionState({ issuedAt: clock.now(), authenticatedAt: clock.now() });
    cache.set(id('a'), state);
    const found = cache.get(id('a'));
    assert(found);
    assert.deepEqual(plain(found), plain(state));
    cache.close();
  });

  it('keeps states that are longer than a slot: long names and client certificates', () => {
    const { cache, setNew } = start();
    for (let length = 0; length <= 255; length += 5) {
      setNew(length, { serverName: 'n'.repeat(length) });
    }
    const certificates = [new Uint8Array(3000).fill(1), new Uint8Array(2000).fill(2)];
    const state = setNew('c', { peerCertificates: certificates });
    const found = cache.get(id('c'));
    assert(found);
    assert.deepEqual(plain(found), plain(state));
    for (let length = 0; length <= 255; length += 5) {
      assert.equal(cache.get(id(length))?.serverName.length, length);
    }
    const before = cache.stats().bytes;
    cache.delete(id('c'));
    assert(before - cache.stats().bytes > 5000);
    cache.close();
  });

  it('finds an ID only when all of it is the same, and its length', () => {
    const { cache, stateNow } = start();
    const sessionId = new Uint8Array(32).fill(1);
    cache.set(sessionId, stateNow());
    for (let at = 0; at < 32; at++) {
      const other = new Uint8Array(sessionId);
      other[at] ^= 1;
      assert.equal(cache.get(other), undefined);
      assert.equal(cache.get(sessionId.subarray(0, at)), undefined);
    }
    assert.equal(cache.get(new Uint8Array(33).fill(1)), undefined);
    cache.set(sessionId.subarray(0, 5), stateNow({ serverName: 'short' }));
    assert.equal(cache.get(sessionId.subarray(0, 5))?.serverName, 'short');
    assert.equal(cache.get(sessionId)?.serverName, 'www.example.com');
    cache.close();
  });

  it('an ID set again has its new session, and the old one is erased', () => {
    const { cache, setNew, has } = start();
    setNew('a');
    setNew('a', { serverName: 'second' });
    assert.equal(cache.stats().entries, 1);
    assert.equal(cache.get(id('a'))?.serverName, 'second');
    cache.delete(id('a'));
    assert.equal(has('a'), false);
    cache.delete(id('a'));
    assert.equal(cache.stats().entries, 0);
    assert.equal(cache.stats().evicted, 0);
  });

  it('beyond maxEntries the one used longest ago goes', () => {
    const { cache, setNew, has } = start({ maxEntries: 3 });
    ['a', 'b', 'c'].map((name) => setNew(name));
    assert(has('a'));
    setNew('d');
    assert.deepEqual(['a', 'b', 'c', 'd'].map(has), [true, false, true, true]);
    assert.equal(cache.stats().evicted, 1);
    assert.equal(cache.stats().entries, 3);
    cache.close();
  });

  it('beyond maxBytes as many go as it takes', () => {
    const { cache, setNew, has } = start({ maxBytes: 65_536 });
    setNew('small');
    const peerCertificates = [new Uint8Array(12_000)];
    for (let i = 0; i < 8; i++) {
      setNew(i, { peerCertificates });
      assert(cache.stats().bytes <= 65_536);
    }
    assert.equal(has('small'), false);
    assert(has(7));
    assert.equal(cache.stats().entries, 5);
    assert.equal(cache.stats().evicted, 4);
    cache.close();
  });

  it('erases on time when idle, by either clock, and then needs no timer', () => {
    const { cache, clock, setNew } = start();
    setNew('a', { ticketLifetime: 600 });
    setNew('b', { ticketLifetime: 1200 });
    clock.jump(-5 * HOUR);
    clock.advance(10 * MINUTE - 1);
    assert.equal(cache.stats().entries, 2);
    clock.advance(1);
    assert.equal(cache.stats().entries, 1);
    clock.jump(6 * HOUR);
    clock.advance(MAX_WAIT);
    assert.equal(cache.stats().entries, 0);
    assert.equal(cache.stats().expired, 2);
    assert.equal(clock.timers, 0);
  });

  it('a session that is over is not found, though no timer has fired', () => {
    const { cache, clock, setNew, has } = start();
    setNew('a', { ticketLifetime: 600 });
    clock.stall(10 * MINUTE - 1);
    assert(has('a'));
    clock.stall(1);
    assert.equal(has('a'), false);
    assert.deepEqual(cache.stats(), { entries: 0, bytes: 0, hits: 1, misses: 1, evicted: 0, expired: 1 });
    setNew('b', { ticketLifetime: 600 });
    assert.equal(cache.get(id('b'), clock.now() + 10 * MINUTE), undefined);
  });

  it('a TLS 1.2 session ends one hour after its full handshake, whenever it was cached', () => {
    const { cache, clock, setNew, has } = start();
    const handshake = clock.now();
    setNew('a', { ticketLifetime: 7200 });
    clock.advance(HOUR - MINUTE);
    setNew('b', { ticketLifetime: 7200, authenticatedAt: handshake });
    assert(has('a') && has('b'));
    clock.advance(MINUTE);
    assert.equal(cache.stats().entries, 0);
  });

  it('a TLS 1.2 session lives for the whole lifetime where the operator says so, and never longer', () => {
    const { cache, clock, setNew, has } = start({ dangerouslyLongTls12Sessions: true, ticketLifetime: 7200 });
    setNew('a', { ticketLifetime: 604_800 });
    clock.advance(2 * HOUR - 2000);
    assert(has('a'));
    clock.advance(2000);
    assert.equal(cache.stats().entries, 0);
  });

  it('a session from the future lives no longer than its lifetime', () => {
    const { cache, clock, setNew } = start();
    setNew('a', { issuedAt: clock.now() + 5 * HOUR, authenticatedAt: clock.now() + 5 * HOUR });
    clock.advance(HOUR);
    assert.equal(cache.stats().entries, 0);
  });

  it('a session that is over when it comes is not kept, and ends the one before it', () => {
    const { cache, clock, setNew } = start();
    setNew('a');
    setNew('a', { ticketLifetime: 0 });
    setNew('b', { issuedAt: clock.now() - HOUR });
    assert.equal(cache.stats().entries, 0);
    assert.equal(clock.timers, 0);
  });

  it('clear erases all and can be used on; after close nothing is kept', () => {
    const { cache, clock, setNew, has } = start();
    ['a', 'b'].map((name) => setNew(name));
    cache.clear('flush');
    assert.equal(has('a'), false);
    assert.equal(clock.timers, 0);
    setNew('a');
    assert(has('a'));
    cache.close();
    cache.close();
    setNew('a');
    assert.equal(has('a'), false);
    assert.equal(cache.stats().entries, 0);
    assert.equal(clock.timers, 0);
  });

  it('an ID of the wrong length, a state without encoding and options of nonsense are refused', () => {
    const { cache, clock, stateNow, setNew, has } = start();
    setNew('a');
    for (const sessionId of [NO_BYTES, new Uint8Array(33)]) {
      assert.throws(() => cache.set(sessionId, stateNow()), { code: 'TLS_ERR_SESSION_STATE' });
      cache.delete(sessionId);
    }
    assert.throws(() => setNew('a', { serverName: 'n'.repeat(256) }), { code: 'TLS_ERR_SESSION_STATE' });
    assert.throws(() => setNew('a', { issuedAt: Number.NaN }), { code: 'TLS_ERR_SESSION_STATE' });
    assert(has('a'));
    cache.close();
    for (const wrong of [
      { maxEntries: 0 },
      { maxEntries: 1.5 },
      { maxBytes: 1000 },
      { ticketLifetime: 0 },
      { ticketLifetime: 82_801 },
    ]) {
      assert.throws(() => new SessionCache({ clock, ...wrong }), { code: 'TLS_ERR_CONFIG' });
    }
  });

  it('its memory holds no byte of a session that ended', () => {
    const slabs = watchSlabs();
    try {
      const { cache, clock, setNew } = start({ maxEntries: 2 });
      setNew('a', { ticketLifetime: 60 });
      setNew('b');
      assert(slabs.bytesSet() > 200);
      const two = slabs.bytesSet();
      setNew('c');
      assert(Math.abs(slabs.bytesSet() - two) < 16);
      cache.delete(id('b'));
      assert(slabs.bytesSet() < two * 0.6);
      clock.advance(HOUR);
      assert.equal(cache.stats().entries, 0);
      // One link between free slots.
      assert(slabs.bytesSet() <= 4);
    } finally {
      slabs.stop();
    }
  });

  it('tells the ledger of each session’s birth and end', () => {
    const watch = new SecretWatch();
    const ends: string[] = [];
    const note = (message: unknown): void => {
      const { kind, why } = message as { kind: string; why: string };
      if (kind === 'cachedSession' || why === 'evicted') {
        ends.push(`${kind} ${why}`);
      }
    };
    secretEnded.subscribe(note);
    assert(secretBorn.hasSubscribers);
    const { cache, clock, stateNow } = start({ maxEntries: 3 });
    const states = [stateNow(), stateNow(), stateNow({ ticketLifetime: 60 })];
    watch.clear();
    const long = stateNow({ peerCertificates: [new Uint8Array(1000)] });
    cache.set(id('long'), long);
    states.forEach((state, i) => {
      cache.set(id(i), state);
    });
    long.secret.erase();
    assert.deepEqual(watch.alive, ['cachedSession', 'cachedSession', 'cachedSession']);
    cache.delete(id(0));
    clock.advance(MINUTE);
    cache.clear('flush');
    assert.deepEqual(watch.alive, []);
    assert.deepEqual(ends, [
      'sessionState evicted',
      'cachedSession deleted',
      'cachedSession expired',
      'cachedSession flush',
    ]);
    secretEnded.unsubscribe(note);
    watch.stop();
  });

  it('takes less than 300 bytes per session, by its own count', () => {
    const { cache, setNew } = start();
    for (let i = 0; i < 1000; i++) {
      setNew(i, { serverName: 'a-rather-long-name.of-some.example.com' });
    }
    const { entries, bytes } = cache.stats();
    assert.equal(entries, 1000);
    assert(bytes / entries < 300, `${bytes / entries}`);
    cache.close();
  });

  it('under any interleaving it does what a plain list would', () => {
    const name = fc.integer({ min: 0, max: 12 });
    const command = fc.oneof(
      fc.record({ kind: fc.constant('set' as const), name, value: fc.integer({ min: 1, max: 4000 }) }),
      fc.record({ kind: fc.constantFrom('get' as const, 'delete' as const), name, value: fc.constant(0) }),
      fc.record({ kind: fc.constant('stall' as const), name, value: fc.nat(HOUR / 2) }),
      fc.record({ kind: fc.constant('clear' as const), name, value: fc.constant(0) }),
    );
    const weighted = fc.array(fc.oneof({ weight: 20, arbitrary: command }), { maxLength: 120 });
    fc.assert(
      fc.property(weighted, (commands) => {
        const { cache, clock, setNew } = start({ maxEntries: 7 });
        /** Least recently used first. */
        let model: { name: number; until: number; mark: string }[] = [];
        const without = (which: number) => model.filter((entry) => entry.name !== which);
        for (const [at, { kind, name: which, value }] of commands.entries()) {
          if (kind === 'set') {
            // Some marks do not fit a slot.
            const mark = `${at}`.padEnd((at * 37) % 120, 'x');
            setNew(which, { ticketLifetime: value, serverName: mark });
            const until = clock.now() + Math.min(value, 3600) * 1000;
            model = [...without(which), { name: which, until, mark }].slice(-7);
          } else if (kind === 'get') {
            const entry = model.find((candidate) => candidate.name === which);
            const alive = entry !== undefined && clock.now() < entry.until;
            assert.equal(cache.get(id(which))?.serverName, alive ? entry.mark : undefined);
            model = alive ? [...without(which), entry] : without(which);
          } else if (kind === 'delete') {
            cache.delete(id(which));
            model = without(which);
          } else if (kind === 'clear') {
            cache.clear();
            model = [];
          } else {
            clock.stall(value);
          }
          assert.equal(cache.stats().entries, model.length);
          assert.equal(clock.timers, model.length > 0 ? 1 : 0);
        }
        cache.close();
      }),
      { numRuns: 300 },
    );
  });

  it('finds every one of thousands after growth, expiry and reuse of their places', () => {
    const { cache, clock, setNew, has } = start();
    for (let i = 0; i < 2000; i++) {
      setNew(i, { ticketLifetime: i % 2 === 0 ? 60 : 3600 });
    }
    clock.advance(MINUTE);
    assert.equal(cache.stats().entries, 1000);
    for (let i = 2000; i < 3500; i++) {
      setNew(i);
    }
    for (let i = 0; i < 3500; i++) {
      assert.equal(has(i), i % 2 === 1 || i >= 2000, `${i}`);
    }
    cache.close();
  });
});

/** Watches the memory that is allocated while it is set up: how many of its bytes are not zero, beside the table's own links. */
function watchSlabs() {
  const original = globalThis.ArrayBuffer;
  const large: ArrayBuffer[] = [];
  globalThis.ArrayBuffer = new Proxy(original, {
    construct(target, args, newTarget) {
      const buffer = Reflect.construct(target, args, newTarget);
      if (buffer.byteLength > 10_000) {
        large.push(buffer);
      }
      return buffer;
    },
  });
  const bytesSet = (): number => {
    assert.equal(large.length, 1);
    let count = 0;
    for (const byte of new Uint8Array(large[0])) {
      count += byte === 0 ? 0 : 1;
    }
    return count;
  };
  const stop = (): void => {
    globalThis.ArrayBuffer = original;
  };
  return { bytesSet, stop };
}
