/**
 * A certificate, decoded strictly and as a whole.
 *
 *     Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm AlgorithmIdentifier, signatureValue BIT STRING }
 *     TBSCertificate ::= SEQUENCE { version [0], serialNumber, signature, issuer, validity { notBefore, notAfter },
 *       subject, subjectPublicKeyInfo, issuerUniqueID [1], subjectUniqueID [2], extensions [3] }
 *
 * RFC 5280 §4.1.
 */

import { sameBytes } from '../bytes/bytes.ts';
import { TLSError } from '../errors.ts';
import {
  type BitString,
  contextTag,
  DerReader,
  TAG_BOOLEAN,
  TAG_INTEGER,
  TAG_OCTET_STRING,
  TAG_OID,
  TAG_SEQUENCE,
} from './der.ts';
import { type DistinguishedName, nameText, readDistinguishedName } from './distinguished-name.ts';
import {
  type AccessDescription,
  type AuthorityKeyIdentifier,
  type BasicConstraints,
  type KeyUsage,
  type NameConstraints,
  type PolicyConstraints,
  type PolicyMapping,
  readAuthorityInfoAccess,
  readAuthorityKeyIdentifier,
  readBasicConstraints,
  readCertificatePolicies,
  readExtKeyUsage,
  readInhibitAnyPolicy,
  readKeyUsage,
  readNameConstraints,
  readPolicyConstraints,
  readPolicyMappings,
  readSubjectAltName,
  readSubjectKeyIdentifier,
  readTlsFeatures,
} from './extensions.ts';
import type { GeneralName } from './general-name.ts';
import { curveOids, extensionOids, keyOids } from './oids.ts';

export interface AlgorithmIdentifier {
  readonly oid: string;
  /** The parameters field, DER with its header; undefined when absent. */
  readonly parameters: Uint8Array | undefined;
}

export interface SubjectPublicKeyInfo {
  readonly der: Uint8Array;
  readonly algorithm: AlgorithmIdentifier;
  readonly key: Uint8Array;
  /** RSA: bits of the modulus; EC: of the curve. Undefined for others and for curves that Mayfly does not accept. */
  readonly bits: number | undefined;
  /** OID of the named curve, for EC keys that name one. */
  readonly curve: string | undefined;
  readonly rsa: { readonly modulus: Uint8Array; readonly exponent: Uint8Array } | undefined;
}

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** Content of extnValue. */
  readonly value: Uint8Array;
}

/** All byte fields are views of `raw`. Times are milliseconds since the epoch. */
export interface ParsedCertificate {
  readonly raw: Uint8Array;
  readonly tbs: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** Two's complement, shortest form. */
  readonly serialNumber: Uint8Array;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
  readonly issuer: DistinguishedName;
  readonly subject: DistinguishedName;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly publicKey: SubjectPublicKeyInfo;
  readonly extensions: ReadonlyMap<string, Extension>;

  readonly basicConstraints: BasicConstraints | undefined;
  /** Undefined when the extension is absent: any use. */
  readonly keyUsage: ReadonlySet<KeyUsage> | undefined;
  /** OIDs; undefined when the extension is absent: any purpose. */
  readonly extKeyUsage: ReadonlySet<string> | undefined;
  readonly subjectAltName: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | undefined;
  readonly subjectKeyIdentifier: Uint8Array | undefined;
  readonly authorityKeyIdentifier: AuthorityKeyIdentifier | undefined;
  /** OIDs; undefined when the extension is absent. */
  readonly certificatePolicies: ReadonlySet<string> | undefined;
  readonly policyMappings: readonly PolicyMapping[];
  readonly policyConstraints: PolicyConstraints | undefined;
  readonly inhibitAnyPolicy: number | undefined;
  readonly authorityInfoAccess: readonly AccessDescription[];
  /** What a server that shows this certificate must do, as numbers of TLS extensions (RFC 7633). */
  readonly tlsFeatures: readonly number[];

  /** Subject and issuer are the same name. */
  readonly selfIssued: boolean;
}

/**
 * Decodes one certificate. Nothing is copied: the result refers to `der`.
 * @throws TLSError `TLS_ERR_BAD_CERTIFICATE` anything that is not DER or not a certificate, duplicate extensions,
 * different signature algorithms inside and outside, a malformed extension
 */
export function parseCertificate(der: Uint8Array): ParsedCertificate {
  if (der.length > MAX_CERTIFICATE_BYTES) {
    throw new TLSError(
      'TLS_ERR_BAD_CERTIFICATE',
      `a certificate is ${der.length} bytes long, more than ${MAX_CERTIFICATE_BYTES}`,
    );
  }
  const file = new DerReader(der, 'certificate');
  const outer = file.enter(TAG_SEQUENCE, 'body');
  file.end();
  const tbsElement = outer.element('tbsCertificate', TAG_SEQUENCE);
  const outerAlgorithm = outer.element('signatureAlgorithm', TAG_SEQUENCE);
  const signature = wholeBytes(outer, outer.bitString('signatureValue'), 'signatureValue');
  outer.end();

  const tbs = new DerReader(tbsElement, 'certificate').enter(TAG_SEQUENCE, 'tbsCertificate');
  const version = readVersion(tbs);
  const serialNumber = tbs.integer('serialNumber');
  const innerAlgorithm = tbs.element('signature', TAG_SEQUENCE);
  if (!sameBytes(innerAlgorithm, outerAlgorithm)) {
    throw tbs.malformed('signature', 'differs from signatureAlgorithm outside (RFC 5280 §4.1.1.2)');
  }
  const issuer = readDistinguishedName(tbs.element('issuer'), 'certificate.issuer');
  const validity = tbs.enter(TAG_SEQUENCE, 'validity');
  const notBefore = validity.time('notBefore');
  const notAfter = validity.time('notAfter');
  validity.end();
  const subject = readDistinguishedName(tbs.element('subject'), 'certificate.subject');
  const publicKey = readPublicKey(tbs.element('subjectPublicKeyInfo', TAG_SEQUENCE));
  skipUniqueId(tbs, 1, version);
  skipUniqueId(tbs, 2, version);
  const extensions = readExtensions(tbs, version);
  tbs.end();

  return {
    raw: der,
    tbs: tbsElement,
    version,
    serialNumber,
    signatureAlgorithm: readAlgorithm(outerAlgorithm),
    signature,
    issuer,
    subject,
    notBefore,
    notAfter,
    publicKey,
    extensions,
    ...decodeExtensions(extensions),
    selfIssued: issuer.key === subject.key,
  };
}

/** Those of a peer's chain that can be decoded: it may send anything behind its own, and none of that may spoil the rest. */
export function parseReadable(chain: readonly Uint8Array[]): ParsedCertificate[] {
  const parsed: ParsedCertificate[] = [];
  for (const der of chain) {
    try {
      parsed.push(parseCertificate(der));
    } catch (error) {
      if (!(error instanceof TLSError)) {
        throw error;
      }
    }
  }
  return parsed;
}

/**
 * The subject alone, without decoding the rest; for stores of many certificates of which few are used.
 * @throws TLSError `TLS_ERR_BAD_CERTIFICATE`
 */
export function readSubject(der: Uint8Array): DistinguishedName {
  const tbs = new DerReader(der, 'certificate').enter(TAG_SEQUENCE, 'body').enter(TAG_SEQUENCE, 'tbsCertificate');
  readVersion(tbs);
  tbs.integer('serialNumber');
  for (const field of ['signature', 'issuer', 'validity']) {
    tbs.element(field, TAG_SEQUENCE);
  }
  return readDistinguishedName(tbs.element('subject'), 'certificate.subject');
}

/** For messages: the subject, or for an empty one the first alternative name. */
export function certificateText(certificate: ParsedCertificate): string {
  const first = certificate.subjectAltName[0];
  if (certificate.subject.rdns.length === 0 && first?.kind === 'dns') {
    return `"${first.value.slice(0, 200)}"`;
  }
  return `"${nameText(certificate.subject)}"`;
}

function decodeExtensions(extensions: ReadonlyMap<string, Extension>) {
  const decode = <T>(oid: string, read: (value: Uint8Array) => T): T | undefined => {
    const extension = extensions.get(oid);
    return extension === undefined ? undefined : read(extension.value);
  };
  return {
    basicConstraints: decode(extensionOids.basicConstraints, readBasicConstraints),
    keyUsage: decode(extensionOids.keyUsage, readKeyUsage),
    extKeyUsage: decode(extensionOids.extKeyUsage, readExtKeyUsage),
    subjectAltName: decode(extensionOids.subjectAltName, readSubjectAltName) ?? [],
    nameConstraints: decode(extensionOids.nameConstraints, readNameConstraints),
    subjectKeyIdentifier: decode(extensionOids.subjectKeyIdentifier, readSubjectKeyIdentifier),
    authorityKeyIdentifier: decode(extensionOids.authorityKeyIdentifier, readAuthorityKeyIdentifier),
    certificatePolicies: decode(extensionOids.certificatePolicies, readCertificatePolicies),
    policyMappings: decode(extensionOids.policyMappings, readPolicyMappings) ?? [],
    policyConstraints: decode(extensionOids.policyConstraints, readPolicyConstraints),
    inhibitAnyPolicy: decode(extensionOids.inhibitAnyPolicy, readInhibitAnyPolicy),
    authorityInfoAccess: decode(extensionOids.authorityInfoAccess, readAuthorityInfoAccess) ?? [],
    tlsFeatures: decode(extensionOids.tlsFeature, readTlsFeatures) ?? [],
  };
}

function readVersion(tbs: DerReader): 1 | 2 | 3 {
  if (tbs.nextTag !== contextTag(0, true)) {
    return 1;
  }
  const explicit = tbs.enter(contextTag(0, true), 'version');
  const value = explicit.smallInteger('version');
  explicit.end();
  if (value !== 1 && value !== 2) {
    throw tbs.malformed('version', `is ${value}, expected 1 or 2 (v2 or v3)`);
  }
  return value === 1 ? 2 : 3;
}

/** From a whole AlgorithmIdentifier. */
export function readAlgorithm(der: Uint8Array): AlgorithmIdentifier {
  const body = new DerReader(der, 'algorithmIdentifier').enter(TAG_SEQUENCE, 'body');
  const oid = body.oid('algorithm');
  const parameters = body.done ? undefined : body.element('parameters');
  body.end();
  return { oid, parameters };
}

function readPublicKey(der: Uint8Array): SubjectPublicKeyInfo {
  const body = new DerReader(der, 'subjectPublicKeyInfo').enter(TAG_SEQUENCE, 'body');
  const algorithm = readAlgorithm(body.element('algorithm', TAG_SEQUENCE));
  const key = wholeBytes(body, body.bitString('subjectPublicKey'), 'subjectPublicKey');
  body.end();
  if (algorithm.oid === keyOids.rsaEncryption || algorithm.oid === keyOids.rsassaPss) {
    const outer = new DerReader(key, 'rsaPublicKey');
    const rsa = outer.enter(TAG_SEQUENCE, 'body');
    outer.end();
    const modulus = unsigned(rsa, 'modulus');
    const exponent = unsigned(rsa, 'publicExponent');
    rsa.end();
    return { der, algorithm, key, bits: bitLength(modulus), curve: undefined, rsa: { modulus, exponent } };
  }
  if (algorithm.oid === keyOids.ecPublicKey && algorithm.parameters?.[0] === TAG_OID) {
    const curve = new DerReader(algorithm.parameters, 'ecParameters').oid('namedCurve');
    return { der, algorithm, key, bits: curveOids.get(curve)?.bits, curve, rsa: undefined };
  }
  return { der, algorithm, key, bits: undefined, curve: undefined, rsa: undefined };
}

function unsigned(reader: DerReader, field: string): Uint8Array {
  const value = reader.integer(field, TAG_INTEGER);
  if (value[0] >= 0x80) {
    throw reader.malformed(field, 'is negative');
  }
  return value[0] === 0 ? value.subarray(1) : value;
}

function bitLength(magnitude: Uint8Array): number {
  return magnitude.length === 0 ? 0 : 8 * magnitude.length - (Math.clz32(magnitude[0]) - 24);
}

export function wholeBytes(reader: DerReader, bits: BitString, field: string): Uint8Array {
  if (bits.unusedBits !== 0) {
    throw reader.malformed(field, 'is not a whole number of bytes');
  }
  return bits.bytes;
}

function skipUniqueId(tbs: DerReader, number: number, version: number): void {
  const tag = contextTag(number, false);
  if (tbs.nextTag !== tag) {
    return;
  }
  if (version === 1) {
    throw tbs.malformed('uniqueID', 'stands in a v1 certificate (RFC 5280 §4.1.2.8)');
  }
  tbs.bitString('uniqueID', tag);
}

function readExtensions(tbs: DerReader, version: number): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>();
  if (tbs.nextTag !== contextTag(3, true)) {
    return extensions;
  }
  if (version !== 3) {
    throw tbs.malformed('extensions', `stand in a v${version} certificate (RFC 5280 §4.1.2.9)`);
  }
  const explicit = tbs.enter(contextTag(3, true), 'extensions');
  const list = explicit.enter(TAG_SEQUENCE, 'list');
  explicit.end();
  do {
    const body = list.enter(TAG_SEQUENCE, 'extension');
    const oid = body.oid('extnID');
    // An explicit FALSE is not DER, but it is signed as it stands and cannot be misread.
    const critical = body.nextTag === TAG_BOOLEAN && body.boolean('critical');
    const value = body.content(TAG_OCTET_STRING, 'extnValue');
    body.end();
    if (extensions.has(oid)) {
      throw list.malformed('extension', `${oid} appears twice (RFC 5280 §4.2)`);
    }
    if (extensions.size === MAX_EXTENSIONS) {
      throw list.malformed('extension', `there are more than ${MAX_EXTENSIONS}`);
    }
    extensions.set(oid, { oid, critical, value });
  } while (!list.done);
  return extensions;
}

/** Far above any certificate in use; a handshake message has a cap of its own. */
const MAX_CERTIFICATE_BYTES = 1 << 18;
/** Real certificates have about ten. */
const MAX_EXTENSIONS = 64;
