/**
 * The secret of one epoch, and what is derived from it.
 *
 *     S_E     = HKDF-Extract(salt = a secret of the epoch before, if there is one to go on from, ikm = 32 fresh bytes)
 *     key id  = HKDF-Expand(S_E, "mayfly ring 1 id", 16)
 *     S'_E+1  = HKDF-Expand(S_E, "mayfly ring 1 outage" ‖ E+1, 32)
 *     working = HKDF-Expand(S_E, "mayfly ring 1 working" ‖ opaque policy<1..64> ‖ opaque target<1..64>, length)
 *
 * One-way, so a secret tells nothing of the past; salted, so one creator's bad randomness does not undo the future. No
 * working key serves two products or two policies. RFC 5869 §2.
 */

import { concat, EMPTY, utf8 } from '../bytes/bytes.ts';
import { Secret } from '../bytes/secret.ts';
import { Writer } from '../bytes/writer.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { hkdfExpand, hkdfExtract } from '../keys/hkdf.ts';
import type { SecretUses } from '../ledger/channels.ts';

/**
 * What a working key is for: its length in bytes, and whether it opens for as long as a ticket of TLS 1.3 may be used, or
 * of TLS 1.2. A server that is not Mayfly takes its key apart itself: name, HMAC key and AES key are slices in its own
 * order.
 */
export const workingKeys = {
  /** The name of a ticket key, which is public. */
  'mayfly-name': { length: 16, life: 'ticketLifetime' },
  /** Its secret for TLS 1.3. */
  mayfly: { length: 32, life: 'ticketLifetime' },
  /** Its secret for TLS 1.2, whose tickets hold master secrets. */
  'mayfly-12': { length: 32, life: 'ticketLifetime12' },
  /** Under which sessions in a store are named; they are sealed as tickets of TLS 1.2 are. */
  'session-cache': { length: 32, life: 'ticketLifetime12' },
  /** Name 16, HMAC key 32, AES key 16. */
  'node-callback': { length: 64, life: 'ticketLifetime' },
  'node-48': { length: 48, life: 'ticketLifetime' },
  'nginx-48': { length: 48, life: 'ticketLifetime' },
  'nginx-80': { length: 80, life: 'ticketLifetime' },
  'haproxy-48': { length: 48, life: 'ticketLifetime' },
  'haproxy-80': { length: 80, life: 'ticketLifetime' },
  'envoy-80': { length: 80, life: 'ticketLifetime' },
} as const satisfies Record<string, { length: number; life: 'ticketLifetime' | 'ticketLifetime12' }>;

export type WorkingKeyTarget = keyof typeof workingKeys;

/** A working key that a member wants of every epoch. */
export interface WorkingKeyUse {
  /** One of the configuration's policies. */
  readonly policy: string;
  readonly target: WorkingKeyTarget;
}

/**
 * A new epoch's secret.
 * @param salt a secret to go on from; absent for the first epoch, and after a flush or an eviction
 * @throws TLSError `TLS_ERR_INTERNAL` the randomness is all zero or that of the call before: no key is better than this
 */
export function createEpochSecret(provider: CryptoProvider, salt: Secret | undefined): Secret {
  const fresh = Secret.create('epochSecret', SECRET_LENGTH, (bytes) => provider.random(bytes));
  const again = Secret.create('epochSecret', SECRET_LENGTH, (bytes) => provider.random(bytes));
  try {
    if (isZero(fresh.expose()) || provider.equal(fresh.expose(), again.expose())) {
      throw new TLSError('TLS_ERR_INTERNAL', 'the random generator repeats itself: no epoch secret is made of that');
    }
    return hkdfExtract(provider, 'sha256', salt ?? EMPTY, fresh, 'epochSecret');
  } finally {
    fresh.erase();
    again.erase();
  }
}

/** 16 bytes, public. */
export function keyIdOf(provider: CryptoProvider, secret: Secret): Uint8Array {
  const id = hkdfExpand(provider, 'sha256', secret, ID_LABEL, KEY_ID_LENGTH, 'keyId');
  try {
    return Uint8Array.from(id.expose());
  } finally {
    id.erase();
  }
}

/** The secret that follows without anyone's word: every holder makes the same. */
export function ratchet(provider: CryptoProvider, secret: Secret, nextEpoch: number): Secret {
  const info = new Writer(64).bytes(OUTAGE_LABEL).u64(nextEpoch).finish();
  return hkdfExpand(provider, 'sha256', secret, info, SECRET_LENGTH, 'epochSecret');
}

/** `uses`, for the ledger: what its uses are counted on. */
export function workingKey(
  provider: CryptoProvider,
  secret: Secret,
  { policy, target }: WorkingKeyUse,
  uses?: SecretUses,
): Secret {
  const info = new Writer(128).bytes(WORKING_LABEL).vector8(utf8(policy)).vector8(utf8(target)).finish();
  return hkdfExpand(provider, 'sha256', secret, info, workingKeys[target].length, 'ringWorkingKey', uses);
}

export function isZero(bytes: Uint8Array): boolean {
  let union = 0;
  for (const byte of bytes) {
    union |= byte;
  }
  return union === 0;
}

/** Bytes that an epoch's additional data binds: what HKDF is given stays far below Node's limit for its info. */
export function digest(provider: CryptoProvider, ...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(provider.hash('sha256', concat(...parts)));
}

export const SECRET_LENGTH = 32;
export const KEY_ID_LENGTH = 16;
const ID_LABEL = utf8('mayfly ring 1 id');
const OUTAGE_LABEL = utf8('mayfly ring 1 outage');
const WORKING_LABEL = utf8('mayfly ring 1 working');
