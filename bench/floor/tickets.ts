/**
 * Tickets of the floor, of the form of `src/session/ticket.ts`: a key per ticket, made of the ring's secret and a salt.
 *
 *     ticket = format and key name(17) ‖ salt(32) ‖ AES-256-GCM(state) ‖ tag(16)
 */

import { utf8 } from '../../src/bytes/bytes.ts';
import type { AeadKey, CryptoProvider } from '../../src/crypto/provider.ts';
import { TAG } from './kinds.ts';

const NAME = 17;
const SALT = 32;
const HEAD = NAME + SALT;
/** Of a session without a client certificate, padded. */
const STATE = 128;
export const TICKET: number = HEAD + STATE + TAG;

const state = new Uint8Array(STATE);
const info = new Uint8Array(14 + SALT + 1);
info.set(utf8('mayfly ticket'));
info[info.length - 1] = 1;
/** Behind the label. */
const SALT_IN_INFO = 14;

/** Writes a ticket that holds `secret` to `out[at…]`. */
export function sealTicket(
  provider: CryptoProvider,
  ring: Uint8Array,
  secret: Uint8Array,
  out: Uint8Array,
  at: number,
): void {
  const head = out.subarray(at, at + HEAD);
  const salt = head.subarray(NAME);
  provider.random(salt);
  state.set(secret);
  ticketKey(provider, ring, salt).seal(salt.subarray(0, 12), head, state, out, at + HEAD);
}

/** The state: a secret and zeros. */
export function openTicket(provider: CryptoProvider, ring: Uint8Array, ticket: Uint8Array): Uint8Array {
  const head = ticket.subarray(0, HEAD);
  const salt = head.subarray(NAME);
  const opened = ticketKey(provider, ring, salt).open(salt.subarray(0, 12), head, ticket.subarray(HEAD));
  if (opened === undefined) {
    throw new Error('the floor cannot open its own ticket');
  }
  return opened;
}

function ticketKey(provider: CryptoProvider, ring: Uint8Array, salt: Uint8Array): AeadKey {
  info.set(salt, SALT_IN_INFO);
  return provider.aead('aes-256-gcm', provider.hmacOfRandomKey('sha256', ring, info));
}
