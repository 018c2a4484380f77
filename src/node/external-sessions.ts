/**
 * TLS 1.2 sessions by ID that are kept outside this process: by `sessions.cache`, or by listeners of a server's 'newSession'
 * and 'resumeSession' events, as `node:tls` has them. What leaves is sealed under the ring's keys.
 *
 * The core looks sessions up at once. So the look-up is made beforehand, when a connection asks for its context, and the
 * core finds the answer in a cache that belongs to that connection alone.
 */

import type { EventEmitter } from 'node:events';
import { ownBuffer } from '../bytes/bytes.ts';
import type { ServerSessionCache } from '../connection-options.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import { type ExternalSessionCache, type StoredSession, StoredSessions } from '../session/external-session-cache.ts';
import type { SessionState } from '../session/session-state.ts';
import type { TicketKeySource } from '../session/ticket-key.ts';

/** A server whose listeners are the store. */
export class SessionEvents implements ExternalSessionCache {
  readonly #server: EventEmitter;

  constructor(server: EventEmitter) {
    this.#server = server;
  }

  get wanted(): boolean {
    return this.#server.listenerCount('newSession') > 0 || this.#server.listenerCount('resumeSession') > 0;
  }

  get(sessionId: Uint8Array): Promise<StoredSession | undefined> {
    return new Promise((resolve, reject) => {
      const answer = (error: Error | null, data?: Uint8Array | null) => {
        if (error) {
          reject(error);
        } else {
          resolve(data ?? undefined);
        }
      };
      if (!this.#server.emit('resumeSession', ownBuffer(sessionId), answer)) {
        resolve(undefined);
      }
    });
  }

  set(sessionId: Uint8Array, value: StoredSession): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#server.emit('newSession', ownBuffer(sessionId), ownBuffer(value), () => resolve())) {
        resolve();
      }
    });
  }

  /** `node:tls` has no event for it: the store forgets by age. */
  delete(): void {}
}

export interface ConnectionSessionsOptions {
  readonly keys: TicketKeySource;
  readonly cache: ExternalSessionCache;
  readonly onError: (error: unknown) => void;
}

/** The sessions of one connection: the one that was found for it, and the one that it makes. */
export class ConnectionSessions implements ServerSessionCache {
  readonly #stored: StoredSessions;
  #found: SessionState | undefined;
  #storing: Promise<void> | undefined;

  constructor({ keys, cache, onError }: ConnectionSessionsOptions) {
    this.#stored = new StoredSessions({ provider: nodeProvider, keys, cache, now: Date.now, onError });
  }

  /** Resolves when the new session, if there is one, has been stored. */
  get storing(): Promise<void> | undefined {
    return this.#storing;
  }

  /** Looks the session up; never rejected. */
  async find(sessionId: Uint8Array): Promise<void> {
    this.#found = await this.#stored.get(sessionId);
  }

  /** The session that was found, once: its secret passes to the caller. */
  get(): SessionState | undefined {
    const found = this.#found;
    this.#found = undefined;
    return found;
  }

  set(sessionId: Uint8Array, state: SessionState): void {
    const done = this.#stored.set(sessionId, state);
    if (done !== undefined) {
      this.#storing = done;
    }
  }

  /** After a session that is on its way to the store: else that would come last. */
  delete(sessionId: Uint8Array): void {
    const forget = () => this.#stored.delete(sessionId);
    void (this.#storing === undefined ? forget() : this.#storing.then(forget));
  }

  /** Erases what was found and not taken. */
  erase(): void {
    this.get()?.secret.erase('not used');
  }
}
