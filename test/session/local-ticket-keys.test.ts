/** Ticket keys of this process, on simulated clocks that jump. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { MAX_WAIT } from '../../src/session/clock.ts';
import { LocalTicketKeys, type TicketKeyEvent } from '../../src/session/local-ticket-keys.ts';
import type { TicketKey } from '../../src/session/ticket-key.ts';
import { HOUR, MINUTE } from './fixtures.ts';
import { SimulatedClock } from './simulated-clock.ts';

function start(rotateEvery = HOUR, ticketLifetime = 2 * HOUR) {
  const clock = new SimulatedClock();
  const events: TicketKeyEvent[] = [];
  const keys = new LocalTicketKeys({ provider, clock, rotateEvery, ticketLifetime, onEvent: (e) => events.push(e) });
  const sealing = (): TicketKey => {
    const key = keys.sealingKey(clock.now());
    assert(key, 'no key seals');
    return key;
  };
  return { clock, events, keys, sealing };
}

/** What the test knows of a key, by its own book-keeping. */
interface Known {
  readonly key: TicketKey;
  /** When the source said that it made the key. */
  readonly bornWall: number;
  readonly bornMonotonic: number;
  flushed: boolean;
}

describe('ticket keys of this process', () => {
  it('hold the rules of a key’s life whatever the clocks, calls and timers do', () => {
    const rotateEvery = 10 * MINUTE;
    const ticketLifetime = 25 * MINUTE;
    const life = rotateEvery + ticketLifetime;
    const command = fc.oneof(
      fc.record({ kind: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 20 * MINUTE }) }),
      fc.record({ kind: fc.constant('stall' as const), ms: fc.integer({ min: 1, max: 40 * MINUTE }) }),
      fc.record({ kind: fc.constant('jump' as const), ms: fc.integer({ min: -3 * HOUR, max: 3 * HOUR }) }),
      fc.record({ kind: fc.constantFrom('rotate' as const, 'flush' as const, 'look' as const), ms: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
        const clock = new SimulatedClock();
        const births = new Map<string, { wall: number; monotonic: number }>();
        const events: TicketKeyEvent[] = [];
        const onEvent = (event: TicketKeyEvent): void => {
          events.push(event);
          if (event.kind === 'made') {
            births.set(event.name, { wall: clock.now(), monotonic: clock.monotonic() });
          }
        };
        const keys = new LocalTicketKeys({ provider, clock, rotateEvery, ticketLifetime, onEvent });
        const known: Known[] = [];
        const look = (): void => {
          const key = keys.sealingKey(clock.now());
          assert(key, 'always one sealing key while alive');
          assert.equal(keys.status().filter(({ state }) => state === 'sealing').length, 1);
          assert(!key.secret.erased);
          if (!known.some((entry) => entry.key.secret === key.secret)) {
            const born = births.get(Buffer.from(key.name.subarray(0, 4)).toString('hex'));
            assert(born);
            known.push({ key, bornWall: born.wall, bornMonotonic: born.monotonic, flushed: false });
          }
          const seals = known.find((entry) => entry.key.secret === key.secret) as Known;
          assert(clock.now() < seals.bornWall + rotateEvery, 'seals within its window by the wall clock');
          assert(
            clock.monotonic() < seals.bornMonotonic + rotateEvery,
            'seals within its window by the monotonic clock',
          );
          for (const entry of known) {
            const open = keys.openingKey(entry.key.name, clock.now()) !== undefined;
            assert.equal(open, !entry.key.secret.erased, 'opens as long as it is not erased');
            if (open) {
              assert(!entry.flushed, 'a flushed key does not open');
              assert(clock.now() < entry.bornWall + life, 'opens before openUntil by the wall clock');
              assert(clock.monotonic() < entry.bornMonotonic + life, 'and by the monotonic clock');
            }
            if (!entry.key.secret12.erased) {
              assert(clock.now() < entry.bornWall + 2 * rotateEvery, 'opens TLS 1.2 tickets before openUntil12');
              assert(clock.monotonic() < entry.bornMonotonic + 2 * rotateEvery, 'and by the monotonic clock');
            }
          }
        };
        look();
        for (const { kind, ms } of commands) {
          if (kind === 'flush') {
            keys.flush();
            for (const entry of known) {
              entry.flushed = true;
            }
          } else if (kind === 'rotate') {
            keys.rotate();
          } else if (kind === 'look') {
            look();
          } else {
            clock[kind](ms);
          }
          if (kind === 'advance') {
            const over = known.filter((entry) => clock.monotonic() >= entry.bornMonotonic + life);
            assert(
              over.every((entry) => entry.key.secret.erased),
              'the timer alone erases on time',
            );
            const over12 = known.filter((entry) => clock.monotonic() >= entry.bornMonotonic + 2 * rotateEvery);
            assert(
              over12.every((entry) => entry.key.secret12.erased),
              'and what opens TLS 1.2 tickets before',
            );
          }
        }
        look();
        const made = events.filter((event) => event.kind === 'made').length;
        keys.close();
        assert(known.every((entry) => entry.key.secret.erased && entry.key.secret12.erased));
        assert.equal(events.filter((event) => event.kind === 'ended').length, made);
        assert.equal(clock.timers, 0);
      }),
      { numRuns: 200 },
    );
  });

  it('a key that nobody asks for is erased by the timer at its openUntil', () => {
    const { clock, keys, sealing } = start();
    const { secret } = sealing();
    clock.advance(3 * HOUR - 1);
    assert.equal(secret.erased, false);
    clock.advance(1);
    assert.equal(secret.erased, true);
    keys.close();
  });

  it('what opens TLS 1.2 tickets is erased one sealing period after the last of them, and is told of', () => {
    const { clock, events, keys, sealing } = start();
    const { secret, secret12, name } = sealing();
    clock.advance(2 * HOUR - 1);
    assert.equal(secret12.erased, false);
    clock.advance(1);
    assert.deepEqual([secret12.erased, secret.erased], [true, false]);
    const short = Buffer.from(name.subarray(0, 4)).toString('hex');
    const told = () => events.filter((event) => event.name === short).map(({ kind, why }) => `${kind} ${why}`);
    assert.deepEqual(told(), ['made start', 'sealing start', 'ended12 expired']);
    clock.advance(HOUR);
    assert.deepEqual(told(), ['made start', 'sealing start', 'ended12 expired', 'ended expired']);
    keys.close();
  });

  it('a late timer, a wall clock set forward, rotation and flush end the TLS 1.2 secret too', () => {
    const ends: ((parts: ReturnType<typeof start>) => void)[] = [
      ({ clock, keys }) => {
        clock.stall(2 * HOUR);
        keys.status();
      },
      ({ clock }) => {
        clock.jump(2 * HOUR);
        clock.advance(MAX_WAIT);
      },
      ({ clock, keys }) => {
        clock.advance(MINUTE);
        keys.rotate();
        clock.advance(HOUR);
      },
    ];
    for (const end of ends) {
      const parts = start();
      const { secret, secret12 } = parts.sealing();
      end(parts);
      assert.deepEqual([secret12.erased, secret.erased], [true, false]);
      parts.keys.close();
    }
    const { keys, sealing } = start();
    const { secret12 } = sealing();
    keys.flush();
    assert.equal(secret12.erased, true);
    const last = sealing();
    keys.close();
    assert.equal(last.secret12.erased, true);
  });

  it('keys open TLS 1.2 tickets to their own end where the operator says so', () => {
    const clock = new SimulatedClock();
    const long = { dangerouslyLongTls12Sessions: true };
    const keys = new LocalTicketKeys({ provider, clock, rotateEvery: HOUR, ticketLifetime: 2 * HOUR, ...long });
    const key = keys.sealingKey(clock.now());
    assert(key);
    assert.equal(key.openUntil12, key.openUntil);
    clock.advance(3 * HOUR - 1);
    assert.deepEqual([key.secret12.erased, key.secret.erased], [false, false]);
    clock.advance(1);
    assert.deepEqual([key.secret12.erased, key.secret.erased], [true, true]);
    keys.close();
  });

  it('a key whose timer is late is erased by the next call', () => {
    const { clock, keys, sealing } = start();
    const first = sealing();
    clock.stall(3 * HOUR);
    assert.equal(first.secret.erased, false);
    assert.equal(keys.openingKey(first.name, clock.now()), undefined);
    assert.equal(first.secret.erased, true);
    keys.close();
  });

  it('the next key takes over at the end of the sealing period, to the millisecond', () => {
    const { clock, keys, sealing } = start();
    const first = sealing();
    clock.advance(HOUR - 1);
    assert.equal(sealing(), first);
    clock.advance(1);
    const second = sealing();
    assert.notEqual(second, first);
    assert.equal(second.sealFrom, first.sealUntil);
    assert.equal(keys.openingKey(first.name, clock.now()), first);
    keys.close();
  });

  it('a wall clock set back lengthens no key’s life', () => {
    const { clock, keys, sealing } = start();
    const { secret } = sealing();
    clock.jump(-10 * HOUR);
    clock.advance(HOUR - 1);
    assert.equal(sealing().secret, secret);
    clock.advance(1);
    assert.notEqual(sealing().secret, secret);
    clock.advance(2 * HOUR);
    assert.equal(secret.erased, true);
    keys.close();
  });

  it('a wall clock set forward ends keys early, within a minute even when idle, and setting it back revives none', () => {
    const { clock, keys, sealing } = start();
    const first = sealing();
    clock.jump(3 * HOUR);
    clock.advance(MAX_WAIT);
    assert.equal(first.secret.erased, true);
    clock.jump(-3 * HOUR);
    assert.equal(keys.openingKey(first.name, clock.now()), undefined);
    assert.notEqual(sealing().secret, first.secret);
    keys.close();
  });

  it('a call with a time of its own may narrow a key’s windows but not widen them, and ends no key', () => {
    const { clock, keys, sealing } = start();
    const first = sealing();
    assert.equal(keys.sealingKey(first.sealUntil), undefined);
    assert.equal(keys.openingKey(first.name, first.openUntil), undefined);
    assert.equal(sealing(), first);
    clock.advance(3 * HOUR);
    assert.equal(keys.openingKey(first.name, first.createdAt), undefined);
    keys.close();
  });

  it('rotate makes a new key seal at once, and the old one opens for one ticket lifetime', () => {
    const { clock, events, keys, sealing } = start();
    const first = sealing();
    clock.advance(MINUTE);
    keys.rotate();
    assert.notEqual(sealing().secret, first.secret);
    clock.advance(2 * HOUR - 1);
    assert.equal(keys.openingKey(first.name, clock.now())?.secret, first.secret);
    clock.advance(1);
    assert.equal(first.secret.erased, true);
    assert.deepEqual(events.map(({ kind, why }) => `${kind} ${why}`).slice(0, 4), [
      'made start',
      'sealing start',
      'made rotate',
      'sealing rotate',
    ]);
    keys.close();
  });

  it('rotation in a loop does not grow the ring without bound', () => {
    const { keys, sealing } = start();
    const first = sealing();
    for (let i = 0; i < 300; i++) {
      keys.rotate();
    }
    assert.equal(keys.status().length, 256);
    assert.equal(first.secret.erased, true);
    keys.close();
  });

  it('flush erases every key at once', () => {
    const { events, keys, sealing } = start();
    const secrets = [1, 2, 3].map(() => {
      keys.rotate();
      return sealing().secret;
    });
    keys.flush();
    assert(secrets.every((secret) => secret.erased));
    assert.equal(keys.status().length, 1);
    assert.equal(events.filter(({ kind, why }) => kind === 'ended' && why === 'flush').length, 4);
    keys.close();
  });

  it('close erases all, cancels the timer, is idempotent, and refuses rotate and flush', () => {
    const { clock, keys, sealing } = start();
    const { name, secret } = sealing();
    keys.close();
    keys.close();
    assert.equal(secret.erased, true);
    assert.equal(clock.timers, 0);
    assert.equal(keys.sealingKey(clock.now()), undefined);
    assert.equal(keys.openingKey(name, clock.now()), undefined);
    assert.deepEqual(keys.status(), []);
    assert.throws(() => keys.rotate(), { code: 'TLS_ERR_WRONG_STATE' });
    assert.throws(() => keys.flush(), { code: 'TLS_ERR_WRONG_STATE' });
    clock.advance(10 * HOUR);
    assert.equal(clock.timers, 0);
  });

  it('end on time, idle, where a listener throws', () => {
    const clock = new SimulatedClock();
    const onEvent = (event: TicketKeyEvent): void => {
      if (event.kind === 'ended' || event.why === 'flush') {
        throw new Error('a listener');
      }
    };
    const keys = new LocalTicketKeys({ provider, clock, rotateEvery: HOUR, ticketLifetime: 90 * MINUTE, onEvent });
    const made: TicketKey[] = [];
    for (let hour = 0; hour < 6; hour++) {
      made.push(keys.sealingKey(clock.now()) as TicketKey);
      for (const end = clock.now() + HOUR; clock.now() < end; ) {
        try {
          clock.advance(end - clock.now());
        } catch (error) {
          assert.match(String(error), /a listener/);
        }
      }
    }
    assert.deepEqual(
      made.map(({ secret, secret12 }) => [secret.erased, secret12.erased]),
      [...Array(4).fill([true, true]), [false, true], [false, false]],
    );
    const before = keys.sealingKey(clock.now());
    assert.throws(() => keys.flush(), /a listener/);
    assert.equal(before?.secret.erased, true);
    assert.throws(() => keys.close(), /a listener/);
  });

  it('holds one timer, never longer than a minute', () => {
    const { clock, keys } = start(6 * HOUR, 18 * HOUR);
    clock.advance(30 * HOUR);
    assert.equal(clock.timers, 1);
    keys.close();
  });

  it('status tells names and times, and no key bytes', () => {
    const { keys, sealing } = start();
    const { name, secret } = sealing();
    const [status] = keys.status();
    assert.equal(status.name, Buffer.from(name.subarray(0, 4)).toString('hex'));
    const hex = secret.use((bytes) => Buffer.from(bytes).toString('hex'));
    assert(!JSON.stringify([keys.status(), sealing()]).includes(hex.slice(0, 8)));
    keys.close();
  });

  it('periods out of bounds are refused', () => {
    const clock = new SimulatedClock();
    for (const wrong of [
      { rotateEvery: 0 },
      { ticketLifetime: 0 },
      { rotateEvery: 7 * HOUR },
      { ticketLifetime: 24 * HOUR },
    ]) {
      assert.throws(() => new LocalTicketKeys({ provider, clock, ...wrong }), { code: 'TLS_ERR_CONFIG' });
    }
    assert.equal(clock.timers, 0);
  });
});
