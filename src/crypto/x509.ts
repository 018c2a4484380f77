/**
 * What certificates need of `node:crypto`: signature checks by algorithm OID, key making for a development CA, and
 * digests.
 *
 *     AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER, parameters ANY DEFINED BY algorithm OPTIONAL }
 *
 * RFC 5280 §4.1.1.2; RFC 4055 §3.1, §5 (RSA); RFC 5758 §3.2 (ECDSA); RFC 8410 §3 (EdDSA); RFC 8017 §A.2.3 (PSS).
 */

import { createHash, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { sameBytes, toHex } from '../bytes/bytes.ts';
import { TLSError } from '../errors.ts';
import { importSpki } from './keys.ts';
import type { KeyType, SignatureScheme } from './signatures.ts';
import { verifyWithKey } from './signing.ts';

export type { X509Certificate } from 'node:crypto';

export interface CertificateSignature {
  /** Dotted decimal, e.g. `1.2.840.10045.4.3.2`. */
  readonly algorithmOid: string;
  /** DER of the parameters field as it stands (tag and length included); absent when the field is. */
  readonly algorithmParameters?: Uint8Array;
  /** The issuer's SubjectPublicKeyInfo, DER. */
  readonly issuerSpki: Uint8Array;
  /** The bytes that were signed (the TBSCertificate, DER). */
  readonly tbs: Uint8Array;
  /** The content of the signature BIT STRING, without its unused-bits byte. */
  readonly signature: Uint8Array;
}

/**
 * Checks a certificate's signature.
 * @returns true or false, or 'unsupported' for an algorithm, a parameter or an issuer key that Mayfly does not accept
 * (SHA-1, MD5, DSA, RSA below 2048 or above 8192 bits, curves other than P-256, P-384 and P-521, ...)
 */
export function verifyCertificateSignature(input: CertificateSignature): boolean | 'unsupported' {
  const algorithm = signatureAlgorithm(input.algorithmOid, input.algorithmParameters);
  if (algorithm === undefined) {
    return 'unsupported';
  }
  let key: ReturnType<typeof importSpki>;
  try {
    key = importSpki(input.issuerSpki);
  } catch (error) {
    if (error instanceof TLSError && error.code === 'TLS_ERR_UNSUPPORTED_CERTIFICATE') {
      return 'unsupported';
    }
    throw error;
  }
  if (!algorithm.keyTypes.includes(key.type)) {
    return false;
  }
  return verifyWithKey(algorithm.hash, algorithm.padding, key, input.tbs, input.signature);
}

/**
 * The TLS signature scheme that a certificate's signature algorithm corresponds to, for `signature_algorithms_cert`
 * (RFC 9846 §4.3.3); undefined for one that has none or is not accepted. For ECDSA, TLS names the curve as well: the
 * answer is the scheme with this hash, whatever the issuer's curve. For RSA-PSS it is the rsae scheme.
 */
export function certificateSignatureScheme(
  algorithmOid: string,
  algorithmParameters?: Uint8Array,
): SignatureScheme | undefined {
  return signatureAlgorithm(algorithmOid, algorithmParameters)?.scheme;
}

export interface CertificateKey {
  /** PKCS #8, PEM. */
  readonly privateKeyPem: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** ECDSA with SHA-256 (OID 1.2.840.10045.4.3.2), signature in DER. */
  sign(data: Uint8Array): Uint8Array;
}

/** A fresh ECDSA P-256 key for a development CA or a certificate of its making. */
export function generateCertificateKey(): CertificateKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    spki: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })),
    sign: (data) => new Uint8Array(sign('sha256', data, privateKey)),
  };
}

export function sha256(data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(data).digest());
}

export function sha512(data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha512').update(data).digest());
}

/**
 * A chain as objects of `node:crypto`, each with the next at `issuerCertificate`; the leaf's, or undefined for no chain. What
 * OpenSSL cannot read is as if it had not come: behind a leaf that is let pass a peer may send anything.
 */
export function x509Chain(chain: readonly Uint8Array[]): X509Certificate | undefined {
  return chain.reduceRight<X509Certificate | undefined>((issuer, der) => {
    const certificate = readX509(der);
    // Node's own getter knows only what its TLS has read.
    return (
      certificate && Object.defineProperty(certificate, 'issuerCertificate', { value: issuer, configurable: true })
    );
  }, undefined);
}

function readX509(der: Uint8Array): X509Certificate | undefined {
  try {
    return new X509Certificate(der);
  } catch {
    return undefined;
  }
}

/** SHA-1, where nothing rests on its strength: key identifiers (RFC 5280 §4.2.1.2), and the WebSocket handshake (RFC 6455 §10.8). */
export function weakSha1(data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha1').update(data).digest());
}

/** The digests that OCSP names a certificate's issuer with, by OID; SHA-1 names, and authenticates nothing (RFC 6960 §4.1.1). */
export function digestByOid(oid: string, data: Uint8Array): Uint8Array | undefined {
  const name = digestOids.get(oid);
  return name === undefined ? undefined : new Uint8Array(createHash(name).update(data).digest());
}

/**
 * The hash in a certificate's signature algorithm, SHA-256 in the place of weaker ones (RFC 5929 §4.1), of `data`; undefined
 * where the algorithm has none of its own (EdDSA) or is not known.
 */
export function signatureHashOf(
  algorithmOid: string,
  algorithmParameters: Uint8Array | undefined,
  data: Uint8Array,
): Uint8Array | undefined {
  const weak = weakSignatures.has(algorithmOid);
  const name = weak ? 'sha256' : signatureAlgorithm(algorithmOid, algorithmParameters)?.hash;
  return name === undefined ? undefined : new Uint8Array(createHash(name).update(data).digest());
}

interface SignatureAlgorithm {
  readonly scheme: SignatureScheme;
  readonly hash: 'sha256' | 'sha384' | 'sha512' | undefined;
  readonly padding: 'pkcs1' | 'pss' | undefined;
  readonly keyTypes: readonly KeyType[];
}

function signatureAlgorithm(oid: string, parameters: Uint8Array | undefined): SignatureAlgorithm | undefined {
  if (oid === OID_RSASSA_PSS) {
    return parameters === undefined ? undefined : pssAlgorithms.get(toHex(parameters));
  }
  const row = algorithms.get(oid);
  if (row === undefined) {
    return undefined;
  }
  // RSA PKCS #1 has NULL parameters, and absent ones must be accepted too (RFC 4055 §5); all others have none.
  const acceptable = parameters === undefined || (row.padding === 'pkcs1' && sameBytes(parameters, DER_NULL));
  return acceptable ? row : undefined;
}

const digestOids = new Map([
  ['1.3.14.3.2.26', 'sha1'],
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);
/** RSA and ECDSA with SHA-1, RSA with MD5. */
const weakSignatures = new Set(['1.2.840.113549.1.1.5', '1.2.840.10045.4.1', '1.2.840.113549.1.1.4']);
const OID_RSASSA_PSS = '1.2.840.113549.1.1.10';
const DER_NULL = Uint8Array.of(0x05, 0x00);
const EC_KEYS: readonly KeyType[] = ['ec-p256', 'ec-p384', 'ec-p521'];

const algorithms = new Map<string, SignatureAlgorithm>([
  ['1.2.840.113549.1.1.11', { scheme: 'rsa_pkcs1_sha256', hash: 'sha256', padding: 'pkcs1', keyTypes: ['rsa'] }],
  ['1.2.840.113549.1.1.12', { scheme: 'rsa_pkcs1_sha384', hash: 'sha384', padding: 'pkcs1', keyTypes: ['rsa'] }],
  ['1.2.840.113549.1.1.13', { scheme: 'rsa_pkcs1_sha512', hash: 'sha512', padding: 'pkcs1', keyTypes: ['rsa'] }],
  ['1.2.840.10045.4.3.2', { scheme: 'ecdsa_secp256r1_sha256', hash: 'sha256', padding: undefined, keyTypes: EC_KEYS }],
  ['1.2.840.10045.4.3.3', { scheme: 'ecdsa_secp384r1_sha384', hash: 'sha384', padding: undefined, keyTypes: EC_KEYS }],
  ['1.2.840.10045.4.3.4', { scheme: 'ecdsa_secp521r1_sha512', hash: 'sha512', padding: undefined, keyTypes: EC_KEYS }],
  ['1.3.101.112', { scheme: 'ed25519', hash: undefined, padding: undefined, keyTypes: ['ed25519'] }],
  ['1.3.101.113', { scheme: 'ed448', hash: undefined, padding: undefined, keyTypes: ['ed448'] }],
]);

/**
 * The accepted RSASSA-PSS-params, as whole DER strings: SHA-2 hash, MGF1 with the same hash, salt as long as the hash,
 * trailer field absent. The hash's own parameters may be NULL or absent (RFC 4055 §2.1), in either place.
 */
const pssAlgorithms = new Map<string, SignatureAlgorithm>();
for (const [hash, arc, saltLength] of [
  ['sha256', 1, 32],
  ['sha384', 2, 48],
  ['sha512', 3, 64],
] as const) {
  const row: SignatureAlgorithm = {
    scheme: `rsa_pss_rsae_${hash}`,
    hash,
    padding: 'pss',
    keyTypes: ['rsa', 'rsa-pss'],
  };
  const hashOid = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, arc];
  const hashIdentifiers = [der(0x30, [...hashOid, ...DER_NULL]), der(0x30, hashOid)];
  for (const digest of hashIdentifiers) {
    for (const maskDigest of hashIdentifiers) {
      const mgf1 = der(0x30, [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, ...maskDigest]);
      const salt = der(0x02, [saltLength]);
      const params = der(0x30, [...der(0xa0, digest), ...der(0xa1, mgf1), ...der(0xa2, salt)]);
      pssAlgorithms.set(toHex(Uint8Array.from(params)), row);
    }
  }
}

/** A DER value of fewer than 128 content bytes. */
function der(tag: number, content: readonly number[]): number[] {
  return [tag, content.length, ...content];
}
