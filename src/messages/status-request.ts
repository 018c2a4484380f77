/**
 * The contents of status_request: what a client asks for, and in TLS 1.3 the answer beside a certificate.
 *
 *     struct { CertificateStatusType status_type; select (status_type) { case ocsp: OCSPStatusRequest; } request; }
 *         CertificateStatusRequest;
 *     struct { ResponderID responder_id_list<0..2^16-1>; Extensions request_extensions<0..2^16-1>; } OCSPStatusRequest;
 *     struct { CertificateStatusType status_type = ocsp(1); opaque OCSPResponse<1..2^24-1>; } CertificateStatus;
 *
 * RFC 6066 §8; RFC 9846 §4.5.1.1.
 */

import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { TLSError } from '../errors.ts';
import { copyOf } from './fields.ts';

const OCSP = 1;

/** Asks for the response of any responder, without extensions. */
export const OCSP_STATUS_REQUEST: Uint8Array = Uint8Array.of(OCSP, 0, 0, 0, 0);

/**
 * Whether a client's status_request asks for an OCSP response; other types of status are unknown, and passed over.
 * @throws TLSError `TLS_ERR_DECODE`
 */
export function asksForOcsp(request: Uint8Array | undefined): boolean {
  if (request === undefined) {
    return false;
  }
  const reader = new Reader(request, 'CertificateStatusRequest');
  if (reader.u8('status_type') !== OCSP) {
    return false;
  }
  // A responder list is a wish that no server of the web heeds, and a nonce goes against stapling.
  reader.vector16('responder_id_list');
  reader.vector16('request_extensions');
  reader.end();
  return true;
}

/** extension_data for a CertificateEntry. */
export function encodeStatusExtension(response: Uint8Array): Uint8Array {
  return new Writer(4 + response.length).u8(OCSP).vector24(response).finish();
}

/**
 * The OCSPResponse, DER, in the extension_data of a CertificateEntry.
 * @throws TLSError `TLS_ERR_DECODE`; `TLS_ERR_ILLEGAL_PARAMETER` for another type than the one that was asked for
 */
export function decodeStatusExtension(data: Uint8Array): Uint8Array {
  const reader = new Reader(data, 'CertificateStatus');
  const type = reader.u8('status_type');
  if (type !== OCSP) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `CertificateStatus: status_type is ${type}, expected ocsp(1)`);
  }
  const response = copyOf(reader.vector24('OCSPResponse', 1));
  reader.end();
  return response;
}
