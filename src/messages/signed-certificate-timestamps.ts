/**
 * A list of signed certificate timestamps: promises of Certificate Transparency logs, passed on as they stand.
 *
 *     opaque SerializedSCT<1..2^16-1>;
 *     struct { SerializedSCT sct_list<1..2^16-1>; } SignedCertificateTimestampList;
 *
 * RFC 6962 §3.3, §3.3.1.
 */

import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { opaqueList16, writeOpaqueList16 } from './fields.ts';

/** extension_data of signed_certificate_timestamp. */
export function encodeTimestamps(timestamps: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer(timestamps.reduce((sum, { length }) => sum + 2 + length, 2));
  writeOpaqueList16(writer, timestamps);
  return writer.finish();
}

/** @throws TLSError `TLS_ERR_DECODE` */
export function decodeTimestamps(data: Uint8Array): Uint8Array[] {
  const reader = new Reader(data, 'SignedCertificateTimestampList');
  const timestamps = opaqueList16(reader, 'sct_list', MAX_TIMESTAMPS);
  reader.end();
  return timestamps;
}

/** Each is an allocation; certificates of the web have two or three. */
const MAX_TIMESTAMPS = 32;
