/** The sessions that a client, such as an `https.Agent`, keeps for its later connections; each is used once. */

import type { ClientSession } from '../session/client-session.ts';
import { type ClientSessionBinding, ClientSessionCache, clientSessionKey } from '../session/client-session-cache.ts';
import { systemClock } from './clock.ts';

export interface ClientSessionsOptions {
  /** Sessions in all. Default 1000. */
  readonly maxSessions?: number;
  /** Sessions for one host and policy. Default 8. */
  readonly maxSessionsPerKey?: number;
}

export class ClientSessions {
  readonly #cache: ClientSessionCache;

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor(options: ClientSessionsOptions = {}) {
    this.#cache = new ClientSessionCache({ clock: systemClock, ...options });
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

  /** Hands over the newest session, to be used once and erased. */
  take(key: string): ClientSession | undefined {
    return this.#cache.take(key);
  }

  /** Erases all sessions. */
  clear(): void {
    this.#cache.clear();
  }
}
