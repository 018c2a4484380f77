/**
 * CertificateRequest in its TLS 1.2 form: the server asks for the client's certificate.
 *
 *     struct {
 *         ClientCertificateType certificate_types<1..2^8-1>;
 *         SignatureAndHashAlgorithm supported_signature_algorithms<2..2^16-2>;
 *         DistinguishedName certificate_authorities<0..2^16-1>;
 *     } CertificateRequest;
 *
 * RFC 5246 §7.4.4; ecdsa_sign also asks for Ed25519 and Ed448 (RFC 8422 §5.5).
 */

import { Reader } from '../../bytes/reader.ts';
import { copyOf, u8List8, u16List16, writeOpaqueList16, writeU8List8, writeU16List16 } from '../fields.ts';
import { finishMessage, startMessage } from '../handshake-message.ts';

export interface CertificateRequest12 {
  /** Of `clientCertificateTypes`, and others that Mayfly does not use. */
  readonly certificateTypes: readonly number[];
  readonly signatureAlgorithms: readonly number[];
  /** DER names; empty when any authority will do. */
  readonly certificateAuthorities: readonly Uint8Array[];
}

/** IANA "TLS ClientCertificateType Identifiers": those whose keys can sign. */
export const clientCertificateTypes = { rsa_sign: 1, ecdsa_sign: 64 } as const;

/** The whole handshake message. */
export function encodeCertificateRequest12(message: CertificateRequest12): Uint8Array {
  const writer = startMessage('certificate_request', EXPECTED_LENGTH);
  writeU8List8(writer, message.certificateTypes);
  writeU16List16(writer, message.signatureAlgorithms);
  writeOpaqueList16(writer, message.certificateAuthorities);
  return finishMessage(writer);
}

/** @throws TLSError `TLS_ERR_DECODE` */
export function decodeCertificateRequest12(body: Uint8Array): CertificateRequest12 {
  const reader = new Reader(body, 'CertificateRequest');
  const certificateTypes = u8List8(reader, 'certificate_types');
  const signatureAlgorithms = u16List16(reader, 'supported_signature_algorithms');
  const list = reader.nested16('certificate_authorities');
  reader.end();
  const certificateAuthorities: Uint8Array[] = [];
  while (list.remaining > 0) {
    if (certificateAuthorities.length === MAX_AUTHORITIES) {
      throw reader.malformed('certificate_authorities', `more than ${MAX_AUTHORITIES} entries`);
    }
    certificateAuthorities.push(copyOf(list.vector16('DistinguishedName', 1)));
  }
  return { certificateTypes, signatureAlgorithms, certificateAuthorities };
}

const EXPECTED_LENGTH = 128;
/** Each name is an allocation at the client. */
const MAX_AUTHORITIES = 1024;
