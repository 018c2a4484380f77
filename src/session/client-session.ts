/**
 * What a client remembers so that it can resume: in TLS 1.3 one ticket, used once; in TLS 1.2 a session ID or a ticket
 * with the master secret; and its codec, for those who keep sessions between runs of a program.
 *
 *     struct {
 *         opaque magic[4] = "MFCS";
 *         uint8  format = 4;
 *         uint16 version;                     0x0304 or 0x0303
 *         uint16 cipherSuite;                 of that version
 *         opaque secret<32..48>;              one-byte length: as long as the suite's hash; in TLS 1.2, 48
 *         select (version) {
 *             case 0x0304: uint32 ticketAgeAdd;
 *                          uint32 maxEarlyDataSize;       0 for none
 *                          opaque externalPskFingerprint<0..32>;  empty for a session that a certificate began, else 32
 *             case 0x0303: uint8 extendedMasterSecret;    0 or 1
 *                          opaque sessionId<0..32>;       empty when there is a ticket, and only then
 *         };
 *         opaque ticket<0..2^16-1>;           in TLS 1.3 never empty
 *         uint64 receivedAt;
 *         uint32 ticketLifetime;
 *         uint64 authenticatedAt;
 *         opaque serverName<0..255>;
 *         opaque alpnProtocol<0..255>;
 *         opaque peerCertificates<0..2^20>;   of opaque certificate<1..2^24-1>
 *     } EncodedClientSession;
 */

import { EMPTY, sameBytes, utf8 } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { Secret } from '../bytes/secret.ts';
import { Writer } from '../bytes/writer.ts';
import type { CipherSuiteName } from '../crypto/suites.ts';
import type { CipherSuite12Name } from '../crypto/suites12.ts';
import { TLS12, TLS13 } from '../messages/code-points.ts';
import {
  type CertificateBounds,
  certificatesLength,
  decodeWith,
  MASTER_SECRET_LENGTH,
  MAX_TICKET_LIFETIME,
  nameToEncode,
  readCertificates,
  readFlag,
  readLifetime,
  readName,
  readSuite,
  readSuite12,
  stateError,
  suite12ToEncode,
  suiteToEncode,
  timeToEncode,
  uint32ToEncode,
} from './session-codec.ts';

export type ClientSession = ClientSession13 | ClientSession12;

export interface ClientSession13 extends CommonSession {
  readonly version: 'TLSv1.3';
  readonly cipherSuite: CipherSuiteName;
  /** Opaque to the client. */
  readonly ticket: Uint8Array;
  /** The PSK that goes with the ticket (RFC 9846 §4.7.1). */
  readonly secret: Secret;
  readonly ticketAgeAdd: number;
  /** Bytes of early data that the server takes with this ticket. 0, or absent, for none; decoding always gives a number. */
  readonly maxEarlyDataSize?: number;
  /**
   * The session began with an external PSK, not with a certificate, and is offered only by who still has that PSK: see
   * `pskFingerprint`, 32 bytes. Empty, or absent, for none; decoding always gives bytes.
   */
  readonly externalPskFingerprint?: Uint8Array;
}

/** Offered by its session ID or by its ticket: one of the two is empty. */
export interface ClientSession12 extends CommonSession {
  readonly version: 'TLSv1.2';
  readonly cipherSuite: CipherSuite12Name;
  /** The master secret of the full handshake, 48 bytes: it opens every connection of the session (RFC 5246 §8.1). */
  readonly secret: Secret;
  /** Without it the session is offered without too, or not at all (RFC 7627 §5.3). */
  readonly extendedMasterSecret: boolean;
  /** As the server gave it (RFC 5246 §7.4.1.3); at most 32 bytes. */
  readonly sessionId: Uint8Array;
  /** Opaque to the client (RFC 5077 §3.3). */
  readonly ticket: Uint8Array;
}

interface CommonSession {
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
  /** Seconds, at most 604800 (RFC 9846 §4.7.1). */
  readonly ticketLifetime: number;
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
  const own = session.version === 'TLSv1.3' ? encodeOwn13(session) : encodeOwn12(session);
  const secret = session.secret.expose();
  const serverName = nameToEncode(WHAT, 'serverName', session.serverName);
  const alpnProtocol = nameToEncode(WHAT, 'alpnProtocol', session.alpnProtocol);
  const receivedAt = timeToEncode(WHAT, 'receivedAt', session.receivedAt);
  const ticketLifetime = uint32ToEncode(WHAT, 'ticketLifetime', session.ticketLifetime, MAX_TICKET_LIFETIME);
  const authenticatedAt = timeToEncode(WHAT, 'authenticatedAt', session.authenticatedAt);
  if (session.ticket.length > 0xffff) {
    throw stateError(`${WHAT}.ticket: at most 65535 bytes, got ${session.ticket.length}`);
  }
  const listLength = certificatesLength(WHAT, session.peerCertificates, CERTIFICATES);
  const names = serverName.length + alpnProtocol.length;
  const variable = secret.length + own.fields.length + session.ticket.length + names + listLength;
  // From here on nothing throws, and the writer never grows: no copy of the secret stays behind.
  const bytes = new Uint8Array(new ArrayBuffer(FIXED_LENGTH + variable));
  const writer = new Writer(bytes.length, () => bytes);
  writer
    .bytes(MAGIC)
    .u8(FORMAT)
    .u16(own.version)
    .u16(own.suite)
    .vector8(secret)
    .bytes(own.fields)
    .vector16(session.ticket)
    .u64(receivedAt)
    .u32(ticketLifetime)
    .u64(authenticatedAt)
    .vector8(serverName)
    .vector8(alpnProtocol)
    .u24(listLength);
  for (const certificate of session.peerCertificates) {
    writer.vector24(certificate);
  }
  return Secret.adopt('clientSession', bytes, bytes.length, session.secret.id);
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
    const version = reader.u16('version');
    if (version === TLS13) {
      return decode13(reader);
    }
    if (version === TLS12) {
      return decode12(reader);
    }
    throw reader.malformed('version', `expected ${TLS13} or ${TLS12}, got ${version}`);
  });
}

/** A session with a secret of its own, which whoever gets it erases; the rest is shared. */
export function cloneClientSession<S extends ClientSession>(session: S): S {
  return { ...session, secret: session.secret.clone() };
}

function decode13(reader: Reader): ClientSession13 {
  const suite = readSuite(reader);
  const psk = reader.vector8('secret', suite.hashLength, suite.hashLength);
  const ticketAgeAdd = reader.u32('ticketAgeAdd');
  const maxEarlyDataSize = reader.u32('maxEarlyDataSize');
  const externalPskFingerprint = new Uint8Array(reader.vector8('externalPskFingerprint'));
  if (externalPskFingerprint.length !== 0 && externalPskFingerprint.length !== FINGERPRINT_LENGTH) {
    throw reader.malformed('externalPskFingerprint', `expected 0 or 32 bytes, got ${externalPskFingerprint.length}`);
  }
  const ticket = new Uint8Array(reader.vector16('ticket', 1));
  const common = readCommon(reader);
  const secret = Secret.copy('resumptionPsk', psk);
  return {
    version: 'TLSv1.3',
    cipherSuite: suite.name,
    secret,
    ticketAgeAdd,
    maxEarlyDataSize,
    externalPskFingerprint,
    ticket,
    ...common,
  };
}

function decode12(reader: Reader): ClientSession12 {
  const cipherSuite = readSuite12(reader);
  const masterSecret = reader.vector8('secret', MASTER_SECRET_LENGTH, MASTER_SECRET_LENGTH);
  const extendedMasterSecret = readFlag(reader, 'extendedMasterSecret');
  const sessionId = new Uint8Array(reader.vector8('sessionId', 0, MAX_SESSION_ID_LENGTH));
  const ticket = new Uint8Array(reader.vector16('ticket'));
  if ((sessionId.length === 0) === (ticket.length === 0)) {
    throw reader.malformed('ticket', NEITHER_OR_BOTH);
  }
  const common = readCommon(reader);
  const secret = Secret.copy('masterSecret', masterSecret);
  return { version: 'TLSv1.2', cipherSuite, secret, extendedMasterSecret, sessionId, ticket, ...common };
}

/** All that follows, to the end. */
function readCommon(reader: Reader): CommonSession {
  const receivedAt = reader.u64('receivedAt');
  const ticketLifetime = readLifetime(reader);
  const authenticatedAt = reader.u64('authenticatedAt');
  const serverName = readName(reader, 'serverName');
  const alpnProtocol = readName(reader, 'alpnProtocol');
  const list = reader.nested24('peerCertificates', 0, CERTIFICATES.maxLength);
  const peerCertificates = readCertificates(list, CERTIFICATES);
  reader.end();
  return { receivedAt, ticketLifetime, authenticatedAt, serverName, alpnProtocol, peerCertificates };
}

/** What differs by version: none of it is secret. */
interface OwnFields {
  readonly version: number;
  readonly suite: number;
  readonly fields: Uint8Array;
}

function encodeOwn13(session: ClientSession13): OwnFields {
  const suite = suiteToEncode(WHAT, session.cipherSuite, session.secret.expose().length).code;
  if (session.ticket.length === 0) {
    throw stateError(`${WHAT}.ticket: a TLS 1.3 session needs one`);
  }
  const { externalPskFingerprint = EMPTY } = session;
  if (externalPskFingerprint.length !== 0 && externalPskFingerprint.length !== FINGERPRINT_LENGTH) {
    throw stateError(`${WHAT}.externalPskFingerprint: 0 or 32 bytes, got ${externalPskFingerprint.length}`);
  }
  const fields = new Writer(9 + externalPskFingerprint.length)
    .u32(uint32ToEncode(WHAT, 'ticketAgeAdd', session.ticketAgeAdd))
    .u32(uint32ToEncode(WHAT, 'maxEarlyDataSize', session.maxEarlyDataSize ?? 0))
    .vector8(externalPskFingerprint)
    .finish();
  return { version: TLS13, suite, fields };
}

function encodeOwn12(session: ClientSession12): OwnFields {
  const { version, extendedMasterSecret, sessionId, ticket } = session;
  // Stops a value from outside TypeScript from being encoded as what it is not.
  if (version !== 'TLSv1.2' || typeof extendedMasterSecret !== 'boolean') {
    throw stateError(`${WHAT}.version: ${String(version)} without extendedMasterSecret has no encoding`);
  }
  const suite = suite12ToEncode(WHAT, session.cipherSuite, session.secret.expose().length);
  if (sessionId.length > MAX_SESSION_ID_LENGTH) {
    throw stateError(`${WHAT}.sessionId: at most ${MAX_SESSION_ID_LENGTH} bytes, got ${sessionId.length}`);
  }
  if ((sessionId.length === 0) === (ticket.length === 0)) {
    throw stateError(`${WHAT}.ticket: ${NEITHER_OR_BOTH}`);
  }
  const fields = new Writer(2 + sessionId.length).u8(Number(extendedMasterSecret)).vector8(sessionId).finish();
  return { version: TLS12, suite, fields };
}

const WHAT = 'ClientSession';
const MAGIC = utf8('MFCS');
const FORMAT = 4;
/** Bytes: SHA-256. */
const FINGERPRINT_LENGTH = 32;
/** Bytes (RFC 5246 §7.4.1.2). */
const MAX_SESSION_ID_LENGTH = 32;
const NEITHER_OR_BOTH = 'a TLS 1.2 session has either a session ID or a ticket';
/** All fields but what differs by version and the content of those of variable length. */
const FIXED_LENGTH = 4 + 1 + 2 + 2 + 1 + 2 + 8 + 4 + 8 + 1 + 1 + 3;
/** Stop a file made by someone else from filling the memory. */
const CERTIFICATES: CertificateBounds = { lengthBytes: 3, maxCount: 64, maxLength: 1_048_576 };
