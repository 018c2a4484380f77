/** One held key and its deadlines, on both clocks, with a store that may lie. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { MAX_KEY_LIFE, ringConfiguration } from '../../src/fleet/configuration.ts';
import { epochTimes } from '../../src/fleet/epoch-rules.ts';
import { HeldKey, type HeldKeyOptions } from '../../src/fleet/held-key.ts';
import { HeldKeys } from '../../src/fleet/held-keys.ts';
import { ticketKeyUses } from '../../src/fleet/ring-keys.ts';
import type { Moment } from '../../src/session/clock.ts';
import { SecretWatch } from '../support/secret-watch.ts';

const HOUR = 3_600_000;
const EPOCH = 500_000;
const START = EPOCH * HOUR;
const configuration = ringConfiguration({ fleetName: 'fleet', allowList: [new Uint8Array(32)] });
const context = { provider, configuration, uses: ticketKeyUses('default') };

/** Both clocks so many milliseconds after the anchor. */
function after(ms: number, jump = 0, asleep = 0): Moment {
  return { wall: START + ms + jump, monotonic: 7_000 + ms - asleep };
}

function held(changes: Partial<HeldKeyOptions> = {}): HeldKey {
  return new HeldKey(context, {
    secret: Secret.copy('epochSecret', new Uint8Array(32).fill(changes.rotation ?? 1)),
    epoch: EPOCH,
    rotation: 0,
    generation: 0,
    times: epochTimes(configuration, EPOCH, START, false),
    anchor: { moment: after(0), ring: START },
    age: 0,
    distrustStore: false,
    ...changes,
  });
}

describe('a held key', () => {
  it('waits, seals, opens and ends, by ring time from its anchor on', () => {
    const key = held();
    const states = [0, configuration.settle - 1, configuration.settle, HOUR - 1, HOUR, 3 * HOUR - 1, 3 * HOUR];
    assert.deepEqual(
      states.map((ms) => key.state(after(ms))),
      ['waiting', 'waiting', 'sealing', 'sealing', 'opening', 'opening', 'ended'],
    );
  });

  it('ends by the clock that says more', () => {
    const key = held();
    assert.equal(key.state(after(3 * HOUR, -5 * HOUR)), 'ended');
    assert.equal(key.state(after(3 * HOUR, 0, 5 * HOUR)), 'ended');
    assert.equal(key.state(after(HOUR, -HOUR)), 'opening');
    assert.equal(key.state(after(0, HOUR)), 'opening');
  });

  it('ends a day after it can have been made, whatever its times say', () => {
    const key = held({ age: MAX_KEY_LIFE - HOUR, times: { ...epochTimes(configuration, EPOCH, START, false) } });
    assert.equal(key.state(after(HOUR - 1)), 'sealing');
    assert.equal(key.state(after(HOUR)), 'ended');
    assert.equal(key.opensUntil('mayfly', after(0)), START + HOUR);
  });

  it('ends sooner when the store contradicts the local clock, by as much as it may be older than the store says', () => {
    // The store says that it was made just now; it came to a prekey that is 20 minutes old.
    const key = held({ age: HOUR / 3, distrustStore: true });
    assert.equal(key.state(after((HOUR * 2) / 3)), 'opening');
    assert.equal(key.state(after(3 * HOUR - HOUR / 3)), 'ended');
    assert.equal(held({ age: HOUR / 3 }).state(after(3 * HOUR - HOUR / 3)), 'opening');
    assert.equal(key.opensUntil('mayfly', after(0)), START + 3 * HOUR - HOUR / 3);
  });

  it('tells its times on the wall clock at hand', () => {
    const key = held();
    const now = after(1_000, 50_000);
    // The wall clock was set forward by 50 s: so much of the key's time counts as over.
    assert.equal(key.wallTimes(now).sealUntil, START + HOUR);
    assert.equal(key.opensUntil('mayfly', now), START + 3 * HOUR);
    assert.equal(key.opensUntil('mayfly-12', now), START + 2 * HOUR);
    const back = after(1_000, -50_000);
    assert.equal(key.opensUntil('mayfly', back), START + 3 * HOUR - 50_000);
  });

  it('has a successor from when it begins to seal, once', () => {
    const key = held();
    assert.equal(key.successor(after(0)), undefined);
    const successor = key.successor(after(configuration.settle));
    assert(successor);
    assert.equal(key.successor(after(configuration.settle)), undefined);
    assert.deepEqual([successor.epoch, successor.depth, successor.root.id], [EPOCH + 1, 1, key.id]);
    assert.equal(successor.state(after(HOUR - 1)), 'waiting');
    assert.equal(successor.state(after(HOUR)), 'sealing');
    assert.equal(successor.state(after(4 * HOUR - 1)), 'opening');
    assert.equal(successor.state(after(4 * HOUR)), 'ended');
  });

  it('is followed for a day at the most', () => {
    const keys = new HeldKeys();
    keys.add(held());
    let deepest = 0;
    for (let ms = 0; ms < 40 * HOUR; ms += HOUR / 2) {
      keys.advance(after(ms));
      for (const { depth } of keys.all) {
        deepest = Math.max(deepest, depth);
      }
    }
    // The last one ends its sealing 24 hours after the first was made.
    assert.equal(deepest, 23);
    assert.equal(keys.size, 0);
  });

  it('tells when it changes next, so that nothing is late', () => {
    const key = held();
    const changes: number[] = [];
    for (let ms = 0; key.state(after(ms)) !== 'ended'; ) {
      ms += key.nextChange(after(ms));
      changes.push(ms);
    }
    assert.deepEqual(changes, [configuration.settle, HOUR, 2 * HOUR, 3 * HOUR]);
  });

  it('leaves nothing behind', () => {
    const watch = new SecretWatch();
    const keys = new HeldKeys();
    keys.add(held());
    for (let ms = 0; ms < 30 * HOUR; ms += HOUR / 2) {
      keys.advance(after(ms));
    }
    assert.deepEqual(watch.alive, []);
    watch.stop();
  });
});

describe('the choice of the sealing key', () => {
  const now = after(HOUR / 2);
  const all = () => true;

  it('is a fresh one before a ratcheted, the last rotation, and the smallest id of equals', () => {
    const keys = new HeldKeys();
    const older = held({ epoch: EPOCH - 1, times: epochTimes(configuration, EPOCH - 1, START - HOUR, false) });
    keys.add(older);
    keys.advance(now);
    assert.equal(keys.sealing(now, all)?.depth, 1);
    const twins = [2, 3].map((fill) => held({ secret: Secret.copy('epochSecret', new Uint8Array(32).fill(fill)) }));
    for (const twin of twins) {
      keys.add(twin);
    }
    const smallest = twins[0].id < twins[1].id ? twins[0] : twins[1];
    assert.equal(keys.sealing(now, all), smallest);
    const other = twins[0].id < twins[1].id ? twins[1] : twins[0];
    assert.equal(
      keys.sealing(now, (key) => key === other),
      other,
    );
    const rotation = held({ rotation: 4 });
    keys.add(rotation);
    assert.equal(keys.sealing(now, all), rotation);
    assert.equal(
      keys.sealing(now, (key) => key !== rotation),
      smallest,
    );
  });

  it('is the fresh one as soon as its epoch begins by any clock, if it was made in time', () => {
    const older = () => held({ epoch: EPOCH - 1, times: epochTimes(configuration, EPOCH - 1, START - HOUR, false) });
    // It came later, and by what the store said then its epoch begins a second later.
    const inTime = epochTimes(configuration, EPOCH, START - HOUR / 2, false);
    const late = epochTimes(configuration, EPOCH, START, false);
    const anchor = { ring: START - 1_000, moment: after(0) };
    for (const [times, depth] of [
      [inTime, 0],
      [late, 1],
    ] as const) {
      const keys = new HeldKeys();
      keys.add(older());
      keys.add(held({ secret: Secret.copy('epochSecret', new Uint8Array(32).fill(2)), times, anchor }));
      keys.advance(after(500));
      assert.equal(keys.sealing(after(500), all)?.depth, depth);
    }
  });

  it('is none when none seals', () => {
    const keys = new HeldKeys();
    keys.add(held());
    assert.equal(keys.sealing(after(0), all), undefined);
    assert.equal(keys.sealing(after(HOUR), all), undefined);
  });

  it('a key that comes a second time takes the place of the first', () => {
    const keys = new HeldKeys();
    const [first, second] = [held(), held()];
    keys.add(first);
    keys.add(second);
    assert.equal(keys.size, 1);
    assert.equal(first.hasSecret, false);
    assert.equal(second.hasSecret, true);
  });
});
