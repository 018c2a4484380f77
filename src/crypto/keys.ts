/**
 * Private and public keys of certificates: import, the policy on types and sizes, and a bounded cache of public keys.
 *
 *     RSA and RSA-PSS of 2048 to 8192 bits; P-256, P-384, P-521 by name with uncompressed points; Ed25519; Ed448
 *
 * RFC 5958 (PKCS #8), RFC 5480 (EC), RFC 4055 §3.1 (RSASSA-PSS restrictions), RFC 8410 (EdDSA).
 */

import { createPublicKey, KeyObject, type webcrypto } from 'node:crypto';
import { TLSError, type TLSErrorCode } from '../errors.ts';
import { readPrivateKey } from './private-key.ts';
import type { PrivateKey, PublicKey } from './provider.ts';
import { type KeyType, type SignatureScheme, schemesForKeyType } from './signatures.ts';

type RestrictedHash = 'sha256' | 'sha384' | 'sha512';

interface KeyKind {
  readonly type: KeyType;
  /** The only hash that an RSA-PSS key with parameters allows. */
  readonly restrictedTo: RestrictedHash | undefined;
  /** Bytes of each signature: RSA's are as long as the modulus. Undefined where the signature itself says. */
  readonly signatureLength?: number;
}

export class NodePrivateKey implements PrivateKey {
  readonly type: KeyType;
  readonly schemes: readonly SignatureScheme[];
  readonly publicKeySpki: Uint8Array;
  readonly restrictedTo: RestrictedHash | undefined;
  readonly #key: KeyObject;

  constructor(kind: KeyKind, key: KeyObject, publicKeySpki: Uint8Array) {
    this.type = kind.type;
    this.restrictedTo = kind.restrictedTo;
    this.schemes = schemesOf(kind);
    this.publicKeySpki = publicKeySpki;
    this.#key = key;
  }

  static handle(key: NodePrivateKey): KeyObject {
    return key.#key;
  }
}

export class NodePublicKey implements PublicKey {
  readonly type: KeyType;
  readonly schemes: readonly SignatureScheme[];
  readonly restrictedTo: RestrictedHash | undefined;
  readonly signatureLength: number | undefined;
  readonly #key: KeyObject;

  constructor(kind: KeyKind, key: KeyObject) {
    this.type = kind.type;
    this.restrictedTo = kind.restrictedTo;
    this.signatureLength = kind.signatureLength;
    this.schemes = schemesOf(kind);
    this.#key = key;
  }

  static handle(key: NodePublicKey): KeyObject {
    return key.#key;
  }
}

/**
 * @param key PEM or DER (PKCS #8, PKCS #1, SEC 1), a `KeyObject` or a `CryptoKey`
 * @throws TLSError `TLS_ERR_BAD_KEY`
 */
export function importPrivate(key: string | Uint8Array | object, passphrase?: string): NodePrivateKey {
  const handle = privateKeyObject(key, passphrase);
  if (handle.type !== 'private') {
    throw new TLSError('TLS_ERR_BAD_KEY', `a private key was expected, but this is a ${handle.type} key`);
  }
  const kind = kindOf(handle, 'TLS_ERR_BAD_KEY');
  const spki = createPublicKey(handle).export({ type: 'spki', format: 'der' });
  return new NodePrivateKey(kind, handle, spki);
}

/**
 * From SubjectPublicKeyInfo, DER. Cached by its bytes, since parsing costs more than verifying.
 * @throws TLSError `TLS_ERR_UNSUPPORTED_CERTIFICATE`
 */
export function importSpki(spki: Uint8Array): NodePublicKey {
  if (spki.length > LARGEST_SPKI) {
    throw unsupported(`has ${spki.length} bytes, more than the ${LARGEST_SPKI} of the largest key accepted`);
  }
  const name = Buffer.from(spki.buffer, spki.byteOffset, spki.length).toString('latin1');
  const known = cache.get(name);
  if (known !== undefined) {
    // Moved to the end: the first of the map is the one used longest ago.
    cache.delete(name);
    cache.set(name, known);
    return known;
  }
  const key = parseSpki(spki);
  if (cache.size >= MOST_CACHED) {
    cache.delete(cache.keys().next().value as string);
  }
  cache.set(name, key);
  return key;
}

function parseSpki(spki: Uint8Array): NodePublicKey {
  let handle: KeyObject;
  try {
    handle = createPublicKey({ key: spki as Buffer, format: 'der', type: 'spki' });
  } catch (error) {
    throw unsupported('cannot be read', error);
  }
  const kind = kindOf(handle, 'TLS_ERR_UNSUPPORTED_CERTIFICATE');
  const point = uncompressedPoints.get(kind.type);
  if (point !== undefined && (spki.length !== point.spkiLength || spki[point.at] !== 4)) {
    throw unsupported('is not an uncompressed point on a named curve');
  }
  return new NodePublicKey(kind, handle);
}

function privateKeyObject(key: string | Uint8Array | object, passphrase: string | undefined): KeyObject {
  if (key instanceof KeyObject) {
    return key;
  }
  try {
    if (typeof key === 'string') {
      return readPrivateKey({ key, format: 'pem', passphrase });
    }
    if (key instanceof Uint8Array) {
      return key[0] === DER_SEQUENCE ? derPrivateKey(key, passphrase) : pemPrivateKey(key, passphrase);
    }
    return KeyObject.from(key as webcrypto.CryptoKey);
  } catch (error) {
    throw new TLSError('TLS_ERR_BAD_KEY', unreadable(error, passphrase), { cause: error });
  }
}

function pemPrivateKey(key: Uint8Array, passphrase: string | undefined): KeyObject {
  return readPrivateKey({ key: key as Buffer, format: 'pem', passphrase });
}

function derPrivateKey(key: Uint8Array, passphrase: string | undefined): KeyObject {
  for (const type of ['pkcs8', 'pkcs1'] as const) {
    try {
      return readPrivateKey({ key: key as Buffer, format: 'der', type, passphrase });
    } catch {
      // Not of this form: the last one tells.
    }
  }
  return readPrivateKey({ key: key as Buffer, format: 'der', type: 'sec1', passphrase });
}

function unreadable(error: unknown, passphrase: string | undefined): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  if (
    code === 'ERR_MISSING_PASSPHRASE' ||
    (passphrase === undefined && code === 'ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED')
  ) {
    return 'the private key is encrypted: a passphrase is needed';
  }
  return passphrase === undefined
    ? 'the private key cannot be read: PEM, DER, a KeyObject or a CryptoKey was expected'
    : 'the private key cannot be read: wrong passphrase, or not a private key';
}

function kindOf(key: KeyObject, code: TLSErrorCode): KeyKind {
  const details = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ec': {
      const type = curveTypes.get(details.namedCurve ?? '');
      if (type === undefined) {
        throw new TLSError(
          code,
          `an EC key is on ${details.namedCurve ?? 'an unnamed curve'}: P-256, P-384 or P-521 was expected`,
        );
      }
      return { type, restrictedTo: undefined };
    }
    case 'ed25519':
    case 'ed448':
      return { type: key.asymmetricKeyType, restrictedTo: undefined };
    case 'rsa':
      return { type: 'rsa', restrictedTo: undefined, signatureLength: checkRsa(details, code) };
    case 'rsa-pss': {
      const signatureLength = checkRsa(details, code);
      return { type: 'rsa-pss', restrictedTo: pssRestriction(details, code), signatureLength };
    }
    default:
      throw new TLSError(code, `keys of type ${key.asymmetricKeyType ?? key.type} are not supported`);
  }
}

type KeyDetails = NonNullable<KeyObject['asymmetricKeyDetails']>;

/** Returns the bytes of the modulus. */
function checkRsa(details: KeyDetails, code: TLSErrorCode): number {
  const bits = details.modulusLength ?? 0;
  if (bits < SMALLEST_RSA || bits > LARGEST_RSA) {
    throw new TLSError(code, `an RSA key has ${bits} bits: ${SMALLEST_RSA} to ${LARGEST_RSA} are accepted`);
  }
  const exponent = details.publicExponent ?? 0n;
  if (exponent < 3n || exponent > LARGEST_EXPONENT) {
    throw new TLSError(code, 'an RSA key has a public exponent outside 3 to 2^64 - 1');
  }
  return Math.ceil(bits / 8);
}

/** The one hash that the key's parameters leave, or undefined for a key without parameters. */
function pssRestriction(details: KeyDetails, code: TLSErrorCode): RestrictedHash | undefined {
  const { hashAlgorithm, mgf1HashAlgorithm, saltLength } = details;
  if (hashAlgorithm === undefined) {
    return undefined;
  }
  const length = hashLengths.get(hashAlgorithm);
  // The parameters' salt length is a least length (RFC 4055 §3.1); TLS's is the hash's.
  if (length === undefined || mgf1HashAlgorithm !== hashAlgorithm || (saltLength ?? 0) > length) {
    throw new TLSError(
      code,
      `an RSA-PSS key is restricted to ${hashAlgorithm}, MGF1 with ${mgf1HashAlgorithm} and a salt of ${saltLength} bytes or more: no TLS signature scheme fits`,
    );
  }
  return hashAlgorithm as RestrictedHash;
}

function schemesOf(kind: KeyKind): readonly SignatureScheme[] {
  const all = schemesForKeyType(kind.type);
  return kind.restrictedTo === undefined ? all : all.filter((scheme) => scheme.endsWith(`_${kind.restrictedTo}`));
}

function unsupported(what: string, cause?: unknown): TLSError {
  return new TLSError('TLS_ERR_UNSUPPORTED_CERTIFICATE', `the certificate's public key ${what}`, { cause });
}

const DER_SEQUENCE = 0x30;
const SMALLEST_RSA = 2048;
/** Checking a signature takes time that grows with the square of the size: stops certificates that cost a second each. */
const LARGEST_RSA = 8192;
/** A private-key-sized exponent makes a check as slow as a signature. */
const LARGEST_EXPONENT = 2n ** 64n - 1n;
/** RSA of 8192 bits takes 1062 bytes; the rest is for RSA-PSS parameters and a long exponent. */
const LARGEST_SPKI = 1280;
/** With the largest keys some 3 MiB: stops a flood of client certificates from filling the memory. */
const MOST_CACHED = 1000;

const cache = new Map<string, NodePublicKey>();

const hashLengths = new Map<string, number>([
  ['sha256', 32],
  ['sha384', 48],
  ['sha512', 64],
]);

const curveTypes = new Map<string, KeyType>([
  ['prime256v1', 'ec-p256'],
  ['secp384r1', 'ec-p384'],
  ['secp521r1', 'ec-p521'],
]);

/** Length of the SubjectPublicKeyInfo with a named curve and an uncompressed point, and where the point starts. */
const uncompressedPoints = new Map<KeyType, { readonly spkiLength: number; readonly at: number }>([
  ['ec-p256', { spkiLength: 91, at: 26 }],
  ['ec-p384', { spkiLength: 120, at: 23 }],
  ['ec-p521', { spkiLength: 158, at: 25 }],
]);
