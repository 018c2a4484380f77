/**
 * Signatures and the keys that make and check them, over `node:crypto`.
 *
 *     ECDSA: DER ECDSA-Sig-Value; RSA-PSS: MGF1 with the scheme's hash, salt as long as the hash; EdDSA: pure
 *
 * RFC 9846 §4.3.3, §4.5.2; RFC 8017 §8; RFC 8032; FIPS 186-5 §6.
 */

import { constants, type KeyObject, sign as nodeSign, verify as nodeVerify } from 'node:crypto';
import { TLSError } from '../errors.ts';
import { NodePrivateKey, NodePublicKey } from './keys.ts';
import type { PrivateKey, PublicKey } from './provider.ts';
import type { KeyType, SignatureScheme } from './signatures.ts';

export type SignatureHash = 'sha256' | 'sha384' | 'sha512';
export type RsaPadding = 'pkcs1' | 'pss';

interface SchemeParameters {
  readonly keyType: KeyType;
  /** Absent for EdDSA, which hashes by itself. */
  readonly hash: SignatureHash | undefined;
  readonly padding: RsaPadding | undefined;
}

/**
 * Signs `data` (not its hash).
 * @throws TLSError `TLS_ERR_SIGN_FAILED` the key cannot make the scheme, or the operation failed
 */
export function signWith(scheme: SignatureScheme, key: PrivateKey, data: Uint8Array): Uint8Array {
  const { hash, input } = signingInput(scheme, key);
  try {
    return nodeSign(hash, data, input);
  } catch (error) {
    throw signingFailed(scheme, error);
  }
}

/** As `signWith`, on libuv's thread pool: it takes a little longer, and keeps nobody else waiting meanwhile. */
export async function signOnThreadPool(
  scheme: SignatureScheme,
  key: PrivateKey,
  data: Uint8Array,
): Promise<Uint8Array> {
  const { hash, input } = signingInput(scheme, key);
  return new Promise((resolve, reject) => {
    nodeSign(hash, data, input, (error, signature) => {
      if (error === null || error === undefined) {
        resolve(signature);
      } else {
        reject(signingFailed(scheme, error));
      }
    });
  });
}

function signingFailed(scheme: SignatureScheme, cause: unknown): TLSError {
  return new TLSError('TLS_ERR_SIGN_FAILED', `signing with ${scheme} failed`, { cause });
}

/** @throws TLSError `TLS_ERR_SIGN_FAILED` the key cannot make the scheme */
function signingInput(scheme: SignatureScheme, key: PrivateKey) {
  const { keyType, hash, padding } = parametersOf[scheme];
  if (!(key instanceof NodePrivateKey) || key.type !== keyType) {
    throw new TLSError('TLS_ERR_SIGN_FAILED', `a key of type ${key.type} cannot make ${scheme} signatures`);
  }
  if (key.restrictedTo !== undefined && key.restrictedTo !== hash) {
    throw new TLSError('TLS_ERR_SIGN_FAILED', `the key is restricted to ${key.restrictedTo}, not ${scheme}`);
  }
  return { hash, input: keyInput(NodePrivateKey.handle(key), hash, padding) };
}

/** False as well for a key that cannot make the scheme. */
export function verifyScheme(
  scheme: SignatureScheme,
  key: PublicKey,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { keyType, hash, padding } = parametersOf[scheme];
  return key.type === keyType && verifyWithKey(hash, padding, key, data, signature);
}

/** By the rules of TLS 1.2, where an ECDSA scheme names a hash only (RFC 8422 §5.1.3). */
export function verifyTls12Scheme(
  scheme: SignatureScheme,
  key: PublicKey,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { keyType, hash, padding } = parametersOf[scheme];
  const fits = key.type === keyType || (isEcdsa(key.type) && isEcdsa(keyType));
  return fits && verifyWithKey(hash, padding, key, data, signature);
}

function isEcdsa(type: KeyType): boolean {
  return type === 'ec-p256' || type === 'ec-p384' || type === 'ec-p521';
}

/** The check without TLS's tie of hash to curve, for certificates; the key's type must already fit. */
export function verifyWithKey(
  hash: SignatureHash | undefined,
  padding: RsaPadding | undefined,
  key: PublicKey,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (!(key instanceof NodePublicKey) || (key.restrictedTo !== undefined && key.restrictedTo !== hash)) {
    return false;
  }
  // RFC 8017 §8.1.2, §8.2.2: OpenSSL takes one with leading zeros left out, too.
  if (key.signatureLength !== undefined && signature.length !== key.signatureLength) {
    return false;
  }
  try {
    return nodeVerify(hash, data, keyInput(NodePublicKey.handle(key), hash, padding), signature);
  } catch {
    // OpenSSL reports some malformed signatures as an error instead of a mismatch.
    return false;
  }
}

function keyInput(key: KeyObject, hash: SignatureHash | undefined, padding: RsaPadding | undefined) {
  if (padding === undefined || hash === undefined) {
    return key;
  }
  return padding === 'pkcs1'
    ? { key, padding: constants.RSA_PKCS1_PADDING }
    : { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: hashLengths[hash] };
}

const hashLengths: Record<SignatureHash, number> = { sha256: 32, sha384: 48, sha512: 64 };

const parametersOf: Record<SignatureScheme, SchemeParameters> = {
  ecdsa_secp256r1_sha256: { keyType: 'ec-p256', hash: 'sha256', padding: undefined },
  ecdsa_secp384r1_sha384: { keyType: 'ec-p384', hash: 'sha384', padding: undefined },
  ecdsa_secp521r1_sha512: { keyType: 'ec-p521', hash: 'sha512', padding: undefined },
  ed25519: { keyType: 'ed25519', hash: undefined, padding: undefined },
  ed448: { keyType: 'ed448', hash: undefined, padding: undefined },
  rsa_pss_rsae_sha256: { keyType: 'rsa', hash: 'sha256', padding: 'pss' },
  rsa_pss_rsae_sha384: { keyType: 'rsa', hash: 'sha384', padding: 'pss' },
  rsa_pss_rsae_sha512: { keyType: 'rsa', hash: 'sha512', padding: 'pss' },
  rsa_pss_pss_sha256: { keyType: 'rsa-pss', hash: 'sha256', padding: 'pss' },
  rsa_pss_pss_sha384: { keyType: 'rsa-pss', hash: 'sha384', padding: 'pss' },
  rsa_pss_pss_sha512: { keyType: 'rsa-pss', hash: 'sha512', padding: 'pss' },
  rsa_pkcs1_sha256: { keyType: 'rsa', hash: 'sha256', padding: 'pkcs1' },
  rsa_pkcs1_sha384: { keyType: 'rsa', hash: 'sha384', padding: 'pkcs1' },
  rsa_pkcs1_sha512: { keyType: 'rsa', hash: 'sha512', padding: 'pkcs1' },
};
