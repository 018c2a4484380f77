/**
 * A certification authority for development on one machine, and the server certificates it issues: as Chromium,
 * Firefox, OpenSSL and GnuTLS accept them.
 *
 * RFC 5280 §4.1, §4.2.1; limits on validity as in the CA/Browser Forum's Baseline Requirements §6.3.2. All keys are
 * ECDSA P-256. The CA's key can vouch for any name to whoever trusts it: keep it with mode 0600.
 */

import { concat, toHex, utf8 } from '../bytes/bytes.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import { generateCertificateKey, weakSha1 } from '../crypto/x509.ts';
import { TLSError } from '../errors.ts';
import { type ParsedCertificate, parseCertificate } from './certificate.ts';
import { contextTag } from './der.ts';
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
  derUnsigned,
  derUtf8String,
} from './der-writer.ts';
import { parseIpAddress, TAG_DNS, TAG_IP } from './general-name.ts';
import { keyMatchesCertificate } from './key-match.ts';
import { extensionOids, keyPurposeOids, OID_COMMON_NAME, OID_ECDSA_WITH_SHA256 } from './oids.ts';
import { derToPem, pemToDer } from './pem.ts';
import { isDnsName } from './server-name.ts';

export interface PemPair {
  readonly certificatePem: string;
  /** PKCS #8. */
  readonly privateKeyPem: string;
}

/** A fresh CA, valid for ten years. `now` is in milliseconds since the epoch. */
export function createDevelopmentCa({ now, commonName }: { now: number; commonName?: string }): PemPair {
  const key = generateCertificateKey();
  const keyId = keyIdentifier(key.spki);
  // A name of its own for each CA: browsers confuse CAs that share name and serial number.
  const name = derName(commonName ?? `Mayfly development CA ${toHex(keyId.subarray(0, 4))}`);
  const certificate = sign(key.sign, {
    issuer: name,
    subject: name,
    spki: key.spki,
    notBefore: now - CLOCK_SKEW,
    notAfter: now + CA_DAYS * DAY,
    extensions: [
      // Path length 0: this CA issues to servers and to no other CA.
      extension(extensionOids.basicConstraints, true, derSequence(derBoolean(true), derInteger(0))),
      extension(extensionOids.keyUsage, true, derBitString(Uint8Array.of(KEY_CERT_SIGN | CRL_SIGN), 1)),
      extension(extensionOids.subjectKeyIdentifier, false, derOctetString(keyId)),
      extension(extensionOids.authorityKeyIdentifier, false, derSequence(derElement(contextTag(0, false), keyId))),
    ],
  });
  return { certificatePem: derToPem(certificate), privateKeyPem: key.privateKeyPem };
}

export interface IssueOptions {
  readonly ca: PemPair;
  /** DNS names (a leading `*.` is allowed) and IP addresses; at least one. */
  readonly names: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** 1 to 396: browsers refuse more than 398 days. Default 90. */
  readonly days?: number;
}

/**
 * A server certificate with a key of its own. The result holds the leaf only.
 * @throws TLSError `TLS_ERR_CONFIG` no name, one that is neither DNS name nor IP address, days out of range, a CA that
 * has ended; `TLS_ERR_BAD_KEY`, `TLS_ERR_KEY_MISMATCH` for the CA's key
 */
export function issueServerCertificate({ ca, names, now, days = 90 }: IssueOptions): PemPair {
  const issuer = parseCertificate(pemToDer(ca.certificatePem)[0]);
  const issuerKey = nodeProvider.importPrivateKey(ca.privateKeyPem);
  checkIssuer(issuer, issuerKey.publicKeySpki, now);
  if (!Number.isInteger(days) || days < 1 || days > MAX_DAYS) {
    throw new TLSError('TLS_ERR_CONFIG', `a server certificate may last 1 to ${MAX_DAYS} days, got ${days}`);
  }
  if (names.length === 0) {
    throw new TLSError('TLS_ERR_CONFIG', 'a server certificate needs at least one DNS name or IP address');
  }
  const alternativeNames = names.map(derGeneralName);
  const key = generateCertificateKey();
  const issuerKeyId = issuer.subjectKeyIdentifier ?? keyIdentifier(issuer.publicKey.der);
  const certificate = sign((data) => nodeProvider.sign('ecdsa_secp256r1_sha256', issuerKey, data), {
    issuer: issuer.subject.der,
    // A common name has at most 64 characters; the names that count stand in the subjectAltName.
    subject: derName(names[0].length <= 64 ? names[0] : 'Mayfly development server'),
    spki: key.spki,
    notBefore: Math.max(now - CLOCK_SKEW, issuer.notBefore),
    notAfter: Math.min(now + days * DAY, issuer.notAfter),
    extensions: [
      extension(extensionOids.basicConstraints, true, derSequence()),
      extension(extensionOids.keyUsage, true, derBitString(Uint8Array.of(DIGITAL_SIGNATURE), 7)),
      extension(extensionOids.extKeyUsage, false, derSequence(derOid(keyPurposeOids.server))),
      extension(extensionOids.subjectAltName, false, derSequence(...alternativeNames)),
      extension(extensionOids.subjectKeyIdentifier, false, derOctetString(keyIdentifier(key.spki))),
      extension(
        extensionOids.authorityKeyIdentifier,
        false,
        derSequence(derElement(contextTag(0, false), issuerKeyId)),
      ),
    ],
  });
  return { certificatePem: derToPem(certificate), privateKeyPem: key.privateKeyPem };
}

function checkIssuer(issuer: ParsedCertificate, spki: Uint8Array, now: number): void {
  if (!keyMatchesCertificate(spki, issuer)) {
    throw new TLSError(
      'TLS_ERR_KEY_MISMATCH',
      'the private key of the development CA does not belong to its certificate',
    );
  }
  if (issuer.basicConstraints?.ca !== true) {
    throw new TLSError('TLS_ERR_CONFIG', 'the certificate given as development CA is not that of a CA');
  }
  if (now > issuer.notAfter) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `the development CA ended at ${new Date(issuer.notAfter).toISOString()}: make a new one`,
    );
  }
}

interface Template {
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly extensions: readonly Uint8Array[];
}

function sign(signer: (data: Uint8Array) => Uint8Array, template: Template): Uint8Array {
  const algorithm = derSequence(derOid(OID_ECDSA_WITH_SHA256));
  const tbs = derSequence(
    derElement(contextTag(0, true), derInteger(2)),
    derUnsigned(randomSerial()),
    algorithm,
    template.issuer,
    derSequence(derTime(template.notBefore), derTime(template.notAfter)),
    template.subject,
    template.spki,
    derElement(contextTag(3, true), derSequence(...template.extensions)),
  );
  return derSequence(tbs, algorithm, derBitString(signer(tbs)));
}

function extension(oid: string, critical: boolean, value: Uint8Array): Uint8Array {
  return critical
    ? derSequence(derOid(oid), derBoolean(true), derOctetString(value))
    : derSequence(derOid(oid), derOctetString(value));
}

function derName(commonName: string): Uint8Array {
  return derSequence(derSet(derSequence(derOid(OID_COMMON_NAME), derUtf8String(commonName))));
}

function derGeneralName(name: string): Uint8Array {
  const address = parseIpAddress(name);
  if (address !== undefined) {
    return derElement(TAG_IP, address);
  }
  if (!isDnsName(name.startsWith('*.') ? name.slice(2) : name)) {
    throw new TLSError('TLS_ERR_CONFIG', `"${name}" is neither a DNS name (IDNs as A-labels) nor an IP address`);
  }
  return derElement(TAG_DNS, utf8(name.toLowerCase()));
}

/** RFC 5280 §4.2.1.2 (1): SHA-1 of the subjectPublicKey bits, which for P-256 are the last 65 bytes. */
function keyIdentifier(spki: Uint8Array): Uint8Array {
  return weakSha1(spki.subarray(spki.length - P256_POINT_BYTES));
}

/** 128 random bits under a fixed leading byte: always positive and of 17 octets. */
function randomSerial(): Uint8Array {
  const random = new Uint8Array(16);
  nodeProvider.random(random);
  return concat(Uint8Array.of(0x4d), random);
}

const DIGITAL_SIGNATURE = 0x80;
const KEY_CERT_SIGN = 0x04;
const CRL_SIGN = 0x02;
const P256_POINT_BYTES = 65;
const DAY = 86_400_000;
const CA_DAYS = 3650;
/** With the hour for clocks that are behind, below the 397 days of the Baseline Requirements. */
const MAX_DAYS = 396;
const CLOCK_SKEW = 3_600_000;
