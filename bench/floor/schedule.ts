/**
 * Key schedules of the floor, as calls of the provider and nothing else: no `Secret` but those that the provider itself
 * makes, nothing erased. What an implementation may put off until somebody asks for it is left out: the exporter secret,
 * and at a client the PSK of a ticket that is not used.
 *
 * RFC 9846 §7.1, RFC 5246 §5.
 */

import { utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import type { AeadName } from '../../src/crypto/suites.ts';
import { PreparedLabel } from '../../src/keys/hkdf.ts';
import { type Direction, keyLength } from './kinds.ts';
import { Direction12, Direction13 } from './records.ts';

export const labels = {
  binder: new PreparedLabel('res binder'),
  clientHandshake: new PreparedLabel('c hs traffic'),
  serverHandshake: new PreparedLabel('s hs traffic'),
  clientApplication: new PreparedLabel('c ap traffic'),
  serverApplication: new PreparedLabel('s ap traffic'),
  resumption: new PreparedLabel('res master'),
  ticketPsk: new PreparedLabel('resumption'),
} as const;

const DERIVED = new PreparedLabel('derived');
const FINISHED = new PreparedLabel('finished');
const KEY = new PreparedLabel('key');
const IV = new PreparedLabel('iv');
const EMPTY = new Uint8Array(0);
const HASH = 32;

export const ZEROS: Uint8Array = new Uint8Array(HASH);
export const EMPTY_HASH: Uint8Array = nodeProvider.hash('sha256', EMPTY);
/** What the first rung gives without a PSK. */
export const SALT_WITHOUT_PSK: Uint8Array = nodeProvider.hmac(
  'sha256',
  nodeProvider.hmac('sha256', ZEROS, ZEROS),
  DERIVED.fill(HASH, EMPTY_HASH),
);

export function expand(
  provider: CryptoProvider,
  secret: Uint8Array,
  label: PreparedLabel,
  context: Uint8Array,
): Uint8Array {
  return provider.hmacOfRandomKey('sha256', secret, label.fill(HASH, context));
}

/** The next rung: extracted from what the one above derives, a random secret: all PSKs here are tickets'. */
export function nextRung(provider: CryptoProvider, secret: Uint8Array, input: Uint8Array): Uint8Array {
  return provider.hmacOfRandomKey('sha256', expand(provider, secret, DERIVED, EMPTY_HASH), input);
}

export function recordKeys(provider: CryptoProvider, secret: Uint8Array, aead: AeadName): Direction {
  const length = keyLength(aead);
  const key = provider.hmacOfRandomKey('sha256', secret, KEY.fill(length, EMPTY));
  const iv = provider.hmacOfRandomKey('sha256', secret, IV.fill(NONCE, EMPTY));
  // A Secret is taken over without a copy.
  return new Direction13(provider.aead(aead, Secret.adopt('aeadKey', key, length)), iv.subarray(0, NONCE));
}

export function finished(provider: CryptoProvider, secret: Uint8Array, transcript: Uint8Array): Uint8Array {
  return provider.publicHmac('sha256', expand(provider, secret, FINISHED, EMPTY), transcript);
}

export function pskBinder(provider: CryptoProvider, early: Uint8Array, transcript: Uint8Array): Uint8Array {
  return finished(provider, expand(provider, early, labels.binder, EMPTY_HASH), transcript);
}

/** TLS 1.2's pseudorandom function, over a seed that has its label in front; 32 bytes, or 64 where more are wanted. */
export function prf(provider: CryptoProvider, secret: Uint8Array, seed: Seed, isLong: boolean): Uint8Array {
  const { input, bytes } = seed;
  const a = provider.publicHmac('sha256', secret, bytes);
  input.set(a);
  if (!isLong) {
    return provider.publicHmac('sha256', secret, input);
  }
  const first = provider.hmacOfRandomKey('sha256', secret, input);
  input.set(provider.publicHmac('sha256', secret, a));
  const out = new Uint8Array(new ArrayBuffer(2 * HASH));
  out.set(first);
  out.set(provider.hmacOfRandomKey('sha256', secret, input), HASH);
  return out;
}

/** A PRF's label, with room for A(i) before it and for what goes behind it: filled anew for each call. */
export class Seed {
  readonly input: Uint8Array;
  readonly bytes: Uint8Array;
  readonly #from: number;

  constructor(label: string, length: number) {
    const name = utf8(label);
    this.#from = HASH + name.length;
    this.input = new Uint8Array(HASH + name.length + length);
    this.bytes = this.input.subarray(HASH);
    this.bytes.set(name);
  }

  fill(first: Uint8Array, second: Uint8Array = EMPTY): this {
    this.input.set(first, this.#from);
    this.input.set(second, this.#from + first.length);
    return this;
  }
}

/** The two directions of AES-128-GCM from their key block: client's and server's key, client's and server's salt. */
export function keyBlock(provider: CryptoProvider, block: Uint8Array): { client: Direction; server: Direction } {
  const at = (from: number, salt: number): Direction => {
    const key = Secret.adopt('aeadKey', block.subarray(from, from + 16), 16);
    return new Direction12(provider.aead('aes-128-gcm', key), block.subarray(salt, salt + 4));
  };
  return { client: at(0, 32), server: at(16, 36) };
}

export const NONCE = 12;
