/**
 * How much one key may protect in QUIC: the bounds of aead-bounds.ts for packets instead of records. Two things differ from
 * TLS over TCP. A packet that does not verify is dropped and not the end, so an attacker has many attempts at one connection,
 * which are counted over all generations of its keys; and packet numbers go on when keys are updated.
 *
 *     blocks = ceil(payload / 16) + 2      additional data: a header of up to 25 bytes (RFC 9000 §17.3.1)
 *
 * RFC 9001 §6.6, Appendix B.
 */

import { type AeadName, type CipherSuiteName, cipherSuites } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { confidentialityLimits, integrityLimits } from '../keys/quic-packet.ts';
import { confidentialityAdvantage, confidentialityLimit, integrityAdvantage, integrityLimit } from './aead-bounds.ts';
import { type Fraction, log2, powerOfTwo } from './exact.ts';
import { check, toFraction } from './questions.ts';

export interface QuicLimitOptions {
  /** What reading may gain from one key. Default 2^-57, which RFC 9001 aims at. */
  readonly confidentiality?: Fraction | string | undefined;
  /** What forging may gain from one connection. Default 2^-57. */
  readonly integrity?: Fraction | string | undefined;
  /** Bytes of payload in each packet: 1 to 65,527. Default 1,200, the least that a path must carry. */
  readonly packetSize?: number;
}

/** Numbers of packets and forgeries are exact; those called advantage, and what is gained, are log2, for people. */
export interface QuicKeyLimits {
  readonly suite: CipherSuiteName;
  readonly aead: AeadName;
  /** Bytes. */
  readonly packetSize: number;
  /** Blocks of 128 bits in one packet, its header included. */
  readonly blocksPerPacket: bigint;
  readonly confidentiality: {
    readonly advantage: number;
    /** Packets that one key may seal; undefined: no bound on them is needed. */
    readonly packets: bigint | undefined;
    readonly bytes: bigint | undefined;
  };
  readonly integrity: {
    readonly advantage: number;
    /** Forgeries that may be tried against one connection. */
    readonly attempts: bigint;
  };
  /** Packet numbers have 62 bits. */
  readonly counter: bigint;
  /** What `QuicPacketProtection` does, whatever the packet size: RFC 9001 §6.6 for packets of up to 2^16 bytes. */
  readonly mayfly: {
    /** Packets that one key seals at most. */
    readonly usageLimit: bigint;
    /** What reading gains by then; undefined: its use adds nothing. */
    readonly gainedByReading: number | undefined;
    /** Forgeries of one connection after which it ends. */
    readonly forgeryLimit: bigint;
    readonly gainedByForging: number;
  };
}

/**
 * What one key of `suite` may protect in QUIC.
 * @throws TLSError `TLS_ERR_CONFIG` a suite that is not of TLS 1.3, or an option out of its range
 */
export function quicKeyLimits(suite: CipherSuiteName, options: QuicLimitOptions = {}): QuicKeyLimits {
  if (!Object.hasOwn(cipherSuites, suite)) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `suite: QUIC has ${Object.keys(cipherSuites).join(', ')}, not ${String(suite)}`,
    );
  }
  const { aead } = cipherSuites[suite];
  const reading = toFraction(options.confidentiality ?? powerOfTwo(-57));
  const forging = toFraction(options.integrity ?? powerOfTwo(-57));
  const packetSize = check('packetSize', options.packetSize ?? 1200, 1, MAX_PACKET);
  const blocks = blocksPerPacket(packetSize);
  const packets = confidentialityLimit(aead, reading, blocks);
  const usageLimit = BigInt(confidentialityLimits[aead]);
  const forgeryLimit = BigInt(integrityLimits[aead]);
  const reached = confidentialityAdvantage(aead, usageLimit, blocks);
  return {
    suite,
    aead,
    packetSize,
    blocksPerPacket: blocks,
    confidentiality: {
      advantage: log2(reading),
      packets,
      bytes: packets === undefined ? undefined : packets * BigInt(packetSize),
    },
    integrity: { advantage: log2(forging), attempts: integrityLimit(aead, forging, blocks) },
    counter: 2n ** 62n,
    mayfly: {
      usageLimit,
      gainedByReading: reached === undefined ? undefined : log2(reached),
      forgeryLimit,
      gainedByForging: log2(integrityAdvantage(aead, forgeryLimit, blocks)),
    },
  };
}

/** Blocks of 128 bits that the AEAD works on for a payload of so many bytes, under the longest short header. */
export function blocksPerPacket(packetSize: number): bigint {
  return BigInt(Math.ceil(packetSize / 16) + 2);
}

/** Bytes: what a UDP datagram over IPv4 or IPv6 can carry at most (RFC 9000 §18.2). */
export const MAX_PACKET = 65_527;
