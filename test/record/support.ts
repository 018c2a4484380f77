/** What the record tests share: records made by hand, and keys for both directions. */

import { concat } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import { type CipherSuite, cipherSuites } from '../../src/crypto/suites.ts';
import type { RawRecord } from '../../src/record/deframer.ts';
import { RecordOpener, RecordSealer } from '../../src/record/tls13-protection.ts';
import type { TrafficKeys } from '../../src/record/traffic-keys.ts';

export const suites = Object.values(cipherSuites) as readonly CipherSuite[];
export const gcm: CipherSuite = cipherSuites.TLS_AES_128_GCM_SHA256;
export const IV = Uint8Array.of(0xf0, 0xe1, 0xd2, 0xc3, 0xb4, 0xa5, 0x96, 0x87, 0x78, 0x69, 0x5a, 0x4b);
export const MAX_INNER = 2 ** 14 + 1;

/** A record's bytes around any fragment, whole or announced longer than it is. */
export function recordBytes(
  type: number,
  fragment: Uint8Array,
  length = fragment.length,
  version = 0x0303,
): Uint8Array {
  return concat(Uint8Array.of(type, version >> 8, version & 255, length >> 8, length & 255), fragment);
}

export function asRecord(bytes: Uint8Array): RawRecord {
  return { type: bytes[0], header: bytes.subarray(0, 5), fragment: bytes.subarray(5) };
}

export function pattern(length: number, start = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => start + i * 7);
}

/** A fresh copy each time: sealers and openers take keys over. */
export function trafficKeys(suite: CipherSuite = gcm): TrafficKeys {
  return {
    writeKey: Secret.copy('writeKey', pattern(suite.keyLength, 3)),
    writeIv: Secret.copy('writeIv', IV),
  };
}

interface KeyOptions {
  readonly suite?: CipherSuite;
  readonly provider?: CryptoProvider;
  readonly usageLimit?: number;
  readonly maxInnerLength?: number;
}

export function sealer({
  suite = gcm,
  provider = nodeProvider,
  usageLimit = suite.usageLimit,
}: KeyOptions = {}): RecordSealer {
  return new RecordSealer(provider, suite.aead, trafficKeys(suite), usageLimit);
}

export function opener(options: KeyOptions = {}): RecordOpener {
  const { suite = gcm, provider = nodeProvider, usageLimit = suite.usageLimit, maxInnerLength = MAX_INNER } = options;
  return new RecordOpener(provider, suite.aead, trafficKeys(suite), usageLimit, maxInnerLength);
}

/** One sealed record as its own bytes. */
export function sealed(by: RecordSealer, type: number, content: Uint8Array): Uint8Array {
  const out = new Uint8Array(content.length + 22);
  by.seal(type, content, 0, content.length, out, 0);
  return out;
}

/** The nonce of RFC 9846 §5.3 from its definition: the IV as one number, XOR the sequence number. */
export function independentNonce(iv: Uint8Array, sequenceNumber: bigint): Uint8Array {
  let number = 0n;
  for (const byte of iv) {
    number = (number << 8n) | BigInt(byte);
  }
  number ^= sequenceNumber;
  return Uint8Array.from({ length: iv.length }, (_, i) => Number((number >> BigInt(8 * (iv.length - 1 - i))) & 255n));
}

/** A record around any inner plaintext: what a peer that breaks the rules can make. */
export function sealInner(suite: CipherSuite, sequenceNumber: bigint, inner: Uint8Array): Uint8Array {
  const key = nodeProvider.aead(suite.aead, pattern(suite.keyLength, 3));
  const length = inner.length + 16;
  const bytes = recordBytes(23, new Uint8Array(length));
  key.seal(independentNonce(IV, sequenceNumber), bytes.subarray(0, 5), inner, bytes, 5);
  return bytes;
}
