/** A server's world for TLS 1.2: sessions by ticket in one context, by session ID in another. */

import type { ClientOptions, ServerContext, ServerOptions } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import type { ClientSession12 } from '../../src/session/client-session.ts';
import { SessionCache } from '../../src/session/session-cache.ts';
import { type Identity, type Link, World } from './connections.ts';
import { ONLY12 } from './stages12.ts';

/** How a session is named. */
export type Naming = 'ticket' | 'id';
export const NAMINGS: readonly Naming[] = ['ticket', 'id'];

export class World12 extends World {
  readonly cache: SessionCache = new SessionCache({ clock: this.clock });
  readonly byId: ServerContext;

  constructor(changes: Partial<ServerContext> = {}, who?: Identity) {
    super(changes, who);
    this.byId = { ...this.context, tickets: undefined, sessionCache: this.cache };
  }

  contextFor(naming: Naming): ServerContext {
    return naming === 'id' ? this.byId : this.context;
  }

  pair12(naming: Naming, client: Partial<ClientOptions> = {}, server: Partial<ServerOptions> = {}): Link {
    return this.pair(
      { versions: ONLY12, ...client },
      { versions: ONLY12, context: this.contextFor(naming), ...server },
    );
  }

  /** A handshake that must complete. */
  connect12(naming: Naming, client: Partial<ClientOptions> = {}, server: Partial<ServerOptions> = {}): Link {
    const link = this.pair12(naming, client, server).run();
    link.assertComplete();
    return link;
  }

  /** A session from a full handshake; its secret is the caller's. */
  session12(naming: Naming, client: Partial<ClientOptions> = {}, server: Partial<ServerOptions> = {}): ClientSession12 {
    const link = this.connect12(naming, client, server);
    const session = link.client.sessions12.shift();
    if (session === undefined) {
      throw new Error('the full handshake gave no session');
    }
    link.forget();
    return session;
  }

  override close(): void {
    super.close();
    this.cache.close();
  }
}

/** Counts the calls of a provider by name; `importPublicKey` and the like are not calls of a handshake. */
export function countingProvider(): { readonly provider: CryptoProvider; readonly calls: Record<string, number> } {
  const calls: Record<string, number> = {};
  const provider = new Proxy(nodeProvider, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') {
        return value;
      }
      return (...args: unknown[]) => {
        calls[String(name)] = (calls[String(name)] ?? 0) + 1;
        return Reflect.apply(value, target, args);
      };
    },
  });
  return { provider, calls };
}
