/** Makes certificates for tests, good ones by default and broken ones on demand. */

import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { contextTag } from '../../src/certificates/der.ts';
import {
  derBitString,
  derBoolean,
  derElement,
  derInteger,
  derOctetString,
  derOid,
  derSequence,
  derSet,
  derTime,
  derUtf8String,
} from '../../src/certificates/der-writer.ts';
import { parseIpAddress, TAG_DIRECTORY, TAG_DNS, TAG_IP } from '../../src/certificates/general-name.ts';
import { extensionOids, keyPurposeOids, OID_COMMON_NAME, OID_ECDSA_WITH_SHA256 } from '../../src/certificates/oids.ts';
import { type CertificateKey, generateCertificateKey, weakSha1 } from '../../src/crypto/x509.ts';

export const NOW = Date.parse('2026-06-01T12:00:00Z');
export const DAY = 86_400_000;

export interface Authority {
  readonly der: Uint8Array;
  readonly name: Uint8Array;
  readonly key: CertificateKey;
}

export interface CertificateSpec {
  /** A common name, or a whole Name in DER. */
  readonly subject?: string | Uint8Array;
  /** Absent: self-signed. */
  readonly issuer?: Authority;
  /** Stands in the issuer field instead of the issuer's own name. */
  readonly issuerName?: Uint8Array;
  readonly key?: CertificateKey;
  /** The subjectPublicKeyInfo to state instead of the key's. */
  readonly spki?: Uint8Array;
  readonly notBefore?: number;
  readonly notAfter?: number;
  /** Content octets of serialNumber. */
  readonly serial?: Uint8Array;
  /** True, or a path length, for a CA. */
  readonly ca?: boolean | number;
  /** Null leaves the extension out. */
  readonly keyUsage?: Uint8Array | null;
  readonly extKeyUsage?: readonly string[] | null;
  readonly names?: readonly (string | Uint8Array)[];
  readonly nameConstraints?: { permitted?: readonly Uint8Array[]; excluded?: readonly Uint8Array[] };
  /** Replaces an extension by OID; undefined leaves it out. */
  readonly replace?: Readonly<Record<string, Uint8Array | undefined>>;
  /** Whole Extension elements, appended. */
  readonly more?: readonly Uint8Array[];
  readonly innerAlgorithm?: Uint8Array;
  readonly outerAlgorithm?: Uint8Array;
  readonly version?: number;
}

const spareKeys: CertificateKey[] = [];

/** A root CA by default called `Test root`. */
export function makeRoot(spec: CertificateSpec = {}): Authority {
  return make({ subject: 'Test root', ca: true, ...spec });
}

export function makeIntermediate(issuer: Authority, spec: CertificateSpec = {}): Authority {
  return make({ subject: 'Test intermediate', ca: true, issuer, ...spec });
}

/** A server's certificate, by default for `example.com`. */
export function makeLeaf(issuer: Authority, spec: CertificateSpec = {}): Authority {
  return make({ subject: 'Test leaf', names: ['example.com'], issuer, ...spec });
}

export function make(spec: CertificateSpec): Authority {
  const key = spec.key ?? newKey();
  const name = typeof spec.subject === 'object' ? spec.subject : commonName(spec.subject ?? 'Test');
  const signer = spec.issuer ?? { der: new Uint8Array(0), name, key };
  const algorithm = derSequence(derOid(OID_ECDSA_WITH_SHA256));
  const tbs = derSequence(
    ...(spec.version === 1 ? [] : [derElement(contextTag(0, true), derInteger((spec.version ?? 3) - 1))]),
    derElement(0x02, spec.serial ?? Uint8Array.of(0x4d, 1, 2, 3)),
    spec.innerAlgorithm ?? algorithm,
    spec.issuerName ?? signer.name,
    derSequence(derTime(spec.notBefore ?? NOW - DAY), derTime(spec.notAfter ?? NOW + 90 * DAY)),
    name,
    spec.spki ?? key.spki,
    ...(spec.version === 1 ? [] : [derElement(contextTag(3, true), derSequence(...extensionsOf(spec, key, signer)))]),
  );
  const der = derSequence(tbs, spec.outerAlgorithm ?? algorithm, derBitString(signer.key.sign(tbs)));
  return { der, name, key };
}

/** Keys are slow to make and tests need no secrecy: they are shared out again where nothing depends on it. */
export function newKey(): CertificateKey {
  const key = generateCertificateKey();
  spareKeys.push(key);
  return key;
}

/** One key for certificates whose key does not matter. */
export function sharedKey(): CertificateKey {
  return spareKeys[0] ?? newKey();
}

export function commonName(text: string): Uint8Array {
  return derSequence(derSet(derSequence(derOid(OID_COMMON_NAME), derUtf8String(text))));
}

export function extension(oid: string, critical: boolean, value: Uint8Array): Uint8Array {
  return critical
    ? derSequence(derOid(oid), derBoolean(true), derOctetString(value))
    : derSequence(derOid(oid), derOctetString(value));
}

/** A GeneralName: a DNS name or an IP address from text; given bytes are taken as they are. */
export function generalName(name: string | Uint8Array): Uint8Array {
  if (typeof name !== 'string') {
    return name;
  }
  const address = parseIpAddress(name);
  return address === undefined ? derElement(TAG_DNS, utf8(name)) : derElement(TAG_IP, address);
}

export function dnsName(text: string): Uint8Array {
  return derElement(TAG_DNS, utf8(text));
}

export function emailName(text: string): Uint8Array {
  return derElement(0x81, utf8(text));
}

export function uriName(text: string): Uint8Array {
  return derElement(0x86, utf8(text));
}

export function directoryName(name: Uint8Array): Uint8Array {
  return derElement(TAG_DIRECTORY, name);
}

/** A network for name constraints: address and prefix length. */
export function network(address: string, prefix: number): Uint8Array {
  const bytes = parseIpAddress(address) ?? new Uint8Array(4);
  const mask = bytes.map((_, i) => 0xff & ~(0xff >>> Math.max(0, Math.min(8, prefix - 8 * i))));
  return derElement(TAG_IP, concat(bytes, mask));
}

export function policies(...oids: readonly string[]): Uint8Array {
  return extension(
    extensionOids.certificatePolicies,
    false,
    derSequence(...oids.map((oid) => derSequence(derOid(oid)))),
  );
}

function extensionsOf(spec: CertificateSpec, key: CertificateKey, signer: Authority): Uint8Array[] {
  const list: [string, Uint8Array | undefined][] = [];
  const isCa = spec.ca !== undefined && spec.ca !== false;
  const constraints = isCa
    ? derSequence(derBoolean(true), ...(typeof spec.ca === 'number' ? [derInteger(spec.ca)] : []))
    : derSequence();
  list.push([extensionOids.basicConstraints, extension(extensionOids.basicConstraints, true, constraints)]);
  if (spec.keyUsage !== null) {
    const bits = spec.keyUsage ?? (isCa ? derBitString(Uint8Array.of(0x06), 1) : derBitString(Uint8Array.of(0x80), 7));
    list.push([extensionOids.keyUsage, extension(extensionOids.keyUsage, true, bits)]);
  }
  const purposes = spec.extKeyUsage === undefined && !isCa ? [keyPurposeOids.server] : spec.extKeyUsage;
  if (purposes !== undefined && purposes !== null) {
    const value = derSequence(...purposes.map(derOid));
    list.push([extensionOids.extKeyUsage, extension(extensionOids.extKeyUsage, false, value)]);
  }
  if (spec.names !== undefined) {
    const value = derSequence(...spec.names.map(generalName));
    list.push([extensionOids.subjectAltName, extension(extensionOids.subjectAltName, false, value)]);
  }
  if (spec.nameConstraints !== undefined) {
    const { permitted, excluded } = spec.nameConstraints;
    const value = derSequence(...subtrees(0, permitted), ...subtrees(1, excluded));
    list.push([extensionOids.nameConstraints, extension(extensionOids.nameConstraints, true, value)]);
  }
  list.push([
    extensionOids.subjectKeyIdentifier,
    extension(extensionOids.subjectKeyIdentifier, false, derOctetString(keyId(key))),
  ]);
  const authority = derSequence(derElement(contextTag(0, false), keyId(signer.key)));
  list.push([extensionOids.authorityKeyIdentifier, extension(extensionOids.authorityKeyIdentifier, false, authority)]);

  const { replace = {} } = spec;
  const kept = list.map(([oid, element]) => (oid in replace ? replace[oid] : element));
  return [...kept.filter((element) => element !== undefined), ...(spec.more ?? [])];
}

function subtrees(number: number, bases: readonly Uint8Array[] | undefined): Uint8Array[] {
  return bases === undefined ? [] : [derElement(contextTag(number, true), ...bases.map((base) => derSequence(base)))];
}

function keyId(key: CertificateKey): Uint8Array {
  return weakSha1(key.spki.subarray(key.spki.length - 65));
}
