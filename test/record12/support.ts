/** What the tests of TLS 1.2 records share: keys for both directions, and a second implementation from the RFCs. */

import { createCipheriv } from 'node:crypto';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import { type CipherSuite12, cipherSuites12 } from '../../src/crypto/suites12.ts';
import { Tls12Opener, Tls12Sealer } from '../../src/record/tls12-protection.ts';
import type { TrafficKeys } from '../../src/record/traffic-keys.ts';
import { pattern } from '../record/support.ts';

/** One suite per AEAD. */
export const suites: readonly CipherSuite12[] = [
  cipherSuites12.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
  cipherSuites12.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
  cipherSuites12.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];
export const gcm: CipherSuite12 = suites[0];
export const chacha: CipherSuite12 = suites[2];

export function explicitLength(suite: CipherSuite12): 0 | 8 {
  return suite.ivLength === 4 ? 8 : 0;
}

/** Bytes that a record adds to its plaintext. */
export function overhead(suite: CipherSuite12): number {
  return 5 + explicitLength(suite) + 16;
}

/** A fresh copy each time: sealers and openers take keys over. */
export function trafficKeys(suite: CipherSuite12): TrafficKeys {
  return {
    writeKey: Secret.copy('writeKey', keyBytes(suite)),
    writeIv: Secret.copy('implicitNonce', ivBytes(suite)),
  };
}

interface KeyOptions {
  readonly suite?: CipherSuite12;
  readonly provider?: CryptoProvider;
  readonly usageLimit?: number;
}

export function sealer(options: KeyOptions = {}): Tls12Sealer {
  const { suite = gcm, provider = nodeProvider, usageLimit = suite.usageLimit } = options;
  return new Tls12Sealer(provider, suite.aead, trafficKeys(suite), usageLimit);
}

export function opener(options: KeyOptions = {}): Tls12Opener {
  const { suite = gcm, provider = nodeProvider, usageLimit = suite.usageLimit } = options;
  return new Tls12Opener(provider, suite.aead, trafficKeys(suite), usageLimit);
}

/** One sealed record as its own bytes. */
export function sealed(by: Tls12Sealer, type: number, content: Uint8Array): Uint8Array {
  const out = new Uint8Array(content.length + by.overhead);
  by.seal(type, content, 0, content.length, out, 0);
  return out;
}

/** The nonce by its definition, as arithmetic on whole numbers. RFC 5288 §3, RFC 7905 §2. */
export function independentNonce(suite: CipherSuite12, sequence: bigint, explicit = sequence): Buffer {
  const iv = ivBytes(suite);
  if (suite.ivLength === 4) {
    return Buffer.concat([iv, uint64(explicit)]);
  }
  const number = BigInt(`0x${Buffer.from(iv).toString('hex')}`) ^ sequence;
  return Buffer.from(number.toString(16).padStart(24, '0'), 'hex');
}

interface IndependentRecord {
  readonly suite: CipherSuite12;
  readonly sequence: bigint;
  readonly type: number;
  readonly content: Uint8Array;
  /** Only with AES-GCM: a peer may choose it otherwise than we do. */
  readonly explicit?: bigint;
  readonly version?: number;
}

/** A record by its definition: RFC 5246 §6.2.3.3. */
export function independentRecord(options: IndependentRecord): Uint8Array {
  const { suite, sequence, type, content, explicit = sequence, version = 0x0303 } = options;
  const nonce = independentNonce(suite, sequence, explicit);
  const cipher = createCipheriv(suite.aead as 'aes-128-gcm', keyBytes(suite), nonce, { authTagLength: 16 });
  const typeAndVersion = Buffer.from([type, version >> 8, version & 255]);
  cipher.setAAD(Buffer.concat([uint64(sequence), typeAndVersion, uint16(content.length)]));
  const body = [cipher.update(content), cipher.final(), cipher.getAuthTag()];
  const fragment = Buffer.concat(suite.ivLength === 4 ? [uint64(explicit), ...body] : body);
  return new Uint8Array(Buffer.concat([typeAndVersion, uint16(fragment.length), fragment]));
}

function keyBytes(suite: CipherSuite12): Uint8Array {
  return pattern(suite.keyLength, 3);
}

function ivBytes(suite: CipherSuite12): Uint8Array {
  return pattern(suite.ivLength, 0xf0);
}

function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
