/** Sessions by ID beside a ring that was made elsewhere: they end as its tickets do. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { RingBoundSessions } from '../../src/session/ring-bound-sessions.ts';
import { SessionCache } from '../../src/session/session-cache.ts';
import { HOUR, MINUTE, sessionState12 } from './fixtures.ts';
import { SimulatedClock } from './simulated-clock.ts';

const id = new Uint8Array(32).fill(1);

function start(rotateEvery: number) {
  const clock = new SimulatedClock();
  const keys = new LocalTicketKeys({ provider, clock, rotateEvery, ticketLifetime: 2 * HOUR });
  const cache = new SessionCache({ clock });
  const lifetimes = { ticketLifetime: 3600, handshakeValidity: 86_400 };
  const sessions = new RingBoundSessions({ keys, cache: () => cache, lifetimes, clock });
  const keep = () =>
    sessions.set(id, sessionState12({ issuedAt: clock.now(), authenticatedAt: clock.now(), ticketLifetime: 3600 }));
  const isThere = () => sessions.get(id, clock.now()) !== undefined;
  return { clock, keys, cache, sessions, keep, isThere };
}

describe('sessions by ID beside a ring', () => {
  it('live for the ring’s period, not for the server’s own', () => {
    const { clock, keep, isThere } = start(10 * MINUTE);
    clock.advance(9 * MINUTE);
    keep();
    clock.advance(10 * MINUTE - 1);
    assert.equal(isThere(), true, 'also under the next key');
    clock.advance(1);
    assert.equal(isThere(), false);
  });

  it('stay when the ring goes on to another key, and end when its keys are erased before their time', () => {
    const { clock, keys, keep, isThere } = start(HOUR);
    keep();
    keys.rotate();
    assert.equal(isThere(), true);
    keys.flush();
    assert.equal(isThere(), false);
    keep();
    assert.equal(isThere(), true);
    keys.close();
    assert.equal(isThere(), false);
    keep();
    assert.equal(isThere(), false, 'without a key that seals none is kept');
    assert.equal(clock.timers, 0);
  });

  it('are erased within a minute, though nobody connects', () => {
    const { clock, keys, cache, keep } = start(HOUR);
    keep();
    clock.advance(MINUTE / 2);
    keys.flush();
    assert.equal(cache.stats().entries, 1);
    clock.advance(MINUTE);
    assert.equal(cache.stats().entries, 0);
  });
});
