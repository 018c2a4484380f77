/**
 * What others say of a server's certificate: the OCSP response that was stapled, judged, and the timestamps of Certificate
 * Transparency logs, which are read and not judged: that takes the logs' keys and a policy on which logs count.
 *
 *     struct { uint8 version; opaque log_id[32]; uint64 timestamp; opaque extensions<0..2^16-1>; signature } SCT;
 *
 * RFC 6960; RFC 6962 §3.2, §3.3.
 */

import { Reader } from '../../bytes/reader.ts';
import { type ParsedCertificate, parseCertificate } from '../../certificates/certificate.ts';
import { DerReader, TAG_OCTET_STRING } from '../../certificates/der.ts';
import { parseOcspResponse } from '../../certificates/ocsp.ts';
import { checkStaple, mustStaple } from '../../certificates/ocsp-check.ts';
import { decodeTimestamps } from '../../messages/signed-certificate-timestamps.ts';
import { messageOf } from '../problem.ts';

export interface StapleReport {
  /** Of the leaf; `unreadable`, or the responder's reason to give no answer. */
  readonly status: string;
  /** Milliseconds since the epoch. */
  readonly producedAt?: number;
  readonly thisUpdate?: number;
  readonly nextUpdate?: number;
  readonly revokedAt?: number;
  /** Signed by the issuer or its responder, about this certificate, fresh. */
  readonly verified: boolean;
  /** Why not; also where it is verified, and says that the certificate is revoked. */
  readonly problem?: string;
}

export interface TimestampReport {
  /** Base64 of the SHA-256 of the log's key, as lists of logs have it; undefined for one that cannot be read. */
  readonly logId: string | undefined;
  /** Milliseconds since the epoch. */
  readonly at: number | undefined;
  readonly by: 'certificate' | 'TLS';
}

/**
 * @param path the verified path, leaf first; undefined where there is none, and nobody to vouch
 */
export function stapleReport(
  ocspResponse: Uint8Array | undefined,
  path: readonly ParsedCertificate[] | undefined,
): StapleReport | undefined {
  if (ocspResponse === undefined) {
    return undefined;
  }
  let facts: Omit<StapleReport, 'verified' | 'problem'>;
  try {
    const { status, basic } = parseOcspResponse(ocspResponse);
    const serial = path?.[0].serialNumber;
    const about = basic?.responses.find(
      ({ serialNumber }) => serial !== undefined && Buffer.compare(serialNumber, serial) === 0,
    );
    const one = about ?? basic?.responses[0];
    facts = {
      status: one?.status ?? status,
      ...(basic === undefined ? {} : { producedAt: basic.producedAt }),
      ...(one === undefined
        ? {}
        : { thisUpdate: one.thisUpdate, nextUpdate: one.nextUpdate, revokedAt: one.revokedAt }),
    };
  } catch (error) {
    return { status: 'unreadable', verified: false, problem: messageOf(error) };
  }
  if (path === undefined) {
    return { ...facts, verified: false, problem: 'nobody who is trusted stands above the certificate' };
  }
  if (path.length < 2) {
    return {
      ...facts,
      verified: false,
      problem: 'the certificate is trusted as it is, and has no issuer to vouch for it',
    };
  }
  try {
    checkStaple({ path, ocspResponse, now: Date.now() });
    return { ...facts, verified: true };
  } catch (error) {
    const isRevoked = (error as { code?: string }).code === 'TLS_ERR_CERTIFICATE_REVOKED';
    return { ...facts, verified: isRevoked, problem: messageOf(error) };
  }
}

/** Whether the leaf says that a staple must come (RFC 7633). */
export function staplesAlways(leaf: Uint8Array | undefined): boolean {
  try {
    return leaf !== undefined && mustStaple(parseCertificate(leaf));
  } catch {
    return false;
  }
}

/** @param byTls SerializedSCTs */
export function timestampReports(leaf: Uint8Array | undefined, byTls: readonly Uint8Array[]): TimestampReport[] {
  return [
    ...embedded(leaf).map((timestamp) => ({ ...read(timestamp), by: 'certificate' as const })),
    ...byTls.map((timestamp) => ({ ...read(timestamp), by: 'TLS' as const })),
  ];
}

function embedded(leaf: Uint8Array | undefined): readonly Uint8Array[] {
  try {
    const extension = leaf && parseCertificate(leaf).extensions.get(OID_TIMESTAMPS);
    return extension === undefined
      ? []
      : decodeTimestamps(new DerReader(extension.value, 'timestamps').content(TAG_OCTET_STRING, 'list'));
  } catch {
    // Whoever judges them says so; here they are none.
    return [];
  }
}

function read(timestamp: Uint8Array): Pick<TimestampReport, 'logId' | 'at'> {
  try {
    const reader = new Reader(timestamp, 'SignedCertificateTimestamp');
    const version = reader.u8('version');
    const logId = Buffer.from(reader.bytes(32, 'log_id')).toString('base64');
    const at = reader.u64('timestamp');
    return version === 0 && at <= LAST_DATE ? { logId, at } : { logId: undefined, at: undefined };
  } catch {
    return { logId: undefined, at: undefined };
  }
}

/** Milliseconds since the epoch: what is later has no date in JavaScript. */
const LAST_DATE = 8.64e15;
/** RFC 6962 §3.3. */
const OID_TIMESTAMPS = '1.3.6.1.4.1.11129.2.4.2';
