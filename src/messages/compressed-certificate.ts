/**
 * CompressedCertificate: a Certificate message whose body is compressed.
 *
 *     struct {
 *         CertificateCompressionAlgorithm algorithm;
 *         uint24 uncompressed_length;
 *         opaque compressed_certificate_message<1..2^24-1>;
 *     } CompressedCertificate;
 *
 * RFC 8879 §4, §7.3. The transcript has it as it was sent, compressed.
 */

import { Reader } from '../bytes/reader.ts';
import type { CertificateCompression } from '../crypto/provider.ts';
import { copyOf } from './fields.ts';
import { finishMessage, startMessage } from './handshake-message.ts';

export interface CompressedCertificate {
  readonly algorithm: number;
  /** Bytes of the Certificate's body, as the sender says. */
  readonly uncompressedLength: number;
  readonly compressed: Uint8Array;
}

export const compressionCodes: Readonly<Record<CertificateCompression, number>> = { zlib: 1, brotli: 2, zstd: 3 };

/** Undefined for one that Mayfly does not know. */
export function compressionByCode(code: number): CertificateCompression | undefined {
  return (Object.keys(compressionCodes) as CertificateCompression[]).find((name) => compressionCodes[name] === code);
}

/** The whole handshake message. */
export function encodeCompressedCertificate(message: CompressedCertificate): Uint8Array {
  const writer = startMessage('compressed_certificate', 8 + message.compressed.length);
  writer.u16(message.algorithm).u24(message.uncompressedLength).vector24(message.compressed);
  return finishMessage(writer);
}

/** @throws TLSError `TLS_ERR_DECODE` */
export function decodeCompressedCertificate(body: Uint8Array): CompressedCertificate {
  const reader = new Reader(body, 'CompressedCertificate');
  const algorithm = reader.u16('algorithm');
  const uncompressedLength = reader.u24('uncompressed_length');
  const compressed = copyOf(reader.vector24('compressed_certificate_message', 1));
  reader.end();
  return { algorithm, uncompressedLength, compressed };
}
