/** Makes OCSP responses for tests, good ones by default and broken ones on demand. */

import { parseCertificate } from '../../src/certificates/certificate.ts';
import { contextTag } from '../../src/certificates/der.ts';
import {
  derBitString,
  derBoolean,
  derElement,
  derOctetString,
  derOid,
  derSequence,
} from '../../src/certificates/der-writer.ts';
import { keyPurposeOids, OID_ECDSA_WITH_SHA256 } from '../../src/certificates/oids.ts';
import { digestByOid, weakSha1 } from '../../src/crypto/x509.ts';
import { type Authority, type CertificateSpec, DAY, make, NOW } from './builder.ts';

export const SHA1 = '1.3.14.3.2.26';
export const SHA256 = '2.16.840.1.101.3.4.2.1';
const BASIC = '1.3.6.1.5.5.7.48.1.1';

export interface OcspSpec {
  /** Of whom it speaks. */
  readonly leaf: Authority;
  readonly issuer: Authority;
  /** Who signs; default: the issuer. */
  readonly signer?: Authority;
  /** Who is said to have signed; default: the signer. */
  readonly named?: Authority;
  readonly byName?: boolean;
  readonly status?: 'good' | 'revoked' | 'unknown';
  readonly hash?: string;
  readonly producedAt?: number;
  readonly thisUpdate?: number;
  /** Null leaves it out. */
  readonly nextUpdate?: number | null;
  /** DER, in certs. */
  readonly certificates?: readonly Uint8Array[];
  readonly serial?: Uint8Array;
  readonly critical?: 'response' | 'single';
  readonly responseStatus?: number;
  readonly responseType?: string;
  /** More SingleResponses, before ours. */
  readonly before?: readonly Uint8Array[];
  /** Whole Extension elements, of the response. */
  readonly extensions?: readonly Uint8Array[];
  /** OID of the signature's algorithm, to be stated instead of ECDSA with SHA-256. */
  readonly algorithm?: string;
}

/** An OCSPResponse, DER. */
export function makeOcsp(spec: OcspSpec): Uint8Array {
  const { responseStatus = 0 } = spec;
  const status = derElement(0x0a, Uint8Array.of(responseStatus));
  if (responseStatus !== 0) {
    return derSequence(status);
  }
  const signer = spec.signer ?? spec.issuer;
  const named = parseCertificate((spec.named ?? signer).der);
  const responder =
    spec.byName === true
      ? derElement(contextTag(1, true), named.subject.der)
      : derElement(contextTag(2, true), derOctetString(weakSha1(named.publicKey.key)));
  const tbs = derSequence(
    responder,
    generalizedTime(spec.producedAt ?? NOW - 3_600_000),
    derSequence(...(spec.before ?? []), makeSingle(spec)),
    ...(spec.critical === 'response' ? [unknownExtension()] : []),
    ...(spec.extensions === undefined ? [] : [derElement(contextTag(1, true), derSequence(...spec.extensions))]),
  );
  const certs = spec.certificates ?? [];
  const basic = derSequence(
    tbs,
    derSequence(derOid(spec.algorithm ?? OID_ECDSA_WITH_SHA256)),
    derBitString(signer.key.sign(tbs)),
    ...(certs.length === 0 ? [] : [derElement(contextTag(0, true), derSequence(...certs))]),
  );
  const bytes = derSequence(derOid(spec.responseType ?? BASIC), derOctetString(basic));
  return derSequence(status, derElement(contextTag(0, true), bytes));
}

/** A SingleResponse. */
export function makeSingle(spec: OcspSpec): Uint8Array {
  const { hash = SHA1, status = 'good', nextUpdate = NOW + 3 * DAY } = spec;
  const issuer = parseCertificate(spec.issuer.der);
  const serial = spec.serial ?? parseCertificate(spec.leaf.der).serialNumber;
  const digest = (data: Uint8Array) => digestByOid(hash, data) ?? new Uint8Array(20);
  return derSequence(
    derSequence(
      derSequence(derOid(hash)),
      derOctetString(digest(issuer.subject.der)),
      derOctetString(digest(issuer.publicKey.key)),
      derElement(0x02, serial),
    ),
    statusOf(status),
    generalizedTime(spec.thisUpdate ?? NOW - 3_600_000),
    ...(nextUpdate === null ? [] : [derElement(contextTag(0, true), generalizedTime(nextUpdate))]),
    ...(spec.critical === 'single' ? [unknownExtension()] : []),
  );
}

/** A responder that the issuer appointed. */
export function makeResponder(issuer: Authority, spec: CertificateSpec = {}): Authority {
  return make({ subject: 'Test responder', issuer, extKeyUsage: [keyPurposeOids.ocspSigning], ...spec });
}

function statusOf(status: 'good' | 'revoked' | 'unknown'): Uint8Array {
  if (status === 'revoked') {
    const reason = derElement(contextTag(0, true), derElement(0x0a, Uint8Array.of(1)));
    return derElement(contextTag(1, true), generalizedTime(NOW - 2 * DAY), reason);
  }
  return derElement(contextTag(status === 'good' ? 0 : 2, false));
}

function unknownExtension(): Uint8Array {
  const extension = derSequence(derOid('1.2.3.4'), derBoolean(true), derOctetString(Uint8Array.of(5, 0)));
  return derElement(contextTag(1, true), derSequence(extension));
}

/** Always GeneralizedTime, as OCSP has it. */
function generalizedTime(at: number): Uint8Array {
  const text = new Date(at).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  return derElement(
    0x18,
    Uint8Array.from(`${text}Z`, (character) => character.charCodeAt(0)),
  );
}
