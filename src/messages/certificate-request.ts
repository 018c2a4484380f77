/**
 * CertificateRequest in its TLS 1.3 form: the server asks for the client's certificate.
 *
 *     struct { opaque certificate_request_context<0..2^8-1>; Extension extensions<0..2^16-1>; } CertificateRequest;
 *
 * RFC 9846 §4.4.2.
 */

import { Reader } from '../bytes/reader.ts';
import { TLSError } from '../errors.ts';
import { extensionTypes } from './code-points.ts';
import type { Encodable } from './fields.ts';
import {
  copyOf,
  nextExtension,
  opaqueList16,
  u16List8,
  u16List16,
  writeOpaqueList16,
  writeU16List8,
  writeU16List16,
} from './fields.ts';
import { finishMessage, startMessage } from './handshake-message.ts';

export interface CertificateRequest {
  /** Empty within the handshake. */
  readonly requestContext: Uint8Array;
  readonly signatureAlgorithms: readonly number[];
  readonly signatureAlgorithmsCert?: readonly number[];
  /** DER names. */
  readonly certificateAuthorities?: readonly Uint8Array[];
  /** RFC 8879 §3. */
  readonly compressCertificate?: readonly number[];
  /** Every extension type in order of appearance. */
  readonly types: readonly number[];
}

/** The whole handshake message. */
export function encodeCertificateRequest(message: Encodable<CertificateRequest>): Uint8Array {
  const writer = startMessage('certificate_request', EXPECTED_LENGTH).vector8(message.requestContext);
  const block = writer.open(2);
  const schemes = writer.u16(extensionTypes.signature_algorithms).open(2);
  writeU16List16(writer, message.signatureAlgorithms);
  writer.close(schemes, 2);
  if (message.signatureAlgorithmsCert !== undefined) {
    const mark = writer.u16(extensionTypes.signature_algorithms_cert).open(2);
    writeU16List16(writer, message.signatureAlgorithmsCert);
    writer.close(mark, 2);
  }
  if (message.certificateAuthorities !== undefined) {
    const mark = writer.u16(extensionTypes.certificate_authorities).open(2);
    writeOpaqueList16(writer, message.certificateAuthorities);
    writer.close(mark, 2);
  }
  if (message.compressCertificate !== undefined) {
    writer.u16(extensionTypes.compress_certificate).u16(2 * message.compressCertificate.length + 1);
    writeU16List8(writer, message.compressCertificate);
  }
  writer.close(block, 2);
  return finishMessage(writer);
}

/**
 * Unknown extensions are ignored, as the RFC demands.
 * @throws TLSError `TLS_ERR_DECODE`, `TLS_ERR_DUPLICATE_EXTENSION`, `TLS_ERR_MISSING_EXTENSION` without
 * signature_algorithms
 */
export function decodeCertificateRequest(body: Uint8Array): CertificateRequest {
  const reader = new Reader(body, 'CertificateRequest');
  const requestContext = copyOf(reader.vector8('certificate_request_context'));
  const block = reader.nested16('extensions');
  reader.end();
  const types: number[] = [];
  let signatureAlgorithms: number[] | undefined;
  let signatureAlgorithmsCert: number[] | undefined;
  let certificateAuthorities: Uint8Array[] | undefined;
  let compressCertificate: number[] | undefined;
  while (block.remaining > 0) {
    const data = nextExtension(block, types);
    switch (types[types.length - 1]) {
      case extensionTypes.signature_algorithms:
        signatureAlgorithms = u16List16(data, 'supported_signature_algorithms');
        break;
      case extensionTypes.signature_algorithms_cert:
        signatureAlgorithmsCert = u16List16(data, 'supported_signature_algorithms');
        break;
      case extensionTypes.certificate_authorities:
        certificateAuthorities = opaqueList16(data, 'authorities', MAX_AUTHORITIES);
        break;
      case extensionTypes.compress_certificate:
        compressCertificate = u16List8(data, 'algorithms');
        break;
      default:
        data.rest();
    }
    data.end();
  }
  if (signatureAlgorithms === undefined) {
    throw new TLSError('TLS_ERR_MISSING_EXTENSION', 'CertificateRequest: signature_algorithms is missing');
  }
  return {
    requestContext,
    signatureAlgorithms,
    signatureAlgorithmsCert,
    certificateAuthorities,
    compressCertificate,
    types,
  };
}

const EXPECTED_LENGTH = 128;
/** Each name is an allocation at the client. */
const MAX_AUTHORITIES = 1024;
