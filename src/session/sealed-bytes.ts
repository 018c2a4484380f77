/**
 * Bytes that are kept outside the process under the ring's keys, such as the sessions of another TLS stack.
 *
 *     sealed = format(1) = 3 ‖ key name(16) ‖ salt(32) ‖ AES-256-GCM(key, nonce, bytes) ‖ tag(16)
 *     key    = HKDF-Expand(secret12, "mayfly sealed bytes" ‖ salt, 32)        nonce = the first 12 bytes of the salt
 *     AAD    = format ‖ key name ‖ salt ‖ what it is bound to
 *
 * As with tickets (see ticket.ts) each has a key of its own. They are sealed under the secret that ends first, as they may
 * hold the master secret of a TLS 1.2 connection.
 */

import { concat, utf8 } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { hkdfExpand } from '../keys/hkdf.ts';
import type { TicketKey, TicketKeySource } from './ticket-key.ts';

export interface SealBytesOptions {
  readonly provider: CryptoProvider;
  /** From `TicketKeySource.sealingKey`. */
  readonly key: TicketKey;
  readonly bytes: Uint8Array;
  /** Opens only together with these bytes. */
  readonly boundTo: Uint8Array;
}

export interface OpenBytesOptions {
  readonly provider: CryptoProvider;
  readonly keys: TicketKeySource;
  /** As the store gave it: any bytes at all. */
  readonly sealed: Uint8Array;
  readonly boundTo: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** 65 bytes longer than what goes in. @throws TLSError `TLS_ERR_SECRET_ERASED` the key has ended */
export function sealBytes({ provider, key, bytes, boundTo }: SealBytesOptions): Uint8Array {
  const sealed = new Uint8Array(HEADER_LENGTH + bytes.length + TAG_LENGTH);
  const header = sealed.subarray(0, HEADER_LENGTH);
  const salt = sealed.subarray(SALT_AT, HEADER_LENGTH);
  sealed[0] = FORMAT;
  sealed.set(key.name, 1);
  provider.random(salt);
  withKey(provider, key.secret12, salt, (secret) => {
    const aead = provider.aead('aes-256-gcm', secret.expose(), secret);
    try {
      aead.seal(salt.subarray(0, NONCE_LENGTH), concat(header, boundTo), bytes, sealed, HEADER_LENGTH);
    } finally {
      aead.erase();
    }
  });
  return sealed;
}

/** Undefined for what does not open: another format, a key that has ended, other bytes to be bound to. Does not throw. */
export function openBytes({ provider, keys, sealed, boundTo, now }: OpenBytesOptions): Uint8Array | undefined {
  if (sealed.length < HEADER_LENGTH + TAG_LENGTH || sealed.length > MAX_LENGTH || sealed[0] !== FORMAT) {
    return undefined;
  }
  const key = keys.openingKey(sealed.subarray(1, SALT_AT), now);
  if (key === undefined || key.secret12.erased || now >= key.openUntil12) {
    return undefined;
  }
  const header = sealed.subarray(0, HEADER_LENGTH);
  const salt = sealed.subarray(SALT_AT, HEADER_LENGTH);
  return withKey(provider, key.secret12, salt, (secret) => {
    const aead = provider.aead('aes-256-gcm', secret.expose(), secret);
    try {
      return aead.open(salt.subarray(0, NONCE_LENGTH), concat(header, boundTo), sealed.subarray(HEADER_LENGTH));
    } finally {
      aead.erase();
    }
  });
}

function withKey<T>(provider: CryptoProvider, from: Secret, salt: Uint8Array, use: (secret: Secret) => T): T {
  const key = hkdfExpand(provider, 'sha256', from, concat(LABEL, salt), KEY_LENGTH, 'storedSessionKey');
  try {
    return use(key);
  } finally {
    key.erase();
  }
}

const FORMAT = 3;
const SALT_AT = 1 + 16;
const HEADER_LENGTH = SALT_AT + 32;
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
const KEY_LENGTH = 32;
/** A session with a long chain has a few kilobytes: what is longer would only make us decrypt for nothing. */
const MAX_LENGTH = 2 ** 17;
const LABEL = utf8('mayfly sealed bytes');
