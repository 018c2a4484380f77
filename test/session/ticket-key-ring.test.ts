/** The ring's pure functions. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  endedKeysOf,
  hasEnded12,
  keyState,
  keyTimes,
  nextEvent,
  nextKeyTimes,
  openingKeysOf,
  retiredTimes,
  sealingKeyOf,
  type TicketKeySchedule,
  type TicketKeyTimes,
  ticketKeySchedule,
} from '../../src/session/ticket-key-ring.ts';
import { HOUR, MINUTE, T0 } from './fixtures.ts';

const config = (message: RegExp) => ({ name: 'TLSError', code: 'TLS_ERR_CONFIG', message });

const anySchedule: fc.Arbitrary<TicketKeySchedule> = fc
  .record({
    sealingPeriod: fc.integer({ min: 10 * MINUTE, max: 6 * HOUR }),
    ticketLifetime: fc.integer({ min: 1000, max: 15 * HOUR }),
    distributionDelay: fc.integer({ min: 0, max: 3 * HOUR }),
  })
  .map(ticketKeySchedule);

describe('ticket key schedule', () => {
  it('defaults to one hour of sealing and two hours of opening', () => {
    const lifetimes = { ticketLifetime: 2 * HOUR, ticketLifetime12: HOUR };
    assert.deepEqual(ticketKeySchedule(), { sealingPeriod: HOUR, ...lifetimes, distributionDelay: 0 });
    const ends = { openUntil: T0 + 3 * HOUR, openUntil12: T0 + 2 * HOUR };
    assert.deepEqual(keyTimes(T0, ticketKeySchedule()), {
      createdAt: T0,
      sealFrom: T0,
      sealUntil: T0 + HOUR,
      ...ends,
    });
  });

  it('tickets of TLS 1.2 live for one sealing period, or for less where all tickets do', () => {
    assert.equal(ticketKeySchedule({ sealingPeriod: 10 * MINUTE }).ticketLifetime12, 10 * MINUTE);
    assert.equal(ticketKeySchedule({ ticketLifetime: 5 * MINUTE }).ticketLifetime12, 5 * MINUTE);
    assert.equal(ticketKeySchedule({ ticketLifetime12: 2 * HOUR }).ticketLifetime12, 2 * HOUR);
    assert.throws(
      () => ticketKeySchedule({ ticketLifetime12: 3 * HOUR }),
      config(/in TLS 1.2 .* to 7200 .* got 10800/),
    );
  });

  it('bounds are enforced with the number that came', () => {
    assert.throws(() => ticketKeySchedule({ sealingPeriod: 0 }), config(/sealing period .* 1 to 21600 seconds, got 0/));
    assert.throws(() => ticketKeySchedule({ sealingPeriod: 7 * HOUR }), config(/got 25200/));
    assert.throws(() => ticketKeySchedule({ ticketLifetime: -1000 }), config(/lifetime .* got -1/));
    assert.throws(() => ticketKeySchedule({ ticketLifetime: 23 * HOUR + 1 }), config(/to 82800 seconds/));
    assert.throws(() => ticketKeySchedule({ ticketLifetime: Number.NaN }), config(/got NaN/));
    assert.throws(() => ticketKeySchedule({ distributionDelay: -1 }), config(/distribution delay/));
    assert.throws(() => ticketKeySchedule({ sealingPeriod: 6 * HOUR, ticketLifetime: 19 * HOUR }), config(/86400 s/));
    assert.throws(() => ticketKeySchedule({ sealingPeriod: 1000, ticketLifetime: HOUR }), config(/rotate less often/));
    assert.doesNotThrow(() => ticketKeySchedule({ sealingPeriod: HOUR, ticketLifetime: 23 * HOUR }));
    assert.doesNotThrow(() => ticketKeySchedule({ sealingPeriod: 5000, ticketLifetime: 10_000 }));
  });
});

describe('ticket key ring', () => {
  it('windows are half open: at sealUntil a key only opens, at openUntil it is over', () => {
    const key = { createdAt: 0, sealFrom: 10, sealUntil: 20, openUntil: 30, openUntil12: 25 };
    const states = [0, 9, 10, 19, 20, 29, 30].map((now) => keyState(key, now));
    assert.deepEqual(states, ['waiting', 'waiting', 'sealing', 'sealing', 'opening', 'opening', 'ended']);
    assert.deepEqual(
      [24, 25].map((now) => hasEnded12(key, now)),
      [false, true],
    );
    assert.equal(nextEvent([key], 20), 25);
  });

  it('of two keys in their sealing window the one that entered it last seals', () => {
    const a = { createdAt: 0, sealFrom: 0, sealUntil: 20, openUntil: 40, openUntil12: 40 };
    const b = { createdAt: 0, sealFrom: 10, sealUntil: 30, openUntil: 50, openUntil12: 50 };
    for (const keys of [
      [a, b],
      [b, a],
    ]) {
      assert.equal(sealingKeyOf(keys, 9), a);
      assert.equal(sealingKeyOf(keys, 10), b);
      assert.equal(sealingKeyOf(keys, 30), undefined);
    }
  });

  it('a key that stops sealing early opens for one ticket lifetime more, never longer than before', () => {
    const schedule = ticketKeySchedule();
    const key = keyTimes(T0, schedule);
    assert.equal(retiredTimes(key, T0 + MINUTE, schedule).sealUntil, T0 + MINUTE);
    assert.equal(retiredTimes(key, T0 + MINUTE, schedule).openUntil, T0 + MINUTE + 2 * HOUR);
    assert.equal(retiredTimes(key, T0 + MINUTE, schedule).openUntil12, T0 + MINUTE + HOUR);
    assert.deepEqual(retiredTimes(key, T0 + 2 * HOUR, schedule), key);
    const setBack = retiredTimes(key, T0 - HOUR, schedule);
    assert(setBack.sealFrom <= setBack.sealUntil && setBack.sealUntil <= setBack.openUntil);
  });

  it('a ring kept by nextKeyTimes at each event always seals, with every key opening before it seals', () => {
    fc.assert(
      fc.property(anySchedule, (schedule) => {
        let keys: readonly TicketKeyTimes[] = [];
        let now = T0;
        for (let step = 0; step < 60; step++) {
          const made = nextKeyTimes(keys, now, schedule);
          keys = openingKeysOf(made === undefined ? keys : [...keys, made], now);
          assert.equal(nextKeyTimes(keys, now, schedule), undefined);
          assert.deepEqual(endedKeysOf(keys, now), []);
          if (now >= T0 + schedule.distributionDelay) {
            const sealing = keys.filter((key) => keyState(key, now) === 'sealing');
            assert.equal(sealing.length, 1);
            assert.equal(sealingKeyOf(keys, now), sealing[0]);
          }
          for (const key of keys) {
            assert.equal(key.sealFrom - key.createdAt, schedule.distributionDelay);
            assert(key.openUntil - key.createdAt <= 24 * HOUR);
            assert(key.sealUntil < key.openUntil12 && key.openUntil12 <= key.openUntil);
          }
          const event = nextEvent(keys, now);
          assert(event !== undefined && event > now);
          // The next key is due a distribution delay before its predecessor stops.
          const due = Math.min(
            ...keys.map((key) => key.sealUntil - schedule.distributionDelay).filter((at) => at > now),
          );
          now = Math.min(event, due);
        }
      }),
    );
  });

  it('keys from before the clock was set back do not keep a new one from being made', () => {
    const schedule = ticketKeySchedule();
    const future = keyTimes(T0 + 10 * HOUR, schedule);
    assert.deepEqual(nextKeyTimes([future], T0, schedule), keyTimes(T0, schedule));
  });

  it('without keys there is no next event', () => {
    assert.equal(nextEvent([], T0), undefined);
    assert.equal(nextEvent([keyTimes(T0, ticketKeySchedule())], T0 + 3 * HOUR), undefined);
  });
});
