/** What a connection has of its own beside what its server serves all with: who picks its protocol, and its certificate. */

import type { ServerContext, ServerSessionCache } from '../connection-options.ts';
import { TLSError } from '../errors.ts';
import { type SecureContext, type SecureContextOptions, toSecureContext } from './secure-context.ts';
import { type ALPNCallback, chooseProtocol } from './server-driver-options.ts';
import type { TLSSocket } from './tls-socket.ts';

interface Served {
  readonly context: SecureContext;
  /** What that is to the core. */
  readonly shared: ServerContext;
  readonly sessionCache?: ServerSessionCache | undefined;
}

export class OwnContexts {
  readonly callback: ALPNCallback | undefined;
  /** What `setKeyCert` said: its certificates and keys alone. */
  readonly #keyCerts = new WeakMap<TLSSocket, SecureContext>();

  constructor(callback: ALPNCallback | undefined) {
    this.callback = callback;
  }

  /** @throws TLSError `TLS_ERR_CONFIG`, and as `createSecureContext` */
  setKeyCert(socket: TLSSocket, given: SecureContext | SecureContextOptions): void {
    const context = toSecureContext(given);
    if (context.credentials.length === 0) {
      throw new TLSError('TLS_ERR_CONFIG', 'setKeyCert: expected a certificate and its key, got neither');
    }
    this.#keyCerts.set(socket, context);
  }

  keyCertOf(socket: TLSSocket): SecureContext | undefined {
    return this.#keyCerts.get(socket);
  }

  of(socket: TLSSocket, { context, shared, sessionCache }: Served): ServerContext {
    const withSessions = sessionCache === undefined ? shared : { ...shared, sessionCache };
    const { callback } = this;
    const keyCerts = this.#keyCerts;
    if (callback === undefined && !keyCerts.has(socket)) {
      return withSessions;
    }
    return {
      ...withSessions,
      // Read after the callback, which may set them.
      get credentials() {
        return (keyCerts.get(socket) ?? context).credentials;
      },
      ...(callback === undefined ? {} : { chooseProtocol: (hello) => chooseProtocol(callback, socket, hello) }),
    };
  }
}
