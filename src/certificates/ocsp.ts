/**
 * An OCSP response, decoded strictly and as a whole.
 *
 *     OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT ResponseBytes OPTIONAL }
 *     ResponseBytes ::= SEQUENCE { responseType OBJECT IDENTIFIER, response OCTET STRING }
 *     BasicOCSPResponse ::= SEQUENCE { tbsResponseData ResponseData, signatureAlgorithm AlgorithmIdentifier,
 *       signature BIT STRING, certs [0] EXPLICIT SEQUENCE OF Certificate OPTIONAL }
 *     ResponseData ::= SEQUENCE { version [0] EXPLICIT Version DEFAULT v1, responderID ResponderID,
 *       producedAt GeneralizedTime, responses SEQUENCE OF SingleResponse, responseExtensions [1] EXPLICIT OPTIONAL }
 *     SingleResponse ::= SEQUENCE { certID CertID, certStatus CertStatus, thisUpdate GeneralizedTime,
 *       nextUpdate [0] EXPLICIT GeneralizedTime OPTIONAL, singleExtensions [1] EXPLICIT OPTIONAL }
 *     CertID ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, issuerNameHash OCTET STRING,
 *       issuerKeyHash OCTET STRING, serialNumber INTEGER }
 *
 * RFC 6960 §4.2.1, §4.1.1. What it proves is judged in ocsp-check.ts.
 */

import { TLSError } from '../errors.ts';
import { type AlgorithmIdentifier, readAlgorithm, wholeBytes } from './certificate.ts';
import {
  contextTag,
  DerReader,
  TAG_BOOLEAN,
  TAG_GENERALIZED_TIME,
  TAG_OCTET_STRING,
  TAG_OID,
  TAG_SEQUENCE,
} from './der.ts';
import { type DistinguishedName, readDistinguishedName } from './distinguished-name.ts';

export type OcspResponseStatus =
  | 'successful'
  | 'malformedRequest'
  | 'internalError'
  | 'tryLater'
  | 'sigRequired'
  | 'unauthorized';

/** All byte fields are views of the input. Times are milliseconds since the epoch. */
export interface BasicOcspResponse {
  /** What the signature covers. */
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
  readonly responder: ResponderId;
  readonly producedAt: number;
  readonly responses: readonly SingleResponse[];
  /** DER; the responder's own among them when it is not the issuer. */
  readonly certificates: readonly Uint8Array[];
  /** OIDs of critical extensions of the response; none is known. */
  readonly criticalExtensions: readonly string[];
}

/** By name, or by the SHA-1 of the key. */
export type ResponderId =
  | { readonly kind: 'name'; readonly name: DistinguishedName }
  | { readonly kind: 'key'; readonly hash: Uint8Array };

export interface SingleResponse {
  readonly hashAlgorithm: string;
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  readonly serialNumber: Uint8Array;
  readonly status: 'good' | 'revoked' | 'unknown';
  /** Of a revoked certificate. */
  readonly revokedAt: number | undefined;
  readonly thisUpdate: number;
  /** Undefined where there is always newer word to be had. */
  readonly nextUpdate: number | undefined;
  readonly criticalExtensions: readonly string[];
}

export interface OcspResponse {
  readonly status: OcspResponseStatus;
  /** With 'successful', and only then. */
  readonly basic: BasicOcspResponse | undefined;
}

/** @throws TLSError `TLS_ERR_BAD_STATUS` whatever is not a basic OCSP response in DER */
export function parseOcspResponse(der: Uint8Array): OcspResponse {
  try {
    return readResponse(der);
  } catch (error) {
    if (error instanceof TLSError && error.code === 'TLS_ERR_BAD_CERTIFICATE') {
      throw new TLSError('TLS_ERR_BAD_STATUS', `the OCSP response cannot be read: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

function readResponse(der: Uint8Array): OcspResponse {
  const file = new DerReader(der, 'ocspResponse');
  const outer = file.enter(TAG_SEQUENCE, 'body');
  file.end();
  const code = outer.smallInteger('responseStatus', TAG_ENUMERATED);
  const status = STATUSES[code];
  if (status === undefined) {
    throw outer.malformed('responseStatus', `has no meaning: ${code}`);
  }
  if (status !== 'successful') {
    outer.end();
    return { status, basic: undefined };
  }
  const explicit = outer.enter(contextTag(0, true), 'responseBytes');
  outer.end();
  const bytes = explicit.enter(TAG_SEQUENCE, 'responseBytes');
  explicit.end();
  const type = bytes.oid('responseType', TAG_OID);
  if (type !== OID_BASIC_RESPONSE) {
    throw bytes.malformed('responseType', `is ${type}, expected id-pkix-ocsp-basic`);
  }
  const response = bytes.content(TAG_OCTET_STRING, 'response');
  bytes.end();
  return { status, basic: readBasic(response) };
}

function readBasic(der: Uint8Array): BasicOcspResponse {
  const file = new DerReader(der, 'basicOcspResponse');
  const body = file.enter(TAG_SEQUENCE, 'body');
  file.end();
  const tbs = body.element('tbsResponseData', TAG_SEQUENCE);
  const signatureAlgorithm = readAlgorithm(body.element('signatureAlgorithm', TAG_SEQUENCE));
  const signature = wholeBytes(body, body.bitString('signature'), 'signature');
  const certificates: Uint8Array[] = [];
  if (!body.done) {
    const explicit = body.enter(contextTag(0, true), 'certs');
    const list = explicit.enter(TAG_SEQUENCE, 'certs');
    explicit.end();
    while (!list.done) {
      if (certificates.length === MAX_CERTIFICATES) {
        throw list.malformed('certs', `more than ${MAX_CERTIFICATES} certificates`);
      }
      certificates.push(list.element('certificate', TAG_SEQUENCE));
    }
  }
  body.end();
  return { tbs, signatureAlgorithm, signature, certificates, ...readResponseData(tbs) };
}

function readResponseData(
  tbs: Uint8Array,
): Pick<BasicOcspResponse, 'responder' | 'producedAt' | 'responses' | 'criticalExtensions'> {
  const body = new DerReader(tbs, 'basicOcspResponse').enter(TAG_SEQUENCE, 'tbsResponseData');
  if (body.nextTag === contextTag(0, true)) {
    const explicit = body.enter(contextTag(0, true), 'version');
    if (explicit.smallInteger('version') !== 0) {
      throw body.malformed('version', 'is not v1');
    }
    explicit.end();
  }
  const responder = readResponder(body);
  const producedAt = readTime(body, 'producedAt');
  const list = body.enter(TAG_SEQUENCE, 'responses');
  const responses: SingleResponse[] = [];
  while (!list.done) {
    if (responses.length === MAX_RESPONSES) {
      throw list.malformed('responses', `more than ${MAX_RESPONSES} responses`);
    }
    responses.push(readSingle(list.enter(TAG_SEQUENCE, 'singleResponse')));
  }
  const criticalExtensions = readCriticalExtensions(body, 'responseExtensions');
  body.end();
  return { responder, producedAt, responses, criticalExtensions };
}

function readResponder(body: DerReader): ResponderId {
  if (body.nextTag === contextTag(1, true)) {
    const explicit = body.enter(contextTag(1, true), 'responderID');
    const name = readDistinguishedName(explicit.element('byName'), 'basicOcspResponse.responderID');
    explicit.end();
    return { kind: 'name', name };
  }
  const explicit = body.enter(contextTag(2, true), 'responderID');
  const hash = explicit.content(TAG_OCTET_STRING, 'byKey');
  explicit.end();
  return { kind: 'key', hash };
}

function readSingle(body: DerReader): SingleResponse {
  const id = body.enter(TAG_SEQUENCE, 'certID');
  const hashAlgorithm = readAlgorithm(id.element('hashAlgorithm', TAG_SEQUENCE)).oid;
  const issuerNameHash = id.content(TAG_OCTET_STRING, 'issuerNameHash');
  const issuerKeyHash = id.content(TAG_OCTET_STRING, 'issuerKeyHash');
  const serialNumber = id.integer('serialNumber');
  id.end();
  const { status, revokedAt } = readStatus(body);
  const thisUpdate = readTime(body, 'thisUpdate');
  let nextUpdate: number | undefined;
  if (body.nextTag === contextTag(0, true)) {
    const explicit = body.enter(contextTag(0, true), 'nextUpdate');
    nextUpdate = readTime(explicit, 'nextUpdate');
    explicit.end();
  }
  const criticalExtensions = readCriticalExtensions(body, 'singleExtensions');
  body.end();
  return {
    hashAlgorithm,
    issuerNameHash,
    issuerKeyHash,
    serialNumber,
    status,
    revokedAt,
    thisUpdate,
    nextUpdate,
    criticalExtensions,
  };
}

function readStatus(body: DerReader): Pick<SingleResponse, 'status' | 'revokedAt'> {
  if (body.nextTag === contextTag(1, true)) {
    const info = body.enter(contextTag(1, true), 'revokedInfo');
    const revokedAt = readTime(info, 'revocationTime');
    if (!info.done) {
      const reason = info.enter(contextTag(0, true), 'revocationReason');
      reason.smallInteger('revocationReason', TAG_ENUMERATED);
      reason.end();
    }
    info.end();
    return { status: 'revoked', revokedAt };
  }
  const isGood = body.nextTag === contextTag(0, false);
  const content = body.content(contextTag(isGood ? 0 : 2, false), 'certStatus');
  if (content.length !== 0) {
    throw body.malformed('certStatus', 'is not NULL');
  }
  return { status: isGood ? 'good' : 'unknown', revokedAt: undefined };
}

function readCriticalExtensions(body: DerReader, field: string): readonly string[] {
  const critical: string[] = [];
  if (body.nextTag !== contextTag(1, true)) {
    return critical;
  }
  const explicit = body.enter(contextTag(1, true), field);
  const list = explicit.enter(TAG_SEQUENCE, field);
  explicit.end();
  while (!list.done) {
    const extension = list.enter(TAG_SEQUENCE, 'extension');
    const oid = extension.oid('extnID');
    if (extension.nextTag === TAG_BOOLEAN && extension.boolean('critical')) {
      critical.push(oid);
    }
    extension.content(TAG_OCTET_STRING, 'extnValue');
    extension.end();
  }
  return critical;
}

/** OCSP has GeneralizedTime alone (RFC 6960 §4.2.2.1). */
function readTime(body: DerReader, field: string): number {
  if (body.nextTag !== TAG_GENERALIZED_TIME) {
    throw body.malformed(field, 'is not a GeneralizedTime');
  }
  return body.time(field);
}

const TAG_ENUMERATED = 0x0a;
const OID_BASIC_RESPONSE = '1.3.6.1.5.5.7.48.1.1';
/** By code; 4 is not used. */
const STATUSES: readonly (OcspResponseStatus | undefined)[] = [
  'successful',
  'malformedRequest',
  'internalError',
  'tryLater',
  undefined,
  'sigRequired',
  'unauthorized',
];
/** Each may cost a decoding and a signature check. Responders send one, some their issuer's too. */
const MAX_CERTIFICATES = 4;
/** A response that was made for one certificate has one; batches of some exist. */
const MAX_RESPONSES = 64;
