/**
 * What is told of a peer that goes away in the middle of the handshake, by FIN or close_notify: as `node:tls` tells of it, with
 * its code, since that is what those look for who try again. Our own error is the `cause`.
 */

import { TLSError } from '../errors.ts';

/** Where a client was connecting to. */
export interface ConnectTarget {
  readonly host?: string | undefined;
  readonly port?: number | string | undefined;
  readonly path?: string | undefined;
  readonly localAddress?: string | undefined;
}

/** The error as it is handed out; any other than that one is handed out as it is. */
export function asHangUp(error: TLSError | NodeJS.ErrnoException, target?: ConnectTarget): Error {
  if (!isHangUp(error)) {
    return error;
  }
  const what =
    target === undefined
      ? 'socket hang up'
      : 'Client network socket disconnected before secure TLS connection was established';
  const { host, port, path, localAddress } = target ?? {};
  const where = target === undefined ? {} : { path, host, port, localAddress };
  return Object.assign(new Error(what, { cause: error }), { code: 'ECONNRESET', ...where });
}

/** Of an error of the handshake: nothing was said against the peer, it has just gone. */
export function isHangUp(error: TLSError | NodeJS.ErrnoException): boolean {
  return error instanceof TLSError && error.code === 'TLS_ERR_TRUNCATED';
}
