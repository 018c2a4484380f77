/** The ring over a store and a clock, and as the source of a server's ticket keys. */

import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import type { RingEvent } from '../../src/fleet/actions.ts';
import { ringConfiguration } from '../../src/fleet/configuration.ts';
import { createIdentityFiles, readIdentityFile } from '../../src/fleet/identity.ts';
import { MemoryStore } from '../../src/fleet/memory-store.ts';
import { Ring, type RingOptions } from '../../src/fleet/ring.ts';
import { ticketKeyUses } from '../../src/fleet/ring-keys.ts';
import type { RingStore } from '../../src/fleet/store.ts';
import { openTicket, sealTicket } from '../../src/session/ticket.ts';
import { HOUR, MINUTE, plain, sessionState, sessionState12, T0 } from '../session/fixtures.ts';
import { SimulatedClock } from '../session/simulated-clock.ts';
import { SecretWatch } from '../support/secret-watch.ts';

const names = ['a', 'b', 'c'];
const files = createIdentityFiles(provider, 'fleet', names).map((text) => readIdentityFile(provider, text));
const configuration = ringConfiguration({
  fleetName: 'fleet',
  allowList: files[0].members.map(({ publicKey }) => publicKey),
  policies: ['default', 'other'],
  dangerouslyClassicalKem: true,
});
const uses = ['default', 'other'].flatMap(ticketKeyUses);

describe('a ring over a store', () => {
  let rings: Ring[] = [];

  afterEach(async () => {
    for (const ring of rings) {
      await ring.close();
    }
    rings = [];
  });

  function start(
    clock: SimulatedClock,
    store: RingStore,
    count: number,
    changes: Partial<Pick<RingOptions, 'onStoreError' | 'provider'>> = {},
  ) {
    const events: RingEvent[] = [];
    for (const { identity, name } of files.slice(0, count)) {
      const onEvent = (event: RingEvent) => void events.push(event);
      rings.push(new Ring({ provider, configuration, identity, name, uses, store, clock, onEvent, ...changes }));
    }
    return events;
  }

  /** Lets time pass in small steps, and all that waits for the store be done in each. */
  async function pass(clock: SimulatedClock, ms: number, step = 1_000): Promise<void> {
    for (let left = ms; left > 0; left -= step) {
      clock.advance(Math.min(step, left));
      await new Promise((done) => setImmediate(done));
    }
  }

  it('gives all members the same ticket keys: what one seals, any other opens', async () => {
    const clock = new SimulatedClock();
    start(clock, new MemoryStore(() => clock.now()), 3);
    await pass(clock, MINUTE);
    const sources = rings.map((ring) => ring.ticketKeys('default'));
    for (const [index, source] of sources.entries()) {
      const now = clock.now();
      const key = source.sealingKey(now);
      assert(key);
      for (const state of [sessionState({ issuedAt: now }), sessionState12({ issuedAt: now })]) {
        const ticket = sealTicket({ provider, key, state });
        const opened = openTicket({ provider, keys: sources[(index + 1) % 3], ticket, now });
        assert(opened.state);
        assert.deepEqual(plain(opened.state), plain(state));
      }
    }
    assert.deepEqual(
      sources.map((source) => source.status()[0].ticketsSealed),
      [2, 2, 2],
    );
  });

  it('keeps policies apart: no ticket of one opens under the other', async () => {
    const clock = new SimulatedClock();
    start(clock, new MemoryStore(() => clock.now()), 1);
    await pass(clock, MINUTE);
    const now = clock.now();
    const key = rings[0].ticketKeys('default').sealingKey(now);
    assert(key);
    const ticket = sealTicket({ provider, key, state: sessionState({ issuedAt: now }) });
    const opened = openTicket({ provider, keys: rings[0].ticketKeys('other'), ticket, now });
    assert.equal(opened.refusal, 'unknown_key');
  });

  it('opens what was sealed before a change of epoch, and says no when the key has ended', async () => {
    const clock = new SimulatedClock();
    start(clock, new MemoryStore(() => clock.now()), 2);
    await pass(clock, MINUTE);
    const [a, b] = rings.map((ring) => ring.ticketKeys('default'));
    const now = clock.now();
    const key = a.sealingKey(now);
    assert(key);
    const state = { ticketLifetime: 72_000, issuedAt: now };
    const ticket = sealTicket({ provider, key, state: sessionState(state) });
    const ticket12 = sealTicket({ provider, key, state: sessionState12(state) });
    const open = (bytes: Uint8Array) => openTicket({ provider, keys: b, ticket: bytes, now: clock.now() });
    await pass(clock, HOUR, 10_000);
    assert.notDeepEqual(a.sealingKey(clock.now())?.name, key.name);
    assert(open(ticket).state);
    assert(open(ticket12).state);
    await pass(clock, key.openUntil12 - clock.now(), 10_000);
    assert(open(ticket).state);
    assert.equal(open(ticket12).state, undefined);
    await pass(clock, key.openUntil - clock.now() + 1, 10_000);
    assert.equal(open(ticket).refusal, 'unknown_key');
    assert.equal(key.secret.erased, true);
    assert.equal(key.secret12.erased, true);
  });

  it('tells a key’s times on the wall clock, as a server reckons', async () => {
    const clock = new SimulatedClock();
    start(clock, new MemoryStore(() => clock.now()), 1);
    await pass(clock, MINUTE);
    const key = rings[0].ticketKeys('default').sealingKey();
    assert(key);
    const epoch = Math.floor(T0 / HOUR);
    assert.equal(key.sealUntil, (epoch + 1) * HOUR);
    assert.equal(key.openUntil, (epoch + 3) * HOUR);
    assert.equal(key.openUntil12, (epoch + 2) * HOUR);
  });

  it('goes on without the store, and says so', async () => {
    const clock = new SimulatedClock();
    const store = new MemoryStore(() => clock.now());
    let down = false;
    const failing = new Proxy(store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') {
          return value;
        }
        const call = value.bind(target) as (...values: unknown[]) => unknown;
        return name === 'subscribe'
          ? call
          : (...values: unknown[]) => (down ? Promise.reject(new Error('down')) : call(...values));
      },
    });
    const errors: unknown[] = [];
    const events = start(clock, failing, 2, { onStoreError: (error) => void errors.push(error) });
    await pass(clock, MINUTE);
    down = true;
    await pass(clock, HOUR + MINUTE, 10_000);
    const [a, b] = rings.map((ring) => ring.ticketKeys('default').sealingKey(clock.now()));
    assert(a && b);
    assert.deepEqual(a.name, b.name);
    assert(errors.length > 0);
    assert.equal(rings[0].status().ratchetDepth, 1);
    assert(events.some((event) => event.kind === 'alarm' && event.alarm === 'store_unreachable'));
    down = false;
    await pass(clock, MINUTE);
    assert.equal(rings[0].status().ratchetDepth, 0);
    assert.deepEqual(rings[0].status().alarms, []);
  });

  it('gives others their turn between two envelopes, when these take long', async () => {
    const clock = new SimulatedClock();
    const times: number[] = [];
    const slow: CryptoProvider = {
      ...provider,
      encapsulate(group, publicKey) {
        times.push(clock.monotonic());
        clock.stall(7);
        return provider.encapsulate(group, publicKey);
      },
    };
    const events = start(clock, new MemoryStore(() => clock.now()), 3, { provider: slow });
    await pass(clock, MINUTE);
    assert.equal(events.filter(({ kind }) => kind === 'epoch_made').length, 1);
    assert.equal(times.length, 2, 'one envelope for each of the others');
    assert(times[1] - times[0] > 7, 'a timer fired in between');
  });

  it('keeps its keys’ time where a listener throws', async () => {
    const clock = new SimulatedClock();
    const [{ identity }] = files;
    let isTicking = false;
    let thrown = 0;
    const onEvent = ({ kind }: RingEvent): void => {
      if (isTicking && kind === 'key_ended') {
        throw new Error('a listener');
      }
    };
    const store = new MemoryStore(() => clock.now());
    const times = { epochLength: MINUTE, ticketLifetime: MINUTE, ticketLifetime12: MINUTE, heartbeat: 5_000 };
    const short = ringConfiguration({ ...configuration, ...times, dangerouslyClassicalKem: true });
    const ring = new Ring({ provider, configuration: short, identity, uses, store, clock, onEvent });
    rings.push(ring);
    await pass(clock, MINUTE / 2);
    const seen = [];
    for (let minute = 0; minute < 6; minute++) {
      seen.push(ring.ticketKeys('default').sealingKey());
      for (const end = clock.now() + MINUTE; clock.now() < end; ) {
        isTicking = true;
        try {
          clock.advance(Math.min(500, end - clock.now()));
        } catch {
          thrown++;
        }
        isTicking = false;
        await new Promise((done) => setImmediate(done));
      }
    }
    assert(thrown > 0);
    assert.deepEqual(
      seen.slice(0, 4).map((key) => key?.secret.erased),
      [true, true, true, true],
    );
  });

  it('gives up on a store that does not answer', async () => {
    const clock = new SimulatedClock();
    const store = new MemoryStore(() => clock.now());
    store.listEpochs = () => new Promise(() => undefined);
    const errors: unknown[] = [];
    start(clock, store, 1, { onStoreError: (error) => void errors.push(error) });
    await pass(clock, 10_000);
    assert.equal((errors[0] as { code?: string }).code, 'TLS_ERR_STORE');
    assert(rings[0].status().failedVisits > 0);
  });

  it('carries out orders, and its close leaves neither key nor timer nor record', async () => {
    const clock = new SimulatedClock();
    const store = new MemoryStore(() => clock.now());
    const watch = new SecretWatch();
    start(clock, store, 2);
    await pass(clock, MINUTE);
    await rings[0].evict(files[1].identity.memberId);
    await pass(clock, MINUTE);
    assert.equal(rings[1].member.phase, 'evicted');
    await rings[0].flush();
    assert.equal(rings[0].member.generation, 2);
    await pass(clock, MINUTE);
    const before = rings[0].ticketKeys('default').sealingKey()?.name;
    assert(before);
    rings[0].rotate();
    await pass(clock, MINUTE);
    assert.notDeepEqual(rings[0].ticketKeys('default').sealingKey()?.name, before);
    for (const ring of rings) {
      await ring.close();
    }
    assert.deepEqual(watch.alive, []);
    assert.equal(clock.timers, 0);
    assert.deepEqual(await store.listMembers(), []);
    watch.stop();
  });

  it('refuses an identity that its ring does not allow, and a policy that it does not have', () => {
    const clock = new SimulatedClock();
    const store = new MemoryStore(() => clock.now());
    const [stranger] = createIdentityFiles(provider, 'fleet', ['x']).map((text) => readIdentityFile(provider, text));
    const common = { provider, configuration, store, clock };
    assert.throws(() => new Ring({ ...common, identity: stranger.identity, uses }), { code: 'TLS_ERR_CONFIG' });
    const { identity } = files[0];
    assert.throws(() => new Ring({ ...common, identity, uses: ticketKeyUses('unknown') }), { code: 'TLS_ERR_CONFIG' });
    assert.throws(() => new Ring({ ...common, identity, uses, name: 'x'.repeat(65) }), { code: 'TLS_ERR_CONFIG' });
  });
});
