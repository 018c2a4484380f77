/**
 * What a server remembers of a connection so that it can be resumed: the content of a ticket, and its codec.
 *
 *     struct {
 *         uint8  format = 1;
 *         uint16 cipherSuite;
 *         opaque secret<32..48>;          one-byte length, as long as the suite's hash
 *         uint64 issuedAt;
 *         uint64 authenticatedAt;
 *         uint32 ticketLifetime;
 *         uint32 ticketAgeAdd;
 *         opaque serverName<0..255>;
 *         opaque alpnProtocol<0..255>;
 *         opaque policyHash[32];
 *         opaque padding<0..255>;         zeros
 *     } EncodedSessionState;
 *
 * The format is Mayfly's own (RFC 9846 §4.7.1 leaves it to the server).
 */

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

export interface SessionState {
  readonly version: 'TLSv1.3';
  readonly cipherSuite: CipherSuiteName;
  /** The PSK of this one ticket (RFC 9846 §4.7.1); as long as the suite's hash. */
  readonly secret: Secret;
  /** When the ticket was made; milliseconds since the epoch. */
  readonly issuedAt: number;
  /** When the full handshake at the head of the chain of resumptions ended; milliseconds since the epoch. */
  readonly authenticatedAt: number;
  /** Seconds. */
  readonly ticketLifetime: number;
  /** Added to the ticket's age by the client, modulo 2^32. */
  readonly ticketAgeAdd: number;
  /** Empty when the client sent no server_name. */
  readonly serverName: string;
  /** Empty when no application protocol was agreed. */
  readonly alpnProtocol: string;
  /** 32 bytes: what the session must not outlive a change of (see `policyHash`). */
  readonly policyHash: Uint8Array;
}

/**
 * Encodes a session's state, padded with zeros to a multiple of `multiple` bytes (1..256; default no padding). The result
 * holds the PSK: erase it after use.
 * @throws TLSError `TLS_ERR_SESSION_STATE` a field has no encoding; `TLS_ERR_SECRET_ERASED`
 */
export function encodeSessionState(state: SessionState, multiple = 1): Secret {
  const psk = state.secret.expose();
  const suite = suiteToEncode(WHAT, state.cipherSuite, psk.length);
  const serverName = nameToEncode(WHAT, 'serverName', state.serverName);
  const alpnProtocol = nameToEncode(WHAT, 'alpnProtocol', state.alpnProtocol);
  const issuedAt = timeToEncode(WHAT, 'issuedAt', state.issuedAt);
  const authenticatedAt = timeToEncode(WHAT, 'authenticatedAt', state.authenticatedAt);
  const ticketLifetime = uint32ToEncode(WHAT, 'ticketLifetime', state.ticketLifetime, MAX_TICKET_LIFETIME);
  const ticketAgeAdd = uint32ToEncode(WHAT, 'ticketAgeAdd', state.ticketAgeAdd);
  if (state.policyHash.length !== POLICY_HASH_LENGTH) {
    throw stateError(`${WHAT}.policyHash: expected ${POLICY_HASH_LENGTH} bytes, got ${state.policyHash.length}`);
  }
  const bare = FIXED_LENGTH + psk.length + serverName.length + alpnProtocol.length;
  const length = Math.ceil(bare / multiple) * multiple;
  // The writer never grows, so that no copy of the PSK stays behind; `take` erases its buffer.
  const writer = new Writer(length);
  writer
    .u8(FORMAT)
    .u16(suite.code)
    .vector8(psk)
    .u64(issuedAt)
    .u64(authenticatedAt)
    .u32(ticketLifetime)
    .u32(ticketAgeAdd)
    .vector8(serverName)
    .vector8(alpnProtocol)
    .bytes(state.policyHash)
    .u8(length - bare)
    .zeros(length - bare);
  return Secret.take('sessionState', writer.finish());
}

/**
 * Decodes what `encodeSessionState` made; everything returned is a copy. The caller erases `bytes`, and the state's
 * secret.
 * @throws TLSError `TLS_ERR_SESSION_STATE`, and nothing else, on any bytes
 */
export function decodeSessionState(bytes: Uint8Array): SessionState {
  return decodeWith(WHAT, () => {
    const reader = new Reader(bytes, WHAT);
    const format = reader.u8('format');
    if (format !== FORMAT) {
      throw reader.malformed('format', `expected ${FORMAT}, got ${format}`);
    }
    const suite = readSuite(reader);
    const psk = reader.vector8('secret', suite.hashLength, suite.hashLength);
    const issuedAt = reader.u64('issuedAt');
    const authenticatedAt = reader.u64('authenticatedAt');
    const ticketLifetime = readLifetime(reader);
    const ticketAgeAdd = reader.u32('ticketAgeAdd');
    const serverName = readName(reader, 'serverName');
    const alpnProtocol = readName(reader, 'alpnProtocol');
    const policyHash = new Uint8Array(reader.bytes(POLICY_HASH_LENGTH, 'policyHash'));
    if (reader.vector8('padding').some((byte) => byte !== 0)) {
      throw reader.malformed('padding', 'is not all zeros');
    }
    reader.end();
    return {
      version: 'TLSv1.3',
      cipherSuite: suite.name,
      secret: Secret.copy('resumptionPsk', psk),
      issuedAt,
      authenticatedAt,
      ticketLifetime,
      ticketAgeAdd,
      serverName,
      alpnProtocol,
      policyHash,
    };
  });
}

/** Bytes: SHA-256. */
export const POLICY_HASH_LENGTH = 32;

const WHAT = 'SessionState';
const FORMAT = 1;
/** All fields but the secret, the two names and the padding's content. */
const FIXED_LENGTH = 1 + 2 + 1 + 8 + 8 + 4 + 4 + 1 + 1 + POLICY_HASH_LENGTH + 1;
