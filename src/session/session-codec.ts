/**
 * What the two session codecs share: suites, names, times and certificates, each checked, and errors with the session
 * layer's code.
 */

import { utf8 } from '../bytes/bytes.ts';
import type { Reader } from '../bytes/reader.ts';
import { type CipherSuite, type CipherSuiteName, cipherSuiteByCode, cipherSuites } from '../crypto/suites.ts';
import { type CipherSuite12Name, cipherSuite12ByCode, cipherSuites12 } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';

export function stateError(detail: string, cause?: unknown): TLSError {
  return new TLSError('TLS_ERR_SESSION_STATE', detail, { cause });
}

/** Runs a decoder and turns every failure into `TLS_ERR_SESSION_STATE`. */
export function decodeWith<T>(what: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof TLSError && error.code === 'TLS_ERR_SESSION_STATE') {
      throw error;
    }
    throw stateError(error instanceof TLSError ? error.message : `${what} cannot be decoded`, error);
  }
}

/** @throws TLSError `TLS_ERR_SESSION_STATE` unknown suite, or a secret that is not as long as its hash */
export function suiteToEncode(what: string, name: CipherSuiteName, secretLength: number): CipherSuite {
  const suite: CipherSuite | undefined = cipherSuites[name];
  if (suite === undefined) {
    throw stateError(`${what}.cipherSuite: ${String(name)} is not a suite of Mayfly`);
  }
  if (secretLength !== suite.hashLength) {
    throw stateError(`${what}.secret: ${name} needs ${suite.hashLength} bytes, got ${secretLength}`);
  }
  return suite;
}

export function readSuite(reader: Reader): CipherSuite {
  const code = reader.u16('cipherSuite');
  const suite = cipherSuiteByCode(code);
  if (suite === undefined) {
    throw reader.malformed('cipherSuite', `code point ${code} is unknown`);
  }
  return suite;
}

/** The code point of a TLS 1.2 suite. @throws TLSError `TLS_ERR_SESSION_STATE` unknown suite, or a secret of other than 48 bytes */
export function suite12ToEncode(what: string, name: CipherSuite12Name, secretLength: number): number {
  const suite: { readonly code: number } | undefined = cipherSuites12[name];
  if (suite === undefined) {
    throw stateError(`${what}.cipherSuite: ${String(name)} is not a TLS 1.2 suite of Mayfly`);
  }
  if (secretLength !== MASTER_SECRET_LENGTH) {
    throw stateError(`${what}.secret: a master secret has ${MASTER_SECRET_LENGTH} bytes, got ${secretLength}`);
  }
  return suite.code;
}

export function readSuite12(reader: Reader): CipherSuite12Name {
  const code = reader.u16('cipherSuite');
  const suite = cipherSuite12ByCode(code);
  if (suite === undefined) {
    throw reader.malformed('cipherSuite', `code point ${code} is unknown in TLS 1.2`);
  }
  return suite.name;
}

/** Strictly 0 or 1, so that a session has one encoding. */
export function readFlag(reader: Reader, field: string): boolean {
  const value = reader.u8(field);
  if (value > 1) {
    throw reader.malformed(field, `expected 0 or 1, got ${value}`);
  }
  return value === 1;
}

/** UTF-8 of at most 255 bytes. @throws TLSError `TLS_ERR_SESSION_STATE` */
export function nameToEncode(what: string, field: string, text: string): Uint8Array {
  const bytes = utf8(text);
  if (bytes.length > 0xff) {
    throw stateError(`${what}.${field}: at most 255 bytes can be kept, got ${bytes.length}`);
  }
  return bytes;
}

export function readName(reader: Reader, field: string): string {
  const bytes = reader.vector8(field);
  if (bytes.length === 0) {
    return '';
  }
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw reader.malformed(field, 'is not UTF-8');
  }
}

/** Whole milliseconds since the epoch. @throws TLSError `TLS_ERR_SESSION_STATE` */
export function timeToEncode(what: string, field: string, time: number): number {
  const whole = Math.floor(time);
  if (!Number.isSafeInteger(whole) || whole < 0) {
    throw stateError(`${what}.${field}: expected milliseconds since the epoch, got ${time}`);
  }
  return whole;
}

/** @throws TLSError `TLS_ERR_SESSION_STATE` */
export function uint32ToEncode(what: string, field: string, value: number, max = 0xffffffff): number {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw stateError(`${what}.${field}: expected an integer of at most ${max}, got ${value}`);
  }
  return value;
}

export function readLifetime(reader: Reader): number {
  const seconds = reader.u32('ticketLifetime');
  if (seconds > MAX_TICKET_LIFETIME) {
    throw reader.malformed('ticketLifetime', `${seconds} s exceed ${MAX_TICKET_LIFETIME}`);
  }
  return seconds;
}

export interface CertificateBounds {
  /** Bytes of each certificate's length field. */
  readonly lengthBytes: 2 | 3;
  readonly maxCount: number;
  /** Bytes of the whole list, length fields among them. */
  readonly maxLength: number;
}

/** Bytes of the encoded list. @throws TLSError `TLS_ERR_SESSION_STATE` */
export function certificatesLength(
  what: string,
  certificates: readonly Uint8Array[],
  { lengthBytes, maxCount, maxLength }: CertificateBounds,
): number {
  if (certificates.length > maxCount) {
    throw stateError(`${what}.peerCertificates: at most ${maxCount}, got ${certificates.length}`);
  }
  let length = 0;
  for (const certificate of certificates) {
    if (certificate.length === 0) {
      throw stateError(`${what}.peerCertificates: one is empty`);
    }
    length += lengthBytes + certificate.length;
  }
  if (length > maxLength) {
    throw stateError(`${what}.peerCertificates: at most ${maxLength} bytes, got ${length}`);
  }
  return length;
}

/** Copies of the certificates of a list that `reader` spans. */
export function readCertificates(reader: Reader, { lengthBytes, maxCount }: CertificateBounds): readonly Uint8Array[] {
  const certificates: Uint8Array[] = [];
  while (reader.remaining > 0) {
    if (certificates.length === maxCount) {
      throw reader.malformed('count', `more than ${maxCount}`);
    }
    const certificate = lengthBytes === 2 ? reader.vector16('certificate', 1) : reader.vector24('certificate', 1);
    certificates.push(new Uint8Array(certificate));
  }
  return certificates;
}

/** Bytes (RFC 5246 §8.1). */
export const MASTER_SECRET_LENGTH = 48;
/** Seconds: seven days (RFC 9846 §4.7.1). */
export const MAX_TICKET_LIFETIME = 604_800;

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
