/** Signatures made by a `sign` function, now or later, for either end. */

import type { Need } from '../actions.ts';
import { TLSError } from '../errors.ts';
import type { SignFunction } from './secure-context.ts';
import type { TLSSocket } from './tls-socket.ts';

/** Has a `sign` need answered; a signer that fails ends the connection with `TLS_ERR_SIGN_FAILED`. */
export function answerSign(
  socket: TLSSocket,
  need: Extract<Need, { kind: 'sign' }>,
  sign: SignFunction | undefined,
): void {
  const fail = (cause: unknown) => {
    const detail = cause instanceof Error ? cause.message : String(cause);
    const error = new TLSError('TLS_ERR_SIGN_FAILED', `the sign function failed: ${detail}`, { cause });
    socket.giveUp('internal_error', error);
  };
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
