/** Cipher suites: their code points, AEAD, hash and usage limit. RFC 9846 §B.4, §5.5. */

export type HashName = 'sha256' | 'sha384';
export type AeadName = 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';

export interface CipherSuite {
  readonly name: CipherSuiteName;
  readonly code: number;
  readonly aead: AeadName;
  readonly hash: HashName;
  /** Bytes of the hash output, and of every secret of the key schedule. */
  readonly hashLength: number;
  /** Bytes. */
  readonly keyLength: number;
  /** Records that one key may seal before it must be replaced (RFC 9846 §5.5). */
  readonly usageLimit: number;
}

/** 2^24.5 full-size records: the bound for AES-GCM with full 2^14-byte records. */
const GCM_USAGE_LIMIT = Math.floor(2 ** 24.5);
/** ChaCha20-Poly1305 outlives the sequence number; the limit keeps the number exact as a JavaScript integer. */
const CHACHA_USAGE_LIMIT = 2 ** 48;

export const cipherSuites = {
  TLS_AES_128_GCM_SHA256: {
    name: 'TLS_AES_128_GCM_SHA256',
    code: 0x1301,
    aead: 'aes-128-gcm',
    hash: 'sha256',
    hashLength: 32,
    keyLength: 16,
    usageLimit: GCM_USAGE_LIMIT,
  },
  TLS_AES_256_GCM_SHA384: {
    name: 'TLS_AES_256_GCM_SHA384',
    code: 0x1302,
    aead: 'aes-256-gcm',
    hash: 'sha384',
    hashLength: 48,
    keyLength: 32,
    usageLimit: GCM_USAGE_LIMIT,
  },
  TLS_CHACHA20_POLY1305_SHA256: {
    name: 'TLS_CHACHA20_POLY1305_SHA256',
    code: 0x1303,
    aead: 'chacha20-poly1305',
    hash: 'sha256',
    hashLength: 32,
    keyLength: 32,
    usageLimit: CHACHA_USAGE_LIMIT,
  },
} as const satisfies Record<string, Omit<CipherSuite, 'name'> & { name: string }>;

export type CipherSuiteName = keyof typeof cipherSuites;

const byCode = new Map<number, CipherSuite>(Object.values(cipherSuites).map((suite) => [suite.code, suite]));

/** The suite with this code point, or undefined for one that Mayfly does not speak. */
export function cipherSuiteByCode(code: number): CipherSuite | undefined {
  return byCode.get(code);
}
