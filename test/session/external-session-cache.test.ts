/** Sessions in a store outside: sealed, bound to their ID, and a failing store harms nobody. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import {
  type ExternalSessionCache,
  openFromStore,
  StoredSessions,
  sealForStore,
} from '../../src/session/external-session-cache.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import type { SessionState12 } from '../../src/session/session-state.ts';
import { HOUR, plain, sessionState12 } from './fixtures.ts';
import { SimulatedClock } from './simulated-clock.ts';

const sessionId = new Uint8Array(32).fill(1);

interface Held {
  readonly value: Uint8Array;
  readonly lifetime: number;
}

/** As simple as a store can be; `later` makes it answer with promises. */
class Store implements ExternalSessionCache {
  readonly held = new Map<string, Held>();
  readonly #later: boolean;

  constructor(later: boolean) {
    this.#later = later;
  }

  get(id: Uint8Array) {
    return this.#answer(this.held.get(id.join())?.value);
  }

  set(id: Uint8Array, value: Uint8Array, lifetime: number) {
    return this.#answer(void this.held.set(id.join(), { value, lifetime }));
  }

  delete(id: Uint8Array) {
    return this.#answer(void this.held.delete(id.join()));
  }

  #answer<V>(value: V): V | Promise<V> {
    return this.#later ? Promise.resolve(value) : value;
  }
}

function start(later = false, cache: ExternalSessionCache = new Store(later)) {
  const clock = new SimulatedClock();
  const keys = new LocalTicketKeys({ provider, clock });
  const errors: unknown[] = [];
  const sessions = new StoredSessions({
    provider,
    keys,
    cache,
    now: () => clock.now(),
    onError: (error) => errors.push(error),
  });
  const stateNow = (changes: Partial<SessionState12> = {}): SessionState12 =>
    sessionState12({ issuedAt: clock.now(), authenticatedAt: clock.now(), ...changes });
  return { clock, keys, errors, sessions, store: cache as Store, stateNow };
}

for (const later of [false, true]) {
  describe(`external session cache that answers ${later ? 'later' : 'at once'}`, () => {
    it('gives back what was stored, with a secret of its own, until it is deleted', async () => {
      const { sessions, store, keys, stateNow, errors } = start(later);
      const state = stateNow({ peerCertificates: [new Uint8Array(900).fill(6)] });
      await sessions.set(sessionId, state);
      const answer = sessions.get(sessionId);
      assert.equal(answer instanceof Promise, later);
      const found = await answer;
      assert(found);
      assert.deepEqual(plain(found), plain(state));
      assert.notEqual(found.secret, state.secret);
      assert.equal(store.held.get(sessionId.join())?.lifetime, 3600);
      await sessions.delete(sessionId);
      assert.equal(await sessions.get(sessionId), undefined);
      assert.deepEqual(errors, []);
      keys.close();
    });

    it('a store that fails is a store without the session, and the host is told', async () => {
      const failure = new Error('connection refused');
      const fail = (): Promise<undefined> => {
        if (later) {
          return Promise.reject(failure);
        }
        throw failure;
      };
      const { sessions, keys, stateNow, errors } = start(later, { get: fail, set: fail, delete: fail });
      assert.equal(await sessions.get(sessionId), undefined);
      await sessions.set(sessionId, stateNow());
      await sessions.delete(sessionId);
      assert.deepEqual(errors, [failure, failure, failure]);
      keys.close();
    });

    it('whatever a store gives that was not put there is no session', async () => {
      for (const value of [new Uint8Array(0), new Uint8Array(300), new Uint8Array(100_000), 'text', 7, null]) {
        const answer = value as Uint8Array;
        const get = () => (later ? Promise.resolve(answer) : answer);
        const nothing = () => undefined;
        const { sessions, keys, errors } = start(later, { get, set: nothing, delete: nothing });
        assert.equal(await sessions.get(sessionId), undefined);
        assert.deepEqual(errors, []);
        keys.close();
      }
    });
  });
}

describe('stored session', () => {
  it('shows nothing of the state, and opens for its own ID only', () => {
    const { keys, clock, stateNow } = start();
    const state = stateNow();
    const now = clock.now();
    const value = sealForStore({ provider, keys, sessionId, state, now });
    assert(value);
    assert.equal(Buffer.from(value).includes(Buffer.from(state.secret.expose().subarray(0, 4))), false);
    assert.equal(Buffer.from(value).includes('example'), false);
    assert(openFromStore({ provider, keys, sessionId, value, now }).state);
    const otherId = new Uint8Array(32).fill(2);
    assert.equal(openFromStore({ provider, keys, sessionId: otherId, value, now }).refusal, 'bad_ticket');
    value[60] ^= 1;
    assert.equal(openFromStore({ provider, keys, sessionId, value, now }).refusal, 'bad_ticket');
    keys.close();
  });

  it('a dump of the store dies with the ticket key', async () => {
    const { sessions, store, keys, stateNow } = start();
    await sessions.set(sessionId, stateNow());
    keys.flush();
    assert.equal(store.held.size, 1);
    assert.equal(await sessions.get(sessionId), undefined);
    keys.close();
  });

  it('is over when its lifetime is, though the store still has it', async () => {
    const { sessions, clock, keys, stateNow } = start();
    await sessions.set(sessionId, stateNow());
    clock.advance(HOUR - 1);
    assert(await sessions.get(sessionId));
    clock.advance(1);
    assert.equal(await sessions.get(sessionId), undefined);
    keys.close();
  });

  it('is stored for what is left of its life, and not at all without a life or a key', async () => {
    const { sessions, store, clock, keys, stateNow } = start();
    await sessions.set(sessionId, stateNow({ issuedAt: clock.now() - HOUR + 1500 }));
    assert.equal(store.held.get(sessionId.join())?.lifetime, 1);
    store.held.clear();
    await sessions.set(sessionId, stateNow({ issuedAt: clock.now() - HOUR + 999 }));
    keys.close();
    await sessions.set(sessionId, stateNow());
    assert.equal(store.held.size, 0);
  });

  it('a state without an encoding is the caller’s error', () => {
    const { sessions, keys, stateNow } = start();
    assert.throws(() => sessions.set(sessionId, stateNow({ serverName: 'n'.repeat(256) })), {
      code: 'TLS_ERR_SESSION_STATE',
    });
    keys.close();
  });
});
