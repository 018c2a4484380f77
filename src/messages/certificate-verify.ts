/**
 * CertificateVerify: the proof that a peer holds the key of its certificate, and the bytes the signature covers.
 *
 *     struct { SignatureScheme algorithm; opaque signature<0..2^16-1>; } CertificateVerify;
 *     content = 0x20 × 64 ‖ "TLS 1.3, server CertificateVerify" ‖ 0x00 ‖ Transcript-Hash
 *
 * RFC 9846 §4.5.2.
 */

import { utf8 } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { shortLived } from '../bytes/short-lived.ts';
import { copyOf } from './fields.ts';
import { finishMessage, startMessage } from './handshake-message.ts';

export interface CertificateVerify {
  readonly scheme: number;
  readonly signature: Uint8Array;
}

/** The whole handshake message. */
export function encodeCertificateVerify(message: CertificateVerify): Uint8Array {
  const writer = startMessage('certificate_verify', 4 + message.signature.length);
  return finishMessage(writer.u16(message.scheme).vector16(message.signature));
}

/** @throws TLSError `TLS_ERR_DECODE` */
export function decodeCertificateVerify(body: Uint8Array): CertificateVerify {
  const reader = new Reader(body, 'CertificateVerify');
  const scheme = reader.u16('algorithm');
  const signature = copyOf(reader.vector16('signature'));
  reader.end();
  return { scheme, signature };
}

/** What the signature of this role covers: `transcriptHash` is that of the handshake up to and with Certificate. */
export function certificateVerifyContent(role: 'client' | 'server', transcriptHash: Uint8Array): Uint8Array {
  const prefix = role === 'client' ? CLIENT_PREFIX : SERVER_PREFIX;
  const content = shortLived(prefix.length + transcriptHash.length);
  content.set(prefix);
  content.set(transcriptHash, prefix.length);
  return content;
}

const CLIENT_PREFIX = utf8(`${' '.repeat(64)}TLS 1.3, client CertificateVerify\0`);
const SERVER_PREFIX = utf8(`${' '.repeat(64)}TLS 1.3, server CertificateVerify\0`);
