/** Certificates in words, for people: whose, by whom, for which names, how long, with what key. */

import { toHex } from '../bytes/bytes.ts';
import { type ParsedCertificate, parseCertificate } from '../certificates/certificate.ts';
import { nameText, printable } from '../certificates/distinguished-name.ts';
import { ipAddressText } from '../certificates/general-name.ts';
import { curveOids, keyOids } from '../certificates/oids.ts';
import { isDnsName } from '../certificates/server-name.ts';
import { sha256 } from '../crypto/x509.ts';

export interface CertificateDescription {
  readonly subject: string;
  readonly issuer: string;
  /** DNS names and IP addresses of the subjectAltName. */
  readonly names: readonly string[];
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** E.g. `EC P-256`, `RSA 2048 bits`. */
  readonly key: string;
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string;
  readonly selfIssued: boolean;
}

/** @throws TLSError `TLS_ERR_BAD_CERTIFICATE` */
export function describeCertificate(der: Uint8Array): CertificateDescription {
  const certificate = parseCertificate(der);
  return {
    subject: nameText(certificate.subject),
    issuer: nameText(certificate.issuer),
    names: subjectNames(certificate),
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    key: keyText(certificate),
    fingerprint: toHex(sha256(der)),
    selfIssued: certificate.selfIssued,
  };
}

/** `2026-12-24` */
export function dateText(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

function subjectNames(certificate: ParsedCertificate): string[] {
  return certificate.subjectAltName.flatMap((name) => {
    if (name.kind === 'dns') {
      return [printable(isPlain(name.value) ? name.value : JSON.stringify(name.value))];
    }
    return name.kind === 'ip' ? [ipAddressText(name.value)] : [];
  });
}

/** What is no name could look like several of them in a list. */
function isPlain(name: string): boolean {
  return isDnsName(name.startsWith('*.') ? name.slice(2) : name);
}

function keyText(certificate: ParsedCertificate): string {
  const { algorithm, curve, bits } = certificate.publicKey;
  switch (algorithm.oid) {
    case keyOids.ecPublicKey:
      return `EC ${curveOids.get(curve ?? '')?.nist ?? 'on an unknown curve'}`;
    case keyOids.rsaEncryption:
      return `RSA, ${bits ?? '?'} bits`;
    case keyOids.rsassaPss:
      return `RSA-PSS, ${bits ?? '?'} bits`;
    case keyOids.ed25519:
      return 'Ed25519';
    case keyOids.ed448:
      return 'Ed448';
    default:
      return `algorithm ${algorithm.oid}`;
  }
}
