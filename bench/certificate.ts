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
  /** The chain, leaf first, without the CA. */
  readonly cert: string;
  readonly key: string;
}

/** `length`: certificates in the chain, those of intermediate authorities included. */
export function makeCertificate(length = 1, now: number = Date.now()): BenchCertificate {
  let authority: Authority = { name: 'Mayfly bench CA', ...newKey() };
  const ca = issueAuthority(authority, authority, now, 1);
  const chain: Uint8Array[] = [];
  for (let depth = 1; depth < length; depth++) {
    const next: Authority = { name: `Mayfly bench CA ${depth}`, ...newKey() };
    chain.unshift(issueAuthority(next, authority, now, depth + 1));
    authority = next;
  }
  const leaf = newKey();
  const names = new SubjectAlternativeName([new GeneralName({ dNSName: 'localhost' })]);
  const subject = { subject: 'localhost', key: leaf.publicKey, now, serial: length + 1 };
  chain.unshift(
    issue({ ...subject, issuer: authority.name, signer: authority.privateKey }, [
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: false })),
      extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature)),
      extension(id_ce_subjectAltName, false, names),
    ]),
  );
  return {
    ca: toPem(ca),
    cert: chain.map(toPem).join(''),
    key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

interface Authority extends KeyPair {
  readonly name: string;
}

function newKey(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
}

function issueAuthority(of: Authority, by: Authority, now: number, serial: number): Uint8Array {
  return issue({ subject: of.name, issuer: by.name, key: of.publicKey, signer: by.privateKey, now, serial }, [
    extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: true })),
    extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.keyCertSign)),
  ]);
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

/** The certificates of a PEM text, leaf first. */
export function pemToDer(pem: string): Uint8Array[] {
  return [...pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]*)-----END/g)].map(
    ([, base64]) => new Uint8Array(Buffer.from(base64, 'base64')),
  );
}

const HOUR = 3_600_000;
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const COMMON_NAME = '2.5.4.3';
