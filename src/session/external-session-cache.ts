/**
 * A session cache outside this process, such as one shared by a fleet: the interface to implement, and what stands before
 * it. What is stored is sealed: a dump of the store opens nothing, and dies with the ticket key.
 *
 *     value = a ticket (see ticket.ts), bound to the session ID
 *
 * Without sealing, the store would hold the master secret of every session (RFC 5246 §F.1.4).
 */

import type { CryptoProvider } from '../crypto/provider.ts';
import type { SessionState } from './session-state.ts';
import { type OpenedTicket, openTicket, sealTicket } from './ticket.ts';
import type { TicketKeySource } from './ticket-key.ts';

/**
 * Implemented by the host, over Redis, Valkey, memcached or whatever it has. Calls may answer at once or later. IDs and
 * values are for the callee to keep; IDs are sent in clear by TLS 1.2, values are sealed.
 */
export interface ExternalSessionCache {
  /** What was set last under this ID; undefined when there is nothing. */
  get(sessionId: Uint8Array): StoredSession | undefined | Promise<StoredSession | undefined>;
  /** @param lifetime whole seconds after which the store may drop it, at least 1 */
  set(sessionId: Uint8Array, value: StoredSession, lifetime: number): void | Promise<void>;
  delete(sessionId: Uint8Array): void | Promise<void>;
}

/** About 200 bytes, and the client's certificates. */
export type StoredSession = Uint8Array;

interface StoreParts {
  readonly provider: CryptoProvider;
  /** The keys of the tickets: whoever shares the store must share them too. */
  readonly keys: TicketKeySource;
}

export interface SealForStoreOptions extends StoreParts {
  readonly sessionId: Uint8Array;
  readonly state: SessionState;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface OpenFromStoreOptions extends StoreParts {
  readonly sessionId: Uint8Array;
  /** As the store gave it: any bytes at all. */
  readonly value: StoredSession;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * The value to store, or undefined when no key seals: then nothing is stored. The state's secret stays the caller's.
 * @throws TLSError `TLS_ERR_SESSION_STATE` the state has no encoding; `TLS_ERR_SECRET_ERASED`
 */
export function sealForStore(options: SealForStoreOptions): StoredSession | undefined {
  const { provider, keys, sessionId, state, now } = options;
  const key = keys.sealingKey(now);
  return key === undefined ? undefined : sealTicket({ provider, key, state, boundTo: sessionId });
}

/** Opens what `sealForStore` made for this ID, or says why not. The state's secret is the caller's to erase. */
export function openFromStore({ provider, keys, sessionId, value, now }: OpenFromStoreOptions): OpenedTicket {
  return openTicket({ provider, keys, ticket: value, boundTo: sessionId, now });
}

export interface StoredSessionsOptions extends StoreParts {
  readonly cache: ExternalSessionCache;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told when the store fails; the handshake goes on without it. Must not throw. */
  readonly onError?: (error: unknown) => void;
}

/** Sessions in an external cache, sealed on the way in and opened on the way out. A store that fails costs full handshakes. */
export class StoredSessions {
  readonly #options: StoredSessionsOptions;

  constructor(options: StoredSessionsOptions) {
    this.#options = options;
  }

  /**
   * The session of this ID, with a secret that the caller erases. Undefined for none, and for what does not open. A promise
   * only when the store gave one; it is never rejected.
   */
  get(sessionId: Uint8Array): SessionState | undefined | Promise<SessionState | undefined> {
    return this.#settle(
      () => this.#options.cache.get(new Uint8Array(sessionId)),
      (value) => this.#open(sessionId, value),
    );
  }

  /**
   * Stores a copy; the caller erases its own secret. Nothing is stored when no key seals or no life is left.
   * @throws TLSError `TLS_ERR_SESSION_STATE` the state has no encoding; `TLS_ERR_SECRET_ERASED`
   */
  set(sessionId: Uint8Array, state: SessionState): void | Promise<void> {
    const { provider, keys, cache, now } = this.#options;
    const moment = now();
    const end = state.issuedAt + state.ticketLifetime * 1000;
    const lifetime = Math.floor(Math.min(state.ticketLifetime, (end - moment) / 1000));
    const value = lifetime < 1 ? undefined : sealForStore({ provider, keys, sessionId, state, now: moment });
    if (value === undefined) {
      return undefined;
    }
    return this.#settle(() => cache.set(new Uint8Array(sessionId), value, lifetime), nothing);
  }

  delete(sessionId: Uint8Array): void | Promise<void> {
    return this.#settle(() => this.#options.cache.delete(new Uint8Array(sessionId)), nothing);
  }

  #open(sessionId: Uint8Array, value: unknown): SessionState | undefined {
    const { provider, keys, now } = this.#options;
    return value instanceof Uint8Array
      ? openFromStore({ provider, keys, sessionId, value, now: now() }).state
      : undefined;
  }

  /** Runs a call of the store, and turns its failure, now or later, into `undefined` and a word to `onError`. */
  #settle<V, R>(call: () => V | Promise<V>, then: (value: V) => R | undefined): R | undefined | Promise<R | undefined> {
    const failed = (error: unknown): undefined => {
      this.#options.onError?.(error);
      return undefined;
    };
    try {
      const answer = call();
      return isPromise(answer) ? answer.then(then).catch(failed) : then(answer);
    } catch (error) {
      return failed(error);
    }
  }
}

function isPromise<V>(value: V | Promise<V>): value is Promise<V> {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function';
}

function nothing(): undefined {
  return undefined;
}
