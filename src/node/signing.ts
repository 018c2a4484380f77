/** Signatures that the core asks for, for either end: made by a `sign` function, or on another thread with a slow key. */

import type { Need } from '../actions.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import { TLSError } from '../errors.ts';
import type { SignFunction } from './secure-context.ts';
import type { TLSSocket } from './tls-socket.ts';

/** Has a `sign` need answered; one that fails ends the connection with `TLS_ERR_SIGN_FAILED`. */
export function answerSign(
  socket: TLSSocket,
  need: Extract<Need, { kind: 'sign' }>,
  sign: SignFunction | undefined,
): void {
  const fail = (cause: unknown) => {
    if (cause instanceof TLSError) {
      socket.giveUp('internal_error', cause);
      return;
    }
    const detail = cause instanceof Error ? cause.message : String(cause);
    const error = new TLSError('TLS_ERR_SIGN_FAILED', `the sign function failed: ${detail}`, { cause });
    socket.giveUp('internal_error', error);
  };
  const { privateKey } = need.credential;
  if (privateKey !== undefined) {
    nodeProvider
      .signLater(need.scheme, privateKey, need.data)
      .then((signature) => process.nextTick(() => socket.answer(need, signature)), fail);
    return;
  }
  if (sign === undefined) {
    fail('none was given');
    return;
  }
  // The data is the core's: a signer that keeps it must not see it change.
  Promise.resolve()
    .then(() => sign(need.scheme, need.data.slice()))
    .then((signature) => {
      if (!ArrayBuffer.isView(signature)) {
        throw new TypeError('it must return the signature as bytes');
      }
      return signature;
    })
    .then((signature) => process.nextTick(() => socket.answer(need, signature)), fail);
}
