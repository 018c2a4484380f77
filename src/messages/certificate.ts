/**
 * Certificate in its TLS 1.3 form: the chain, leaf first, each certificate with extensions of its own.
 *
 *     struct { opaque cert_data<1..2^24-1>; Extension extensions<0..2^16-1>; } CertificateEntry;
 *     struct { opaque certificate_request_context<0..2^8-1>; CertificateEntry certificate_list<0..2^24-1>; } Certificate;
 *
 * RFC 9846 §4.5.1.
 */

import { Reader } from '../bytes/reader.ts';
import { extensionTypes } from './code-points.ts';
import type { Encodable, Mutable } from './fields.ts';
import { copyOf, nextExtension } from './fields.ts';
import { finishMessage, startMessage } from './handshake-message.ts';

export interface Certificate {
  /** Empty in a handshake's server Certificate. */
  readonly requestContext: Uint8Array;
  /** Leaf first. May be empty: whether that is legal depends on who sent it. */
  readonly entries: readonly CertificateEntry[];
}

export interface CertificateEntry {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly extensions: CertificateEntryExtensions;
}

export interface CertificateEntryExtensions {
  /** extension_data as it stands: a CertificateStatus (RFC 6066 §8). */
  readonly statusRequest?: Uint8Array;
  /** extension_data as it stands: a SignedCertificateTimestampList (RFC 6962 §3.3). */
  readonly signedCertificateTimestamps?: Uint8Array;
  readonly types: readonly number[];
}

export interface EncodableCertificate {
  readonly requestContext: Uint8Array;
  readonly entries: readonly {
    readonly certificate: Uint8Array;
    readonly extensions: Encodable<CertificateEntryExtensions>;
  }[];
}

/** The whole handshake message. */
export function encodeCertificate(message: EncodableCertificate): Uint8Array {
  let expected = 8 + message.requestContext.length;
  for (const { certificate, extensions } of message.entries) {
    const { statusRequest, signedCertificateTimestamps } = extensions;
    expected += 13 + certificate.length + (statusRequest?.length ?? 0) + (signedCertificateTimestamps?.length ?? 0);
  }
  const writer = startMessage('certificate', expected).vector8(message.requestContext);
  const list = writer.open(3);
  for (const { certificate, extensions } of message.entries) {
    writer.vector24(certificate);
    const block = writer.open(2);
    if (extensions.statusRequest !== undefined) {
      writer.u16(extensionTypes.status_request).vector16(extensions.statusRequest);
    }
    if (extensions.signedCertificateTimestamps !== undefined) {
      writer.u16(extensionTypes.signed_certificate_timestamp).vector16(extensions.signedCertificateTimestamps);
    }
    writer.close(block, 2);
  }
  writer.close(list, 3);
  return finishMessage(writer);
}

/** @throws TLSError `TLS_ERR_DECODE`, `TLS_ERR_DUPLICATE_EXTENSION` */
export function decodeCertificate(body: Uint8Array): Certificate {
  const reader = new Reader(body, 'Certificate');
  const requestContext = copyOf(reader.vector8('certificate_request_context'));
  const list = reader.nested24('certificate_list');
  reader.end();
  const entries: CertificateEntry[] = [];
  while (list.remaining > 0) {
    if (entries.length === MAX_CERTIFICATES) {
      throw reader.malformed('certificate_list', `more than ${MAX_CERTIFICATES} certificates`);
    }
    const certificate = copyOf(list.vector24('cert_data', 1));
    entries.push({ certificate, extensions: readExtensions(list.nested16('extensions')) });
  }
  return { requestContext, entries };
}

function readExtensions(block: Reader): CertificateEntryExtensions {
  const types: number[] = [];
  const extensions: Mutable<CertificateEntryExtensions> = {
    statusRequest: undefined,
    signedCertificateTimestamps: undefined,
    types,
  };
  while (block.remaining > 0) {
    const data = nextExtension(block, types).rest();
    const type = types[types.length - 1];
    if (type === extensionTypes.status_request) {
      extensions.statusRequest = copyOf(data);
    } else if (type === extensionTypes.signed_certificate_timestamp) {
      extensions.signedCertificateTimestamps = copyOf(data);
    }
  }
  return extensions;
}

/**
 * Chains of the web have two to five certificates. Path building is a search over what is sent, and each certificate costs
 * some 100 µs to parse: a long list of small ones is a way to burn the peer's time before it knows whom it talks to.
 */
export const MAX_CERTIFICATES = 10;
