/**
 * A throwaway CA and a server certificate for `localhost`, both ECDSA P-256, made anew for each run so that no key
 * lies in the repository. RFC 5280 §4.1.
 */

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  Extension,
  Extensions,
  GeneralName,
  id_ce_basicConstraints,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509';

/** PEM texts. */
export interface BenchCertificate {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export function makeCertificate(now: number = Date.now()): BenchCertificate {
  const ca = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const leaf = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const caName = 'Mayfly bench CA';
  const caCertificate = issue(
    { subject: caName, issuer: caName, key: ca.publicKey, signer: ca.privateKey, now, serial: 1 },
    [
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: true })),
      extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.keyCertSign)),
    ],
  );
  const names = new SubjectAlternativeName([new GeneralName({ dNSName: 'localhost' })]);
  const leafCertificate = issue(
    { subject: 'localhost', issuer: caName, key: leaf.publicKey, signer: ca.privateKey, now, serial: 2 },
    [
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: false })),
      extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature)),
      extension(id_ce_subjectAltName, false, names),
    ],
  );
  return {
    ca: toPem(caCertificate),
    cert: toPem(leafCertificate),
    key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

interface Subject {
  readonly subject: string;
  readonly issuer: string;
  readonly key: KeyObject;
  readonly signer: KeyObject;
  readonly now: number;
  readonly serial: number;
}

function issue(of: Subject, extensions: Extension[]): Uint8Array {
  const algorithm = new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 });
  const spki = of.key.export({ type: 'spki', format: 'der' });
  const body = new TBSCertificate({
    version: Version.v3,
    serialNumber: Uint8Array.of(of.serial).buffer,
    signature: algorithm,
    issuer: commonName(of.issuer),
    validity: new Validity({
      notBefore: new Date(of.now - HOUR),
      notAfter: new Date(of.now + 24 * HOUR),
    }),
    subject: commonName(of.subject),
    subjectPublicKeyInfo: AsnConvert.parse(spki, SubjectPublicKeyInfo),
    extensions: new Extensions(extensions),
  });
  const signature = sign('sha256', new Uint8Array(AsnConvert.serialize(body)), of.signer);
  const certificate = new Certificate({
    tbsCertificate: body,
    signatureAlgorithm: algorithm,
    signatureValue: new Uint8Array(signature).buffer,
  });
  return new Uint8Array(AsnConvert.serialize(certificate));
}

function extension(id: string, critical: boolean, value: object): Extension {
  return new Extension({ extnID: id, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });
}

function commonName(text: string): Name {
  const attribute = new AttributeTypeAndValue({ type: COMMON_NAME, value: new AttributeValue({ utf8String: text }) });
  return new Name([new RelativeDistinguishedName([attribute])]);
}

function toPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

const HOUR = 3_600_000;
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const COMMON_NAME = '2.5.4.3';
