/** `createPrivateKey` of `node:crypto`, for what is a private key and fails all the same. */

import { createPrivateKey, type KeyObject, type PrivateKeyInput } from 'node:crypto';

/**
 * Node 20 takes an error for that of this key which an earlier call left lying in OpenSSL's queue: one that the application made
 * and that has nothing to do with it, such as `tls.createSecureContext` with an `ecdhCurve` that OpenSSL does not know. The call
 * that fails takes it away, so that the second says what is true.
 */
export function readPrivateKey(input: PrivateKeyInput): KeyObject {
  try {
    return createPrivateKey(input);
  } catch {
    return createPrivateKey(input);
  }
}
