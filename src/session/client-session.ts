/**
 * What a client remembers so that it can resume: one ticket, used once; and its codec, for those who keep sessions
 * between runs of a program.
 *
 *     struct {
 *         opaque magic[4] = "MFCS";
 *         uint8  format = 1;
 *         uint16 cipherSuite;
 *         opaque secret<32..48>;              one-byte length, as long as the suite's hash
 *         opaque ticket<1..2^16-1>;
 *         uint64 receivedAt;
 *         uint32 ticketLifetime;
 *         uint32 ticketAgeAdd;
 *         uint64 authenticatedAt;
 *         opaque serverName<0..255>;
 *         opaque alpnProtocol<0..255>;
 *         opaque peerCertificates<0..2^24-1>; of opaque certificate<1..2^24-1>
 *     } EncodedClientSession;
 */

import { sameBytes, utf8 } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { Secret } from '../bytes/secret.ts';
import { Writer } from '../bytes/writer.ts';
import type { CipherSuiteName } from '../crypto/suites.ts';
import {
  decodeWith,
  MAX_TICKET_LIFETIME,
  nameToEncode,
  readLifetime,
  readName,
  readSuite,
  stateError,
  suiteToEncode,
  timeToEncode,
  uint32ToEncode,
} from './session-codec.ts';

export interface ClientSession {
  readonly version: 'TLSv1.3';
  readonly cipherSuite: CipherSuiteName;
  /** Opaque to the client. */
  readonly ticket: Uint8Array;
  /** The PSK that goes with the ticket (RFC 9846 §4.7.1). */
  readonly secret: Secret;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
  /** Seconds, at most 604800 (RFC 9846 §4.7.1). */
  readonly ticketLifetime: number;
  readonly ticketAgeAdd: number;
  /** When the full handshake at the head of the chain of resumptions ended; milliseconds since the epoch. */
  readonly authenticatedAt: number;
  /** Empty when none was sent. */
  readonly serverName: string;
  /** Empty when none was agreed. */
  readonly alpnProtocol: string;
  /** The server's certificate chain as it was verified, DER, leaf first: a resumption has none of its own. */
  readonly peerCertificates: readonly Uint8Array[];
}

/**
 * Encodes a session with its secret: erase the result after use, and keep what is written of it as a private key is kept.
 * @throws TLSError `TLS_ERR_SESSION_STATE` a field has no encoding; `TLS_ERR_SECRET_ERASED`
 */
export function encodeClientSession(session: ClientSession): Secret {
  const psk = session.secret.expose();
  const suite = suiteToEncode(WHAT, session.cipherSuite, psk.length);
  const serverName = nameToEncode(WHAT, 'serverName', session.serverName);
  const alpnProtocol = nameToEncode(WHAT, 'alpnProtocol', session.alpnProtocol);
  const receivedAt = timeToEncode(WHAT, 'receivedAt', session.receivedAt);
  const ticketLifetime = uint32ToEncode(WHAT, 'ticketLifetime', session.ticketLifetime, MAX_TICKET_LIFETIME);
  const ticketAgeAdd = uint32ToEncode(WHAT, 'ticketAgeAdd', session.ticketAgeAdd);
  const authenticatedAt = timeToEncode(WHAT, 'authenticatedAt', session.authenticatedAt);
  if (session.ticket.length < 1 || session.ticket.length > 0xffff) {
    throw stateError(`${WHAT}.ticket: expected 1 to 65535 bytes, got ${session.ticket.length}`);
  }
  const certificatesLength = checkedLength(session.peerCertificates);
  const names = serverName.length + alpnProtocol.length;
  // The writer never grows, so that no copy of the PSK stays behind; `take` erases its buffer.
  const writer = new Writer(FIXED_LENGTH + psk.length + session.ticket.length + names + certificatesLength);
  writer
    .bytes(MAGIC)
    .u8(FORMAT)
    .u16(suite.code)
    .vector8(psk)
    .vector16(session.ticket)
    .u64(receivedAt)
    .u32(ticketLifetime)
    .u32(ticketAgeAdd)
    .u64(authenticatedAt)
    .vector8(serverName)
    .vector8(alpnProtocol)
    .u24(certificatesLength);
  for (const certificate of session.peerCertificates) {
    writer.vector24(certificate);
  }
  return Secret.take('clientSession', writer.finish());
}

/**
 * Decodes what `encodeClientSession` made; everything returned is a copy. The caller erases `bytes`, and the session's
 * secret.
 * @throws TLSError `TLS_ERR_SESSION_STATE`, and nothing else, on any bytes
 */
export function decodeClientSession(bytes: Uint8Array): ClientSession {
  return decodeWith(WHAT, () => {
    const reader = new Reader(bytes, WHAT);
    if (!sameBytes(reader.bytes(MAGIC.length, 'magic'), MAGIC)) {
      throw reader.malformed('magic', 'these bytes are not a session kept by Mayfly');
    }
    const format = reader.u8('format');
    if (format !== FORMAT) {
      throw reader.malformed('format', `expected ${FORMAT}, got ${format}`);
    }
    const suite = readSuite(reader);
    const psk = reader.vector8('secret', suite.hashLength, suite.hashLength);
    const ticket = new Uint8Array(reader.vector16('ticket', 1));
    const receivedAt = reader.u64('receivedAt');
    const ticketLifetime = readLifetime(reader);
    const ticketAgeAdd = reader.u32('ticketAgeAdd');
    const authenticatedAt = reader.u64('authenticatedAt');
    const serverName = readName(reader, 'serverName');
    const alpnProtocol = readName(reader, 'alpnProtocol');
    const peerCertificates = readCertificates(reader.nested24('peerCertificates', 0, MAX_CERTIFICATES_LENGTH));
    reader.end();
    return {
      version: 'TLSv1.3',
      cipherSuite: suite.name,
      ticket,
      secret: Secret.copy('resumptionPsk', psk),
      receivedAt,
      ticketLifetime,
      ticketAgeAdd,
      authenticatedAt,
      serverName,
      alpnProtocol,
      peerCertificates,
    };
  });
}

function checkedLength(certificates: readonly Uint8Array[]): number {
  if (certificates.length > MAX_CERTIFICATES) {
    throw stateError(`${WHAT}.peerCertificates: at most ${MAX_CERTIFICATES}, got ${certificates.length}`);
  }
  let length = 0;
  for (const certificate of certificates) {
    if (certificate.length === 0) {
      throw stateError(`${WHAT}.peerCertificates: one is empty`);
    }
    length += 3 + certificate.length;
  }
  if (length > MAX_CERTIFICATES_LENGTH) {
    throw stateError(`${WHAT}.peerCertificates: at most ${MAX_CERTIFICATES_LENGTH} bytes, got ${length}`);
  }
  return length;
}

function readCertificates(list: Reader): readonly Uint8Array[] {
  const certificates: Uint8Array[] = [];
  while (list.remaining > 0) {
    if (certificates.length === MAX_CERTIFICATES) {
      throw list.malformed('count', `more than ${MAX_CERTIFICATES}`);
    }
    certificates.push(new Uint8Array(list.vector24('certificate', 1)));
  }
  return certificates;
}

const WHAT = 'ClientSession';
const MAGIC = utf8('MFCS');
const FORMAT = 1;
/** All fields but the content of those of variable length. */
const FIXED_LENGTH = 4 + 1 + 2 + 1 + 2 + 8 + 4 + 4 + 8 + 1 + 1 + 3;
/** Stop a file made by someone else from filling the memory. */
const MAX_CERTIFICATES = 64;
const MAX_CERTIFICATES_LENGTH = 1_048_576;
