/**
 * Certificate in its TLS 1.2 form: the chain, leaf first, without extensions.
 *
 *     opaque ASN.1Cert<1..2^24-1>;
 *     struct { ASN.1Cert certificate_list<0..2^24-1>; } Certificate;
 *
 * RFC 5246 §7.4.2, §7.4.6.
 */

import { Reader } from '../../bytes/reader.ts';
import { MAX_CERTIFICATES } from '../certificate.ts';
import { copyOf } from '../fields.ts';
import { finishMessage, startMessage } from '../handshake-message.ts';

export interface Certificate12 {
  /** DER, leaf first. Empty for a client without a certificate; from a server that is for the handshake to refuse. */
  readonly certificates: readonly Uint8Array[];
}

/** The whole handshake message. */
export function encodeCertificate12(message: Certificate12): Uint8Array {
  let expected = 3;
  for (const certificate of message.certificates) {
    expected += 3 + certificate.length;
  }
  const writer = startMessage('certificate', expected);
  const list = writer.open(3);
  for (const certificate of message.certificates) {
    writer.vector24(certificate);
  }
  writer.close(list, 3);
  return finishMessage(writer);
}

/** @throws TLSError `TLS_ERR_DECODE`, also for more than `MAX_CERTIFICATES` */
export function decodeCertificate12(body: Uint8Array): Certificate12 {
  const reader = new Reader(body, 'Certificate');
  const list = reader.nested24('certificate_list');
  reader.end();
  const certificates: Uint8Array[] = [];
  while (list.remaining > 0) {
    if (certificates.length === MAX_CERTIFICATES) {
      throw reader.malformed('certificate_list', `more than ${MAX_CERTIFICATES} certificates`);
    }
    certificates.push(copyOf(list.vector24('ASN.1Cert', 1)));
  }
  return { certificates };
}
