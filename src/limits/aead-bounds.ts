/**
 * What is proved of the AEADs: how an attacker's advantage grows with the use of their keys. With L the blocks of 128 bits
 * in one record, additional data included, q records sealed, v forgeries tried, p the advantage one is willing to give:
 *
 *     one key    AES-GCM            reading   (q(L + 1) + 1)² / 2^129              forging   2v(L + 1) / 2^128
 *                ChaCha20-Poly1305  reading   no term in q                         forging   v(L + 1) / 2^103
 *     all keys   AES-GCM            both      (q + v) L B / 2^127                  B: blocks under any one key
 *                  with nonces of TLS 1.2 and 128-bit keys, if the attacker computes no more than all users together,
 *                                   both      (q + v)² / 2^153 + (q + v) L B / 2^127
 *                ChaCha20-Poly1305  reading   (o + q) / 2^247, q up to 2^100       forging   v(L + 1) / 2^103
 *
 * Collected in draft-irtf-cfrg-aead-limits (work in progress), from: Iwata, Ohashi, Minematsu, eprint 2012/438, and Luykx,
 * Paterson, "Limits on Authenticated Encryption Use in TLS" (one key, GCM); Procter, eprint 2014/613 (ChaCha20-Poly1305);
 * Hoang, Tessaro, Thiruvengadam, eprint 2018/993, theorems 4.3 and 5.3 (all keys, GCM); Degabriele, Govinden, Günther,
 * Paterson, eprint 2023/085, theorem 7.8 (all keys, ChaCha20-Poly1305). RFC 9846 §5.5.
 *
 * All of it takes AES and ChaCha20 for ideal, and never a nonce twice.
 */

import type { AeadName } from '../crypto/suites.ts';
import { type Fraction, floorOf, powerOfTwo, squareRoot, times } from './exact.ts';

/**
 * How the nonce is made. 'randomized': a secret IV of 96 bits XOR the counter (TLS 1.3; RFC 7905). 'partly_implicit': 32
 * secret bits beside the counter, which is sent (RFC 5288).
 */
export type NonceKind = 'randomized' | 'partly_implicit';

/** Records that one key may seal; undefined where no bound on them is known to be needed. */
export function confidentialityLimit(aead: AeadName, advantage: Fraction, blocks: bigint): bigint | undefined {
  if (aead === 'chacha20-poly1305') {
    return undefined;
  }
  const most = squareRoot(floorOf(times(advantage, 2n ** 129n)));
  return most <= 1n ? 0n : (most - 1n) / (blocks + 1n);
}

/** What reading gains from `records` under one key; undefined where the bound does not depend on them. */
export function confidentialityAdvantage(aead: AeadName, records: bigint, blocks: bigint): Fraction | undefined {
  if (aead === 'chacha20-poly1305') {
    return undefined;
  }
  return { numerator: (records * (blocks + 1n) + 1n) ** 2n, denominator: 2n ** 129n };
}

/** Forgeries that may be tried against one key. */
export function integrityLimit(aead: AeadName, advantage: Fraction, blocks: bigint): bigint {
  const bits = aead === 'chacha20-poly1305' ? 103n : 127n;
  const limit = floorOf(times(advantage, 2n ** bits)) / (blocks + 1n);
  return limit < MOST_FORGERIES ? limit : MOST_FORGERIES;
}

/** What `attempts` forgeries gain against one key. */
export function integrityAdvantage(aead: AeadName, attempts: bigint, blocks: bigint): Fraction {
  const bits = aead === 'chacha20-poly1305' ? 103 : 127;
  return times(powerOfTwo(-bits), attempts * (blocks + 1n));
}

export interface AllKeysQuestion {
  readonly aead: AeadName;
  readonly nonce: NonceKind;
  readonly advantage: Fraction;
  /** L. */
  readonly blocks: bigint;
  /** B: the most that any one key protects. */
  readonly blocksPerKey: bigint;
}

/** What all keys together may protect and refuse: of AES-GCM the sum of both. */
export function allKeysLimit(question: AllKeysQuestion): { readonly records: bigint; readonly forgeries: bigint } {
  const { aead, nonce, advantage, blocks, blocksPerKey } = question;
  if (aead === 'chacha20-poly1305') {
    const byAdvantage = floorOf(times(advantage, 2n ** 246n));
    // Half of the advantage is left to the attacker's own work, and theorem 7.8 holds up to here.
    const records = byAdvantage < 2n ** 100n ? byAdvantage : 2n ** 100n;
    return { records, forgeries: floorOf(times(advantage, 2n ** 103n)) / (blocks + 1n) };
  }
  const small = aead === 'aes-128-gcm' ? 161n : 97n;
  const perRecord = blocks * (blocksPerKey + small);
  if (nonce === 'partly_implicit' && aead === 'aes-128-gcm') {
    // Half of the advantage for each of the two terms.
    const byKeys = squareRoot(floorOf(times(advantage, 2n ** 152n)));
    const byBlocks = floorOf(times(advantage, 2n ** 126n)) / perRecord;
    const records = byKeys < byBlocks ? byKeys : byBlocks;
    return { records, forgeries: records };
  }
  const records = floorOf(times(advantage, 2n ** 127n)) / perRecord;
  return { records, forgeries: records };
}

/** The bound of AES-GCM on forgeries holds while all blocks, records and forgeries together are below 2^64. */
const MOST_FORGERIES = 2n ** 63n;
