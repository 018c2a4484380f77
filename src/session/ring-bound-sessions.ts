/**
 * Sessions by ID in this process beside a ring that was made elsewhere. They hold what the ring's tickets of TLS 1.2 hold, so
 * they end as those do: after the ring's period, and all at once with a flush or an eviction, whoever ordered it.
 *
 * The ring tells nobody of an order. But the key that sealed when the last session came ends last of those that ever did, so
 * when that one opens nothing more, neither may any session: looked at before each use, and once a minute.
 */

import type { ServerSessionCache, SessionLifetimes } from '../connection-options.ts';
import { Alarm, type Clock, MAX_WAIT } from './clock.ts';
import type { SessionCache } from './session-cache.ts';
import type { SessionState } from './session-state.ts';
import { remainingLifetime } from './ticket-issuance.ts';
import type { TicketKeySource } from './ticket-key.ts';

export interface RingBoundSessionsOptions {
  readonly keys: TicketKeySource;
  readonly cache: () => Pick<SessionCache, 'set' | 'get' | 'delete' | 'clear'>;
  readonly lifetimes: SessionLifetimes;
  readonly clock: Clock;
}

export class RingBoundSessions implements ServerSessionCache {
  readonly #options: RingBoundSessionsOptions;
  readonly #alarm: Alarm;
  /** Of the key that sealed last; undefined while there are no sessions. */
  #keyName: Uint8Array | undefined;

  constructor(options: RingBoundSessionsOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock, () => this.#wake());
  }

  /** Nothing is kept while no key seals. @throws TLSError as `SessionCache.set` */
  set(sessionId: Uint8Array, state: SessionState): void {
    const { keys, cache, lifetimes, clock } = this.#options;
    const now = clock.now();
    this.#endWithRing(now);
    const key = keys.sealingKey(now);
    const life = key && remainingLifetime(lifetimes, state.authenticatedAt, now, key, state.version);
    if (key === undefined || life === undefined || life <= 0) {
      return;
    }
    if (this.#keyName === undefined) {
      this.#alarm.set(MAX_WAIT);
    }
    this.#keyName = key.name;
    cache().set(sessionId, { ...state, ticketLifetime: Math.min(state.ticketLifetime, life) });
  }

  get(sessionId: Uint8Array, now: number): SessionState | undefined {
    this.#endWithRing(now);
    return this.#options.cache().get(sessionId, now);
  }

  delete(sessionId: Uint8Array): void {
    this.#options.cache().delete(sessionId);
  }

  /** Looks at the ring no more. The cache is closed by its owner. */
  close(): void {
    this.#keyName = undefined;
    this.#alarm.cancel();
  }

  #wake(): void {
    this.#endWithRing(this.#options.clock.now());
    if (this.#keyName !== undefined) {
      this.#alarm.set(MAX_WAIT);
    }
  }

  #endWithRing(now: number): void {
    if (this.#keyName === undefined) {
      return;
    }
    const key = this.#options.keys.openingKey(this.#keyName, now);
    if (key === undefined || key.secret12.erased) {
      this.close();
      this.#options.cache().clear('ring');
    }
  }
}
