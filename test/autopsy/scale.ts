/** How much is lived through: 'short' is for every test run. */

import type { Crash } from './life-crash.ts';

export type Scale = 'short' | 'full';

/** Whose life is examined. */
export type Engine = 'mayfly' | 'mayfly server' | 'native server' | 'primitives' | 'planted' | Crash;

export interface Case {
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  readonly group: 'x25519' | 'X25519MLKEM768' | 'secp256r1' | 'secp384r1';
  readonly ciphers: string;
  /** Resumed by ID, not by ticket (TLS 1.2). */
  readonly byId?: boolean;
}

const all: readonly Case[] = [
  { version: 'TLSv1.3', group: 'x25519', ciphers: 'TLS_AES_128_GCM_SHA256' },
  { version: 'TLSv1.3', group: 'X25519MLKEM768', ciphers: 'TLS_AES_256_GCM_SHA384' },
  { version: 'TLSv1.3', group: 'secp256r1', ciphers: 'TLS_CHACHA20_POLY1305_SHA256' },
  { version: 'TLSv1.2', group: 'x25519', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
  { version: 'TLSv1.2', group: 'secp256r1', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384', byId: true },
  { version: 'TLSv1.2', group: 'secp384r1', ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' },
];

export const cases: readonly Case[] = all;

/** Full connections per case, each followed by two resumed ones. */
export const rounds: Readonly<Record<Scale, number>> = { short: 2, full: 12 };
/** Bytes that each end sends. */
export const payload: Readonly<Record<Scale, number>> = { short: 20_000, full: 200_000 };
/** KeyUpdates per connection of TLS 1.3. */
export const updates: Readonly<Record<Scale, number>> = { short: 2, full: 3 };
/** Turns of each ring of ticket keys. */
export const epochs: Readonly<Record<Scale, number>> = { short: 2, full: 6 };
