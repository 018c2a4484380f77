/**
 * CertificateStatus: the OCSP response that a server staples to its chain.
 *
 *     struct { CertificateStatusType status_type = ocsp(1); opaque OCSPResponse<1..2^24-1>; } CertificateStatus;
 *
 * RFC 6066 §8.
 */

import { Reader } from '../../bytes/reader.ts';
import { TLSError } from '../../errors.ts';
import { copyOf } from '../fields.ts';
import { finishMessage, startMessage } from '../handshake-message.ts';

export interface CertificateStatus {
  /** OCSPResponse, DER. */
  readonly response: Uint8Array;
}

/** The whole handshake message. */
export function encodeCertificateStatus(message: CertificateStatus): Uint8Array {
  const writer = startMessage('certificate_status', 4 + message.response.length);
  return finishMessage(writer.u8(OCSP).vector24(message.response));
}

/** @throws TLSError `TLS_ERR_DECODE`; `TLS_ERR_ILLEGAL_PARAMETER` for another type than the one that is asked for */
export function decodeCertificateStatus(body: Uint8Array): CertificateStatus {
  const reader = new Reader(body, 'CertificateStatus');
  const type = reader.u8('status_type');
  if (type !== OCSP) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `CertificateStatus: status_type is ${type}, expected ocsp(1)`);
  }
  const response = copyOf(reader.vector24('OCSPResponse', 1));
  reader.end();
  return { response };
}

const OCSP = 1;
