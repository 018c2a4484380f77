/**
 * A certificate as the plain object that `node:tls` gives from `getPeerCertificate()`, so that code written for it
 * carries over.
 */

import { ownBuffer, toHex } from '../bytes/bytes.ts';
import { sha256, sha512, weakSha1 } from '../crypto/x509.ts';
import type { ParsedCertificate } from './certificate.ts';
import type { DistinguishedName } from './distinguished-name.ts';
import { type GeneralName, ipAddressText } from './general-name.ts';
import { attributeNames, curveOids } from './oids.ts';

/** A name as attributes by short name; an attribute that occurs several times is a list. */
export type PeerName = Record<string, string | string[]>;

export interface PeerCertificate {
  readonly subject: PeerName;
  readonly issuer: PeerName;
  /** `DNS:example.com, IP Address:192.0.2.1`; absent without the extension. */
  readonly subjectaltname?: string;
  /** `OCSP - URI`, `CA Issuers - URI` → locations. */
  readonly infoAccess?: Readonly<Record<string, readonly string[]>>;
  readonly ca: boolean;
  /** RSA: upper-case hex. */
  readonly modulus?: string;
  readonly exponent?: string;
  readonly bits?: number;
  readonly pubkey?: Buffer;
  readonly asn1Curve?: string;
  readonly nistCurve?: string;
  /** `Nov 21 00:00:00 2026 GMT` */
  readonly valid_from: string;
  readonly valid_to: string;
  /** SHA-1, SHA-256 and SHA-512 of the DER, upper-case hex with colons. */
  readonly fingerprint: string;
  readonly fingerprint256: string;
  readonly fingerprint512: string;
  /** OIDs. */
  readonly ext_key_usage?: readonly string[];
  readonly serialNumber: string;
  readonly raw: Buffer;
  /** Set on demand by `peerCertificateChain`; a root is its own issuer. */
  issuerCertificate?: PeerCertificate;
}

export function peerCertificate(certificate: ParsedCertificate): PeerCertificate {
  const { publicKey, extKeyUsage, subjectAltName, authorityInfoAccess } = certificate;
  const curve = publicKey.curve === undefined ? undefined : curveOids.get(publicKey.curve);
  return {
    subject: nameObject(certificate.subject),
    issuer: nameObject(certificate.issuer),
    ...(subjectAltName.length > 0 && { subjectaltname: subjectAltName.map(alternativeText).join(', ') }),
    ...(authorityInfoAccess.length > 0 && { infoAccess: infoAccessObject(certificate) }),
    ca: certificate.basicConstraints?.ca === true,
    ...(publicKey.rsa !== undefined && {
      modulus: upperHex(publicKey.rsa.modulus),
      exponent: `0x${upperHex(publicKey.rsa.exponent)
        .toLowerCase()
        .replace(/^0+(?=.)/, '')}`,
      pubkey: ownBuffer(publicKey.der),
    }),
    ...(publicKey.bits !== undefined && { bits: publicKey.bits }),
    ...(curve !== undefined && { pubkey: ownBuffer(publicKey.key), asn1Curve: curve.name, nistCurve: curve.nist }),
    valid_from: opensslTime(certificate.notBefore),
    valid_to: opensslTime(certificate.notAfter),
    fingerprint: fingerprint(weakSha1(certificate.raw)),
    fingerprint256: fingerprint(sha256(certificate.raw)),
    fingerprint512: fingerprint(sha512(certificate.raw)),
    ...(extKeyUsage !== undefined && { ext_key_usage: [...extKeyUsage] }),
    serialNumber: serialText(certificate.serialNumber),
    raw: ownBuffer(certificate.raw),
  };
}

/** The leaf with `issuerCertificate` linked along the path, as `getPeerCertificate(true)` gives it. */
export function peerCertificateChain(path: readonly ParsedCertificate[]): PeerCertificate | undefined {
  const objects = path.map(peerCertificate);
  for (const [i, object] of objects.entries()) {
    const issuer = objects[i + 1] ?? (path[i].selfIssued ? object : undefined);
    if (issuer !== undefined) {
      object.issuerCertificate = issuer;
    }
  }
  return objects[0];
}

function nameObject(name: DistinguishedName): PeerName {
  const object: PeerName = Object.create(null);
  for (const { type, value } of name.rdns.flat()) {
    const key = attributeNames.get(type) ?? type;
    const known = object[key];
    if (known === undefined) {
      object[key] = value;
    } else {
      object[key] = Array.isArray(known) ? [...known, value] : [known, value];
    }
  }
  return object;
}

function alternativeText(name: GeneralName): string {
  switch (name.kind) {
    case 'dns':
      return `DNS:${quoted(name.value)}`;
    case 'email':
      return `email:${quoted(name.value)}`;
    case 'uri':
      return `URI:${quoted(name.value)}`;
    case 'ip':
      return `IP Address:${name.value.length === 4 ? ipAddressText(name.value) : opensslIpv6(name.value)}`;
    case 'directory':
      return `DirName:${quoted(
        Object.entries(nameObject(name.value))
          .map(([key, value]) => `${key} = ${value}`)
          .join(', '),
      )}`;
    default:
      return 'othername:<unsupported>';
  }
}

/** A name that could be mistaken for several is put in quotes and its commas are escaped (CVE-2021-44532). */
function quoted(value: string): string {
  return /[",\\']/.test(value) ? JSON.stringify(value).replaceAll(',', '\\u002c') : value;
}

/** As OpenSSL prints it: groups in upper case without leading zeros, nothing left out. */
function opensslIpv6(bytes: Uint8Array): string {
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) {
    groups.push(((bytes[i] << 8) | bytes[i + 1]).toString(16).toUpperCase());
  }
  return groups.join(':');
}

function infoAccessObject(certificate: ParsedCertificate): Readonly<Record<string, readonly string[]>> {
  const object: Record<string, string[]> = Object.create(null);
  for (const { method, location } of certificate.authorityInfoAccess) {
    const [prefix, ...rest] = alternativeText(location).split(':');
    const key = `${ACCESS_METHODS.get(method) ?? method} - ${prefix}`;
    const list = object[key] ?? [];
    object[key] = list;
    list.push(rest.join(':'));
  }
  return object;
}

function serialText(serial: Uint8Array): string {
  const positive = serial.length > 1 && serial[0] === 0 ? serial.subarray(1) : serial;
  return upperHex(positive);
}

function opensslTime(at: number): string {
  const date = new Date(at);
  const day = String(date.getUTCDate()).padStart(2, ' ');
  return `${MONTHS[date.getUTCMonth()]} ${day} ${date.toISOString().slice(11, 19)} ${date.getUTCFullYear()} GMT`;
}

function fingerprint(digest: Uint8Array): string {
  return (upperHex(digest).match(/../g) ?? []).join(':');
}

function upperHex(bytes: Uint8Array): string {
  return toHex(bytes).toUpperCase();
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const ACCESS_METHODS = new Map([
  ['1.3.6.1.5.5.7.48.1', 'OCSP'],
  ['1.3.6.1.5.5.7.48.2', 'CA Issuers'],
]);
