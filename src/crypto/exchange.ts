/** One side of one key exchange whose private part is used once: the shape that x25519 and the curves share. */

import { TLSError } from '../errors.ts';
import type { NamedGroup } from './groups.ts';

export interface Exchange {
  readonly publicKey: Uint8Array;
  /**
   * The raw shared secret, which the caller erases. The private part ends with this call, whatever its outcome.
   * @throws TLSError `TLS_ERR_BAD_KEY_SHARE`
   */
  agree(peer: Uint8Array): Uint8Array;
  /** Ends the private part unused. */
  erase(): void;
}

/** Fills bytes from a source that a test controls; absent in production, where the provider's own is used. */
export type RandomSource = (bytes: Uint8Array) => void;

/** @throws TLSError `TLS_ERR_BAD_KEY_SHARE` */
export function checkShareLength(group: NamedGroup, share: Uint8Array, expected: number): void {
  if (share.length !== expected) {
    throw badKeyShare(group, `has ${share.length} bytes where ${expected} were expected`);
  }
}

export function badKeyShare(group: NamedGroup, what: string, cause?: unknown): TLSError {
  return new TLSError('TLS_ERR_BAD_KEY_SHARE', `the peer's ${group} key share ${what}`, { cause });
}

/** A private part was asked for a second time. */
export function spentKeyShare(group: NamedGroup): TLSError {
  return new TLSError('TLS_ERR_SECRET_ERASED', `a ${group} key share was used after it was spent`);
}
