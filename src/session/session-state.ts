/**
 * What a server remembers of a connection so that it can be resumed: the content of a ticket or of a cached session, and
 * its codec.
 *
 *     struct {
 *         uint8  format = 3;
 *         uint16 version;                     0x0304 or 0x0303
 *         uint16 cipherSuite;                 of that version
 *         opaque secret<32..48>;              one-byte length: as long as the suite's hash; in TLS 1.2, 48
 *         uint64 issuedAt;
 *         uint64 authenticatedAt;
 *         uint32 ticketLifetime;
 *         select (version) {
 *             case 0x0304: uint32 ticketAgeAdd;
 *                          uint32 maxEarlyDataSize;       0 for none
 *                          opaque externalPskIdentity<0..1024>;   empty for a session that a certificate began
 *             case 0x0303: uint8 extendedMasterSecret;    0 or 1
 *         };
 *         opaque serverName<0..255>;
 *         opaque alpnProtocol<0..255>;
 *         opaque policyHash[32];
 *         opaque peerCertificates<0..12288>;  of opaque certificate<1..2^16-1>
 *         opaque padding<0..255>;             zeros
 *     } EncodedSessionState;
 *
 * The format is Mayfly's own (RFC 9846 §4.7.1 and RFC 5077 §4 leave it to the server).
 */

import { EMPTY } from '../bytes/bytes.ts';
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

export type SessionState = SessionState13 | SessionState12;

export interface SessionState13 extends CommonState {
  readonly version: 'TLSv1.3';
  readonly cipherSuite: CipherSuiteName;
  /** The PSK of this one ticket (RFC 9846 §4.7.1); as long as the suite's hash. */
  readonly secret: Secret;
  /** Added to the ticket's age by the client, modulo 2^32. */
  readonly ticketAgeAdd: number;
  /**
   * Bytes of early data that the client was told it may send with this ticket. 0, or absent, for none; decoding always gives
   * a number.
   */
  readonly maxEarlyDataSize?: number;
  /**
   * The session began with this external PSK (its identity on the wire), not with a certificate, and ends with it. At most
   * 1024 bytes. Empty, or absent, for none; decoding always gives bytes.
   */
  readonly externalPskIdentity?: Uint8Array;
}

export interface SessionState12 extends CommonState {
  readonly version: 'TLSv1.2';
  readonly cipherSuite: CipherSuite12Name;
  /** The master secret of the full handshake, 48 bytes: it opens every connection of the session (RFC 5246 §8.1). */
  readonly secret: Secret;
  /** The master secret is bound to its handshake's transcript (RFC 7627 §4). */
  readonly extendedMasterSecret: boolean;
}

interface CommonState {
  /** When the ticket was made, or the session cached; milliseconds since the epoch. */
  readonly issuedAt: number;
  /** When the full handshake at the head of the chain of resumptions ended; milliseconds since the epoch. */
  readonly authenticatedAt: number;
  /** Seconds. */
  readonly ticketLifetime: number;
  /** Empty when the client sent no server_name. */
  readonly serverName: string;
  /** Empty when no application protocol was agreed. */
  readonly alpnProtocol: string;
  /** 32 bytes: what the session must not outlive a change of (see `policyHash`). */
  readonly policyHash: Uint8Array;
  /**
   * The client's certificate chain as it was verified, DER, leaf first: a resumption has none of its own. Empty, or absent,
   * for a client without; decoding always gives a list. At most 8 certificates and 12 KiB, with 2 bytes for each.
   */
  readonly peerCertificates?: readonly Uint8Array[];
}

/**
 * Encodes a session's state, padded with zeros to a multiple of `multiple` bytes (1..256; default no padding). The result
 * holds the PSK or master secret: erase it after use.
 * @throws TLSError `TLS_ERR_SESSION_STATE` a field has no encoding; `TLS_ERR_SECRET_ERASED`
 */
export function encodeSessionState(state: SessionState, multiple = 1): Secret {
  const secret = state.secret.expose();
  const is13 = state.version === 'TLSv1.3';
  const suite = is13
    ? suiteToEncode(WHAT, state.cipherSuite, secret.length).code
    : suite12ToEncode(WHAT, versionToEncode(state).cipherSuite, secret.length);
  const serverName = nameToEncode(WHAT, 'serverName', state.serverName);
  const alpnProtocol = nameToEncode(WHAT, 'alpnProtocol', state.alpnProtocol);
  const issuedAt = timeToEncode(WHAT, 'issuedAt', state.issuedAt);
  const authenticatedAt = timeToEncode(WHAT, 'authenticatedAt', state.authenticatedAt);
  const ticketLifetime = uint32ToEncode(WHAT, 'ticketLifetime', state.ticketLifetime, MAX_TICKET_LIFETIME);
  if (state.policyHash.length !== POLICY_HASH_LENGTH) {
    throw stateError(`${WHAT}.policyHash: expected ${POLICY_HASH_LENGTH} bytes, got ${state.policyHash.length}`);
  }
  const certificates = state.peerCertificates ?? NO_CERTIFICATES;
  const listLength = certificates.length === 0 ? 0 : certificatesLength(WHAT, certificates, CERTIFICATES);
  const own = is13 ? uint32ToEncode(WHAT, 'ticketAgeAdd', state.ticketAgeAdd) : Number(state.extendedMasterSecret);
  const early = is13 ? uint32ToEncode(WHAT, 'maxEarlyDataSize', state.maxEarlyDataSize ?? 0) : 0;
  const pskIdentity = is13 ? (state.externalPskIdentity ?? EMPTY) : EMPTY;
  if (pskIdentity.length > MAX_PSK_IDENTITY_LENGTH) {
    throw stateError(
      `${WHAT}.externalPskIdentity: at most ${MAX_PSK_IDENTITY_LENGTH} bytes, got ${pskIdentity.length}`,
    );
  }
  const fixed = is13 ? FIXED_LENGTH + 10 + pskIdentity.length : FIXED_LENGTH + 1;
  const bare = fixed + secret.length + serverName.length + alpnProtocol.length + listLength;
  const length = Math.ceil(bare / multiple) * multiple;
  // From here on nothing throws, and the writer never grows: no copy of the secret stays behind.
  const bytes = new Uint8Array(new ArrayBuffer(length));
  const writer = new Writer(length, () => bytes);
  writer
    .u8(FORMAT)
    .u16(is13 ? TLS13 : TLS12)
    .u16(suite)
    .vector8(secret)
    .u64(issuedAt)
    .u64(authenticatedAt)
    .u32(ticketLifetime);
  if (is13) {
    writer.u32(own).u32(early).vector16(pskIdentity);
  } else {
    writer.u8(own);
  }
  writer.vector8(serverName).vector8(alpnProtocol).bytes(state.policyHash).u16(listLength);
  for (const certificate of certificates) {
    writer.vector16(certificate);
  }
  writer.u8(length - bare).zeros(length - bare);
  return Secret.adopt('sessionState', bytes, length, state.secret.id);
}

/**
 * Decodes what `encodeSessionState` made; everything returned is a copy. The caller erases `bytes`, and the state's
 * secret. `from`, for the ledger: the ID of what kept them secret.
 * @throws TLSError `TLS_ERR_SESSION_STATE`, and nothing else, on any bytes
 */
export function decodeSessionState(bytes: Uint8Array, from?: number): SessionState {
  return decodeWith(WHAT, () => {
    const reader = new Reader(bytes, WHAT);
    const format = reader.u8('format');
    if (format !== FORMAT) {
      throw reader.malformed('format', `expected ${FORMAT}, got ${format}`);
    }
    const version = reader.u16('version');
    if (version === TLS13) {
      return decode13(reader, from);
    }
    if (version === TLS12) {
      return decode12(reader, from);
    }
    throw reader.malformed('version', `expected ${TLS13} or ${TLS12}, got ${version}`);
  });
}

function decode13(reader: Reader, from: number | undefined): SessionState13 {
  const suite = readSuite(reader);
  const psk = reader.vector8('secret', suite.hashLength, suite.hashLength);
  const { issuedAt, authenticatedAt, ticketLifetime } = readTimes(reader);
  const ticketAgeAdd = reader.u32('ticketAgeAdd');
  const maxEarlyDataSize = reader.u32('maxEarlyDataSize');
  const externalPskIdentity = new Uint8Array(reader.vector16('externalPskIdentity', 0, MAX_PSK_IDENTITY_LENGTH));
  const { serverName, alpnProtocol, policyHash, peerCertificates } = readBinding(reader);
  return {
    version: 'TLSv1.3',
    cipherSuite: suite.name,
    secret: Secret.copy('resumptionPsk', psk, from),
    issuedAt,
    authenticatedAt,
    ticketLifetime,
    ticketAgeAdd,
    maxEarlyDataSize,
    externalPskIdentity,
    serverName,
    alpnProtocol,
    policyHash,
    peerCertificates,
  };
}

function decode12(reader: Reader, from: number | undefined): SessionState12 {
  const cipherSuite = readSuite12(reader);
  const masterSecret = reader.vector8('secret', MASTER_SECRET_LENGTH, MASTER_SECRET_LENGTH);
  const { issuedAt, authenticatedAt, ticketLifetime } = readTimes(reader);
  const extendedMasterSecret = readFlag(reader, 'extendedMasterSecret');
  const { serverName, alpnProtocol, policyHash, peerCertificates } = readBinding(reader);
  return {
    version: 'TLSv1.2',
    cipherSuite,
    secret: Secret.copy('masterSecret', masterSecret, from),
    extendedMasterSecret,
    issuedAt,
    authenticatedAt,
    ticketLifetime,
    serverName,
    alpnProtocol,
    policyHash,
    peerCertificates,
  };
}

function readTimes(reader: Reader): Pick<CommonState, 'issuedAt' | 'authenticatedAt' | 'ticketLifetime'> {
  const issuedAt = reader.u64('issuedAt');
  const authenticatedAt = reader.u64('authenticatedAt');
  return { issuedAt, authenticatedAt, ticketLifetime: readLifetime(reader) };
}

/** All that follows, to the end. */
function readBinding(
  reader: Reader,
): Pick<CommonState, 'serverName' | 'alpnProtocol' | 'policyHash' | 'peerCertificates'> {
  const serverName = readName(reader, 'serverName');
  const alpnProtocol = readName(reader, 'alpnProtocol');
  const policyHash = new Uint8Array(reader.bytes(POLICY_HASH_LENGTH, 'policyHash'));
  const list = reader.nested16('peerCertificates', 0, CERTIFICATES.maxLength);
  const peerCertificates = list.remaining === 0 ? NO_CERTIFICATES : readCertificates(list, CERTIFICATES);
  if (reader.vector8('padding').some((byte) => byte !== 0)) {
    throw reader.malformed('padding', 'is not all zeros');
  }
  reader.end();
  return { serverName, alpnProtocol, policyHash, peerCertificates };
}

/** Stops a value from outside TypeScript from being encoded as what it is not. */
function versionToEncode(state: SessionState12): SessionState12 {
  if (state.version !== 'TLSv1.2' || typeof state.extendedMasterSecret !== 'boolean') {
    throw stateError(`${WHAT}.version: ${String(state.version)} without extendedMasterSecret has no encoding`);
  }
  return state;
}

/** Bytes: SHA-256. */
export const POLICY_HASH_LENGTH = 32;

const WHAT = 'SessionState';
const FORMAT = 3;
/** Bytes: a session that began with a longer one gets no ticket, which has to fit a ClientHello. */
const MAX_PSK_IDENTITY_LENGTH = 1024;
const NO_CERTIFICATES: readonly Uint8Array[] = [];
/**
 * A ticket travels in one ClientHello, of which some servers and clients take no more than 16 KiB; and each cached session
 * of a client that sends long chains takes this much of the server's memory. Four RSA-4096 certificates fit.
 */
const CERTIFICATES: CertificateBounds = { lengthBytes: 2, maxCount: 8, maxLength: 12_288 };
/** All fields but what differs by version, the secret, the two names, and the content of certificates and padding. */
const FIXED_LENGTH = 1 + 2 + 2 + 1 + 8 + 8 + 4 + 1 + 1 + POLICY_HASH_LENGTH + 2 + 1;
/** The longest state there is, without padding: bounds the tickets that are worth opening. */
export const MAX_STATE_LENGTH =
  FIXED_LENGTH + 10 + MAX_PSK_IDENTITY_LENGTH + MASTER_SECRET_LENGTH + 2 * 255 + CERTIFICATES.maxLength;
