/**
 * The sessions that a client, such as an `https.Agent`, keeps for its later connections: one of TLS 1.3 is used once, one of
 * TLS 1.2 until it ends.
 */

import type { ClientSession, ClientSession12 } from '../session/client-session.ts';
import { type ClientSessionBinding, ClientSessionCache, clientSessionKey } from '../session/client-session-cache.ts';
import { systemClock } from './clock.ts';
import { eraseAtExit } from './erase-at-exit.ts';
import { HandshakeTurns } from './handshake-turns.ts';

export interface ClientSessionsOptions {
  /** Sessions in all. Default 1000. */
  readonly maxSessions?: number;
  /** Sessions for one host and policy. Default 8. */
  readonly maxSessionsPerKey?: number;
  /** Keeps TLS 1.2 sessions for longer than one hour after their full handshake. Default false. */
  readonly dangerouslyLongTls12Sessions?: boolean;
}

export class ClientSessions {
  /** Of connections that share their handshakes. */
  readonly turns: HandshakeTurns = new HandshakeTurns();
  readonly #cache: ClientSessionCache;

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor(options: ClientSessionsOptions = {}) {
    this.#cache = new ClientSessionCache({ clock: systemClock, ...options });
    eraseAtExit(this.#cache, (cache) => cache.clear());
  }

  get size(): number {
    return this.#cache.size;
  }

  key(binding: ClientSessionBinding): string {
    return clientSessionKey(binding);
  }

  /** Takes the session over: its secret is erased here. */
  put(key: string, session: ClientSession): void {
    this.#cache.put(key, session);
  }

  /** The newest session, to be used once and erased: of TLS 1.2 a copy. */
  take(key: string): ClientSession | undefined {
    return this.#cache.take(key);
  }

  /** Erases the TLS 1.2 session that this is, or is a copy of: it must not be resumed again. */
  drop(key: string, session: ClientSession12): void {
    this.#cache.drop(key, session);
  }

  /** Erases all sessions of `key`. */
  forget(key: string): void {
    this.#cache.forget(key);
  }

  /** Erases all sessions. */
  clear(): void {
    this.#cache.clear();
  }
}
