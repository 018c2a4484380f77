/**
 * TLS 1.2 sessions by ID of a `node:tls` server in a store outside the process. Node hands a session out with its master
 * secret in clear: it is sealed before it leaves, and the copy erased.
 */

import type { Server } from 'node:tls';
import { nodeProvider } from '../../crypto/node-provider.ts';
import type { ExternalSessionCache } from '../../session/external-session-cache.ts';
import { openBytes, sealBytes } from '../../session/sealed-bytes.ts';
import type { TicketKeySource } from '../../session/ticket-key.ts';

export interface SessionStoreOptions {
  readonly keys: TicketKeySource;
  readonly cache: ExternalSessionCache;
  /** Seconds. */
  readonly lifetime: () => number;
  /** Told when the store fails; the handshake goes on without it. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** Returns what takes the listeners away again. */
export function storeSessions(server: Server, options: SessionStoreOptions): () => void {
  const { keys, cache, lifetime, onError } = options;

  const onNewSession = (sessionId: Buffer, session: Buffer, done: () => void): void => {
    const now = Date.now();
    const key = keys.sealingKey(now);
    if (key === undefined) {
      session.fill(0);
      done();
      return;
    }
    const boundTo = new Uint8Array(sessionId);
    const sealed = sealBytes({ provider: nodeProvider, key, bytes: session, boundTo });
    session.fill(0);
    attempt(() => cache.set(boundTo, sealed, lifetime())).then(
      () => done(),
      (error: unknown) => {
        onError(error);
        done();
      },
    );
  };

  const onResumeSession = (sessionId: Buffer, done: (error: Error | null, session: Buffer | null) => void): void => {
    const boundTo = new Uint8Array(sessionId);
    attempt(() => cache.get(boundTo)).then(
      (sealed) => {
        const bytes =
          sealed instanceof Uint8Array
            ? openBytes({ provider: nodeProvider, keys, sealed, boundTo, now: Date.now() })
            : undefined;
        done(null, bytes === undefined ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
        bytes?.fill(0);
      },
      (error: unknown) => {
        onError(error);
        done(null, null);
      },
    );
  };

  server.on('newSession', onNewSession);
  server.on('resumeSession', onResumeSession);
  return () => {
    server.off('newSession', onNewSession);
    server.off('resumeSession', onResumeSession);
  };
}

/** A call that may throw at once, answer at once, or later. */
async function attempt<T>(call: () => T | Promise<T>): Promise<T> {
  return call();
}
