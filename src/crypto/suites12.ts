/**
 * The TLS 1.2 cipher suites: ephemeral key exchange and AEAD only. Their absence is a choice: no RSA key transport, no
 * static DH, no CBC. RFC 5288, RFC 5289, RFC 7905; ECDSA suites also serve Ed25519 and Ed448 keys (RFC 8422 §5.10).
 */

import type { AeadName, HashName } from './suites.ts';

export interface CipherSuite12 {
  readonly name: CipherSuite12Name;
  readonly code: number;
  readonly keyExchange: 'ecdhe' | 'dhe';
  readonly authentication: 'ecdsa' | 'rsa';
  readonly aead: AeadName;
  /** Of the PRF and the transcript. */
  readonly hash: HashName;
  /** Bytes of the hash output. */
  readonly hashLength: number;
  /** Bytes. */
  readonly keyLength: number;
  /** Bytes of the implicit nonce: 4 for AES-GCM, 12 for ChaCha20-Poly1305. */
  readonly ivLength: 4 | 12;
  /** Records that one key may seal. */
  readonly usageLimit: number;
}

/** 2^24.5 full-size records, as for TLS 1.3 (RFC 9846 §5.5). */
const GCM_USAGE_LIMIT = Math.floor(2 ** 24.5);
/** Keeps the sequence number exact as a JavaScript integer. */
const CHACHA_USAGE_LIMIT = 2 ** 48;

const aes128 = {
  aead: 'aes-128-gcm',
  hash: 'sha256',
  hashLength: 32,
  keyLength: 16,
  ivLength: 4,
  usageLimit: GCM_USAGE_LIMIT,
} as const;
const aes256 = {
  aead: 'aes-256-gcm',
  hash: 'sha384',
  hashLength: 48,
  keyLength: 32,
  ivLength: 4,
  usageLimit: GCM_USAGE_LIMIT,
} as const;
const chacha = {
  aead: 'chacha20-poly1305',
  hash: 'sha256',
  hashLength: 32,
  keyLength: 32,
  ivLength: 12,
  usageLimit: CHACHA_USAGE_LIMIT,
} as const;
const ecdsa = { keyExchange: 'ecdhe', authentication: 'ecdsa' } as const;
const rsa = { keyExchange: 'ecdhe', authentication: 'rsa' } as const;
const dhe = { keyExchange: 'dhe', authentication: 'rsa' } as const;

const rows = {
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: { code: 0xc02b, ...ecdsa, ...aes128 },
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: { code: 0xc02f, ...rsa, ...aes128 },
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: { code: 0xc02c, ...ecdsa, ...aes256 },
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: { code: 0xc030, ...rsa, ...aes256 },
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: { code: 0xcca9, ...ecdsa, ...chacha },
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: { code: 0xcca8, ...rsa, ...chacha },
  TLS_DHE_RSA_WITH_AES_128_GCM_SHA256: { code: 0x009e, ...dhe, ...aes128 },
  TLS_DHE_RSA_WITH_AES_256_GCM_SHA384: { code: 0x009f, ...dhe, ...aes256 },
  TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256: { code: 0xccaa, ...dhe, ...chacha },
} as const;

export type CipherSuite12Name = keyof typeof rows;

export const cipherSuites12 = Object.fromEntries(
  Object.entries(rows).map(([name, row]) => [name, { name, ...row }]),
) as unknown as Readonly<Record<CipherSuite12Name, CipherSuite12>>;

const byCode = new Map<number, CipherSuite12>(Object.values(cipherSuites12).map((suite) => [suite.code, suite]));

/** The suite with this code point, or undefined for one that Mayfly does not speak. */
export function cipherSuite12ByCode(code: number): CipherSuite12 | undefined {
  return byCode.get(code);
}

/** Signals secure renegotiation in a first ClientHello (RFC 5746 §3.3). */
export const TLS_EMPTY_RENEGOTIATION_INFO_SCSV = 0x00ff;
/** Says that the client fell back to an older version (RFC 7507). */
export const TLS_FALLBACK_SCSV = 0x5600;
