/**
 * How much one traffic key may protect, suite by suite: what the bounds say, where the record counter ends, what Mayfly does
 * there, and how long all that lasts.
 *
 *     how long a key lasts = min(records by the bound, records by Mayfly's limit) · record size / rate
 *
 * RFC 9846 §5.3, §5.5; RFC 5288 §3; docs/limits.md.
 */

import { type AeadName, type CipherSuiteName, cipherSuites } from '../crypto/suites.ts';
import { type CipherSuite12Name, cipherSuites12 } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import { MAX_PLAINTEXT, READ_LIMIT, RENEGOTIATE_AT_REMAINING, UPDATE_AT_REMAINING } from '../record/limits.ts';
import {
  allKeysLimit,
  confidentialityAdvantage,
  confidentialityLimit,
  integrityAdvantage,
  integrityLimit,
  type NonceKind,
} from './aead-bounds.ts';
import { type Fraction, log2, powerOfTwo, toNumber } from './exact.ts';
import { check, toFraction } from './questions.ts';

export { type QuicKeyLimits, type QuicLimitOptions, quicKeyLimits } from './quic-limits.ts';

export type SuiteName = CipherSuiteName | CipherSuite12Name;

export interface LimitOptions {
  /** What reading may gain from one key. Default 2^-60, which TLS aims at (RFC 9846 §5.5). */
  readonly confidentiality?: Fraction | string | undefined;
  /** What forging may gain from one key. Default 2^-57. */
  readonly integrity?: Fraction | string | undefined;
  /** What both may gain from all keys of everybody together. Default 2^-50: the bounds are looser, and nobody's key is meant. */
  readonly allKeys?: Fraction | string | undefined;
  /** Bytes of application data in each record: 1 to 16,384, the default. Records may be shorter: the limits then err safely. */
  readonly recordSize?: number;
  /** As the option of the same name: lowers what Mayfly lets a key seal. */
  readonly usageLimit?: number;
}

/** Numbers of records and forgeries are exact; those called log2 are for people. */
export interface KeyLimits {
  readonly suite: SuiteName;
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  readonly aead: AeadName;
  /** Bytes. */
  readonly recordSize: number;
  /** Blocks of 128 bits in one record, its additional data included. */
  readonly blocksPerRecord: bigint;
  readonly confidentiality: {
    /** log2 of the advantage that was asked for. */
    readonly advantage: number;
    /** Records that one key may seal; undefined: no bound on them is needed. */
    readonly records: bigint | undefined;
    readonly bytes: bigint | undefined;
  };
  readonly integrity: {
    readonly advantage: number;
    /** Forgeries that may be tried against one key. */
    readonly attempts: bigint;
    /** log2 of what the one forgery gains that a connection lets through to be judged: it ends there. */
    readonly ofOneAttempt: number;
  };
  /** All keys of all connections together, each used as far as Mayfly lets it be. */
  readonly allKeys: {
    readonly advantage: number;
    readonly records: bigint;
    readonly bytes: bigint;
    /** Forgeries, and so connections that an attacker may break in order to try one. */
    readonly forgeries: bigint;
  };
  readonly counter: {
    /** The record counter has 64 bits: it must not wrap. */
    readonly wire: bigint;
    /** What a read key of Mayfly opens at most. */
    readonly read: bigint;
    /** Where TLS 1.2's AES-GCM sends a nonce: it is the counter, so it never repeats. */
    readonly explicitNonce: boolean;
    /**
     * log2 of the chance that random explicit nonces, which RFC 5288 also allows, had repeated by Mayfly's limit; such a
     * repetition gives the authentication key away. Undefined where none is sent.
     */
    readonly hadItBeenRandom: number | undefined;
  };
  readonly mayfly: {
    /** Records that one key may seal. */
    readonly usageLimit: bigint;
    /** Records after which it sees to a new one. */
    readonly renewsAfter: bigint;
    readonly renewsBy: 'KeyUpdate' | 'renegotiation';
    /** log2 of what reading gains from a key used that far; undefined: its use adds nothing. */
    readonly advantage: number | undefined;
  };
  /** The least of them: when a key has to be renewed. */
  readonly renewal: {
    readonly records: bigint;
    readonly bytes: bigint;
    /** 'bound': earlier than Mayfly does by itself: set `usageLimit`, or `keyRenewal.afterBytes`. */
    readonly because: 'bound' | 'usageLimit';
  };
}

/**
 * What one key of `suite` may protect.
 * @throws TLSError `TLS_ERR_CONFIG` an unknown suite, or an option out of its range
 */
export function keyLimits(suite: SuiteName, options: LimitOptions = {}): KeyLimits {
  const info = suiteInfo(suite);
  const { aead, version, nonce } = info;
  const reading = toFraction(options.confidentiality ?? powerOfTwo(-60));
  const forging = toFraction(options.integrity ?? powerOfTwo(-57));
  const recordSize = check('recordSize', options.recordSize ?? MAX_PLAINTEXT, 1, MAX_PLAINTEXT);
  const ownLimit = check('usageLimit', options.usageLimit ?? info.usageLimit, 8, Number.MAX_SAFE_INTEGER);
  const size = BigInt(recordSize);
  const blocks = blocksPerRecord(version, recordSize);
  const usageLimit = BigInt(Math.min(ownLimit, info.usageLimit));
  const reserve = version === 'TLSv1.3' ? UPDATE_AT_REMAINING : Math.min(RENEGOTIATE_AT_REMAINING, ownLimit / 2);
  const renewsAfter = usageLimit - BigInt(Math.floor(reserve));
  const bound = confidentialityLimit(aead, reading, blocks);
  const reached = confidentialityAdvantage(aead, usageLimit, blocks);
  const together = toFraction(options.allKeys ?? powerOfTwo(-50));
  const all = allKeysLimit({ aead, nonce, advantage: together, blocks, blocksPerKey: usageLimit * blocks });
  const explicitNonce = nonce === 'partly_implicit';
  const records = bound !== undefined && bound < renewsAfter ? bound : renewsAfter;
  return {
    suite,
    version,
    aead,
    recordSize,
    blocksPerRecord: blocks,
    confidentiality: {
      advantage: log2(reading),
      records: bound,
      bytes: bound === undefined ? undefined : bound * size,
    },
    integrity: {
      advantage: log2(forging),
      attempts: integrityLimit(aead, forging, blocks),
      ofOneAttempt: log2(integrityAdvantage(aead, 1n, blocks)),
    },
    allKeys: {
      advantage: log2(together),
      records: all.records,
      bytes: all.records * size,
      forgeries: all.forgeries,
    },
    counter: {
      wire: 2n ** 64n,
      read: BigInt(READ_LIMIT),
      explicitNonce,
      hadItBeenRandom: explicitNonce ? log2(collisions(usageLimit)) : undefined,
    },
    mayfly: {
      usageLimit,
      renewsAfter,
      renewsBy: version === 'TLSv1.3' ? 'KeyUpdate' : 'renegotiation',
      advantage: reached === undefined ? undefined : log2(reached),
    },
    renewal: { records, bytes: records * size, because: records === renewsAfter ? 'usageLimit' : 'bound' },
  };
}

/** All suites, TLS 1.3 first. */
export const suiteNames: readonly SuiteName[] = [
  ...(Object.keys(cipherSuites) as CipherSuiteName[]),
  ...(Object.keys(cipherSuites12) as CipherSuite12Name[]),
];

/** How fast a connection sends: bytes of application data, or records, each second. */
export interface Rate {
  readonly unit: 'bytes' | 'records';
  readonly perSecond: number;
}

/**
 * Seconds until so many records are sent.
 * @throws TLSError `TLS_ERR_CONFIG` a rate that is not above zero
 */
export function secondsFor(records: bigint, recordSize: number, rate: Rate): number {
  if (!(Number.isFinite(rate.perSecond) && rate.perSecond > 0)) {
    throw new TLSError('TLS_ERR_CONFIG', `a rate must be above zero, got ${rate.perSecond}`);
  }
  const amount = rate.unit === 'bytes' ? records * BigInt(recordSize) : records;
  return toNumber({ numerator: amount, denominator: 1n }) / rate.perSecond;
}

/**
 * Blocks of 128 bits that the AEAD works on for a record of so many bytes. TLS 1.3 has the content type inside and 5 bytes
 * of additional data, TLS 1.2 has 13 bytes of it (RFC 9846 §5.2; RFC 5246 §6.2.3.3).
 */
export function blocksPerRecord(version: 'TLSv1.2' | 'TLSv1.3', recordSize: number): bigint {
  const inside = version === 'TLSv1.3' ? recordSize + 1 : recordSize;
  return BigInt(Math.ceil(inside / 16) + 1);
}

function suiteInfo(name: SuiteName) {
  if (Object.hasOwn(cipherSuites, name)) {
    const { aead, usageLimit } = cipherSuites[name as CipherSuiteName];
    return { version: 'TLSv1.3', nonce: 'randomized', aead, usageLimit } as const;
  }
  if (Object.hasOwn(cipherSuites12, name)) {
    const { aead, usageLimit, ivLength } = cipherSuites12[name as CipherSuite12Name];
    const nonce: NonceKind = ivLength === 4 ? 'partly_implicit' : 'randomized';
    return { version: 'TLSv1.2', nonce, aead, usageLimit } as const;
  }
  throw new TLSError('TLS_ERR_CONFIG', `suite: expected one of ${suiteNames.join(', ')}, got ${String(name)}`);
}

/** At most n(n - 1)/2 pairs, each equal with 2^-64. */
function collisions(records: bigint): Fraction {
  return { numerator: records * (records - 1n), denominator: 2n ** 65n };
}
