/**
 * Rules that one certificate must keep by itself, before its place in a path is considered. RFC 5280 §4.
 *
 * Two kinds: those on which trust rests (RFC 5280 §6 and the key policy), always checked; and those of form, which a
 * conforming CA keeps but which §6 does not ask of a verifier, checked when the caller's `form` is 'strict'.
 */

import { sameBytes } from '../bytes/bytes.ts';
import type { ParsedCertificate } from './certificate.ts';
import { malformedConstraints } from './name-constraints.ts';
import { extensionOids, keyOids } from './oids.ts';

export type Role = 'leaf' | 'intermediate' | 'anchor';

/** Why this certificate cannot be used in this role whatever the path, or undefined. */
export function brokenRule(certificate: ParsedCertificate, role: Role): string | undefined {
  if (certificate.version !== 3) {
    return `it is a v${certificate.version} certificate, expected v3`;
  }
  for (const extension of certificate.extensions.values()) {
    if (extension.critical && !PROCESSED.has(extension.oid)) {
      return `its critical extension ${extension.oid} is not understood`;
    }
  }
  const { basicConstraints, keyUsage } = certificate;
  const ca = basicConstraints?.ca === true;
  if (ca && keyUsage !== undefined && !keyUsage.has('keyCertSign')) {
    return 'it is a CA (basicConstraints) whose keyUsage does not allow keyCertSign';
  }
  if (!ca && keyUsage?.has('keyCertSign')) {
    return 'its keyUsage allows keyCertSign, but its basicConstraints do not make it a CA';
  }
  if (!ca && basicConstraints?.pathLength !== undefined) {
    return 'it has a path length constraint, but is not a CA';
  }
  if (role !== 'leaf' && !ca) {
    return 'it is used as a CA, but its basicConstraints do not make it one';
  }
  if (certificate.nameConstraints !== undefined) {
    if (!ca) {
      return 'it has name constraints, but is not a CA';
    }
    const fault = malformedConstraints(certificate.nameConstraints);
    if (fault !== undefined) {
      return `its name constraints are malformed: ${fault}`;
    }
  }
  if (certificate.issuer.rdns.length === 0 || (ca && certificate.subject.rdns.length === 0)) {
    return 'the name of a CA is empty';
  }
  if (role === 'leaf' && certificate.subject.rdns.length === 0 && !isCritical(certificate, 'subjectAltName')) {
    return 'its subject is empty and it has no critical subjectAltName';
  }
  return undefined;
}

/** Why the key is refused, or undefined. */
export function refusedKey(certificate: ParsedCertificate): string | undefined {
  const { algorithm, bits, curve, rsa } = certificate.publicKey;
  switch (algorithm.oid) {
    case keyOids.rsaEncryption:
    case keyOids.rsassaPss:
      if (bits === undefined || rsa === undefined || bits < MIN_RSA_BITS || bits > MAX_RSA_BITS || bits % 8 !== 0) {
        return `its RSA key has ${bits} bits, expected ${MIN_RSA_BITS} to ${MAX_RSA_BITS} in whole bytes`;
      }
      return isPlainExponent(rsa.exponent) ? undefined : 'its RSA key has an exponent that is even, 1 or above 2^64';
    case keyOids.ecPublicKey:
      return bits === undefined
        ? `its key is on the curve ${curve ?? '(explicit parameters)'}, expected P-256, P-384 or P-521`
        : undefined;
    case keyOids.ed25519:
    case keyOids.ed448:
      return undefined;
    default:
      return `its key is of type ${algorithm.oid}, expected RSA, ECDSA, Ed25519 or Ed448`;
  }
}

/**
 * Why the form of this certificate is refused, or undefined. Trust anchors are held to less: their owner chose them,
 * and some public ones lack a subjectKeyIdentifier, have serial number 0 or non-critical basicConstraints.
 */
export function brokenForm(certificate: ParsedCertificate, role: Role): string | undefined {
  for (const name of NEVER_CRITICAL) {
    if (isCritical(certificate, name)) {
      return `its ${name} is critical (RFC 5280 §4.2)`;
    }
  }
  for (const name of ALWAYS_CRITICAL) {
    if (certificate.extensions.has(extensionOids[name]) && !isCritical(certificate, name)) {
      return `its ${name} is not critical (RFC 5280 §4.2.1)`;
    }
  }
  const { authorityKeyIdentifier, subjectKeyIdentifier } = certificate;
  if (authorityKeyIdentifier === undefined && !certificate.selfIssued && role !== 'anchor') {
    return 'it has no authorityKeyIdentifier (RFC 5280 §4.2.1.1)';
  }
  if (authorityKeyIdentifier !== undefined && authorityKeyIdentifier.keyIdentifier === undefined) {
    return 'its authorityKeyIdentifier has no keyIdentifier (RFC 5280 §4.2.1.1)';
  }
  if (role === 'anchor') {
    const own = authorityKeyIdentifier?.keyIdentifier;
    const other = own !== undefined && subjectKeyIdentifier !== undefined && !sameBytes(own, subjectKeyIdentifier);
    return certificate.selfIssued && other ? 'it is a root whose authorityKeyIdentifier names another key' : undefined;
  }
  if (certificate.basicConstraints?.ca) {
    if (subjectKeyIdentifier === undefined) {
      return 'it is a CA without subjectKeyIdentifier (RFC 5280 §4.2.1.2)';
    }
    if (!isCritical(certificate, 'basicConstraints')) {
      return 'it is a CA whose basicConstraints are not critical (RFC 5280 §4.2.1.9)';
    }
    if (certificate.keyUsage === undefined) {
      return 'it is a CA without keyUsage (RFC 5280 §4.2.1.3)';
    }
  }
  return badSerialNumber(certificate.serialNumber) ?? underscoreInName(certificate);
}

function badSerialNumber(serial: Uint8Array): string | undefined {
  if (serial.length > 20 || serial[0] >= 0x80 || (serial.length === 1 && serial[0] === 0)) {
    return 'its serial number is not a positive number of at most 20 octets (RFC 5280 §4.1.2.2)';
  }
  return undefined;
}

function underscoreInName(certificate: ParsedCertificate): string | undefined {
  for (const name of certificate.subjectAltName) {
    if (name.kind === 'dns' && name.value.includes('_')) {
      return 'a dNSName in its subjectAltName contains an underscore (RFC 5280 §4.2.1.6)';
    }
  }
  return undefined;
}

export function isCritical(certificate: ParsedCertificate, name: keyof typeof extensionOids): boolean {
  return certificate.extensions.get(extensionOids[name])?.critical === true;
}

/** A large exponent makes checking a signature as slow as making one. */
function isPlainExponent(magnitude: Uint8Array): boolean {
  const odd = ((magnitude[magnitude.length - 1] ?? 0) & 1) === 1;
  return odd && magnitude.length <= 8 && !(magnitude.length === 1 && magnitude[0] === 1);
}

/** Those whose meaning is applied in this folder; any other critical one is refused (RFC 5280 §4.2). */
const PROCESSED: ReadonlySet<string> = new Set(Object.values(extensionOids));
const NEVER_CRITICAL = ['authorityKeyIdentifier', 'subjectKeyIdentifier', 'authorityInfoAccess'] as const;
/** nameConstraints should be, but the web's CAs may leave it non-critical for old clients; it is applied either way. */
const ALWAYS_CRITICAL = ['policyConstraints', 'inhibitAnyPolicy'] as const;

const MIN_RSA_BITS = 2048;
/** Checking a signature takes time that grows with the square of the size: larger keys serve to burn it. */
const MAX_RSA_BITS = 8192;
