/**
 * Which certificates serve a client, by the name that it asks for: those added for names that match, else what the SNICallback
 * says, else the default. The callback is asked also where a name matches, as in `node:tls`, and may leave it at that.
 */

import { TLSError } from '../errors.ts';
import { type SecureContext, type SecureContextOptions, toSecureContext } from './secure-context.ts';
import { asTlsError, type SNICallback } from './server-driver-options.ts';
import type { TLSSocket } from './tls-socket.ts';

export class VirtualHosts {
  /** Serves names that nothing else is said of, and clients that name none. */
  default: SecureContext;
  readonly #callback: SNICallback | undefined;
  readonly #named: { readonly pattern: RegExp; readonly context: SecureContext }[] = [];

  constructor(context: SecureContext, callback: SNICallback | undefined) {
    this.default = context;
    this.#callback = callback;
  }

  /** False where the default serves everybody. */
  get differ(): boolean {
    return this.#named.length > 0 || this.#callback !== undefined;
  }

  /** Serves names that match `hostname`, where `*` stands for one label. The one added last goes first. */
  add(hostname: string, context: SecureContext | SecureContextOptions): void {
    if (typeof hostname !== 'string' || hostname === '') {
      throw new TLSError('TLS_ERR_CONFIG', 'addContext: a host name is missing');
    }
    const escaped = hostname.replace(/[.^$+?\-\\[\]{}()|]/g, '\\$&').replaceAll('*', '[^.]*');
    this.#named.unshift({ pattern: new RegExp(`^${escaped}$`, 'i'), context: toSecureContext(context) });
  }

  /** Calls one of the two, once: perhaps at once, and for as long as the SNICallback takes. */
  choose(
    { serverName, socket }: { readonly serverName: string; readonly socket: TLSSocket },
    chosen: (context: SecureContext) => void,
    failed: (error: TLSError) => void,
  ): void {
    const named = this.#named.find(({ pattern }) => serverName !== '' && pattern.test(serverName));
    const own = named?.context ?? this.default;
    const callback = this.#callback;
    if (callback === undefined || serverName === '') {
      chosen(own);
      return;
    }
    let answered = false;
    const answer = (error: Error | null, context?: SecureContext | SecureContextOptions | null) => {
      if (answered) {
        return;
      }
      answered = true;
      if (error) {
        failed(new TLSError('TLS_ERR_UNRECOGNIZED_NAME', `SNICallback: ${error.message}`, { cause: error }));
        return;
      }
      try {
        chosen(context ? toSecureContext(context) : own);
      } catch (failure) {
        failed(asTlsError(failure));
      }
    };
    try {
      callback.call(socket, serverName, answer);
    } catch (error) {
      answer(error as Error);
    }
  }
}
