/**
 * ClientHello: what a client offers, for TLS 1.3 and TLS 1.2 at once.
 *
 *     struct {
 *         ProtocolVersion legacy_version = 0x0303;
 *         Random random;
 *         opaque legacy_session_id<0..32>;
 *         CipherSuite cipher_suites<2..2^16-2>;
 *         opaque legacy_compression_methods<1..2^8-1>;
 *         Extension extensions<8..2^16-1>;
 *     } ClientHello;
 *
 * RFC 9846 §4.2.2, RFC 5246 §7.4.1.2 (where the extension block may be absent).
 */

import { Reader } from '../bytes/reader.ts';
import { TLSError } from '../errors.ts';
import { readClientHelloExtensions, writeClientHelloExtensions } from './client-hello-extensions.ts';
import type { KeyShareEntry } from './fields.ts';
import { copyOf, u8List8, u16List16, writeU8List8, writeU16List16 } from './fields.ts';
import { finishMessage, startMessage } from './handshake-message.ts';

export type { KeyShareEntry };

export interface PskIdentity {
  readonly identity: Uint8Array;
  /** Milliseconds plus ticket_age_add, modulo 2^32. */
  readonly obfuscatedTicketAge: number;
}

export interface PreSharedKeyOffer {
  readonly identities: readonly PskIdentity[];
  /** One per identity, 32 to 255 bytes. */
  readonly binders: readonly Uint8Array[];
}

export interface ClientHello {
  readonly legacyVersion: number;
  /** 32 bytes. */
  readonly random: Uint8Array;
  /** At most 32 bytes. */
  readonly legacySessionId: Uint8Array;
  readonly cipherSuites: readonly number[];
  /** Always holds 0 (null); whether it may hold more depends on the version that is chosen. */
  readonly compressionMethods: readonly number[];
  readonly extensions: ClientHelloExtensions;
}

export interface ClientHelloExtensions {
  readonly serverName?: string;
  readonly supportedGroups?: readonly number[];
  readonly signatureAlgorithms?: readonly number[];
  readonly signatureAlgorithmsCert?: readonly number[];
  /** Byte for byte as latin1. */
  readonly alpnProtocols?: readonly string[];
  readonly supportedVersions?: readonly number[];
  /** Each group at most once. */
  readonly keyShares?: readonly KeyShareEntry[];
  readonly pskKeyExchangeModes?: readonly number[];
  readonly preSharedKey?: PreSharedKeyOffer;
  readonly cookie?: Uint8Array;
  /** Bytes, at least 64. */
  readonly recordSizeLimit?: number;
  /** Bytes: 512, 1024, 2048 or 4096. Mayfly's client does not ask for it. */
  readonly maxFragmentLength?: number;
  readonly ticketRequest?: { readonly newSession: number; readonly resumption: number };
  readonly earlyData?: true;
  readonly postHandshakeAuth?: true;
  readonly extendedMasterSecret?: true;
  readonly sessionTicket?: Uint8Array;
  readonly renegotiationInfo?: Uint8Array;
  readonly ecPointFormats?: readonly number[];
  /** extension_data as it stands. */
  readonly statusRequest?: Uint8Array;
  /** DER names. */
  readonly certificateAuthorities?: readonly Uint8Array[];
  readonly compressCertificate?: readonly number[];
  /** As the QUIC stack encoded them. */
  readonly quicTransportParameters?: Uint8Array;
  /** The client wants them, by the way of TLS (RFC 6962 §3.3.1). */
  readonly signedCertificateTimestamp?: true;
  /** All others, GREASE and padding too; written after the known ones and before pre_shared_key. */
  readonly unknown?: readonly UnknownExtension[];
  /** Decoded only: every extension type in order of appearance. */
  readonly types?: readonly number[];
}

export interface UnknownExtension {
  readonly type: number;
  readonly data: Uint8Array;
}

/**
 * The whole handshake message. pre_shared_key comes last: with binders of the right length filled with anything, the
 * message less its last `bindersLength` bytes is what the binders are computed over (RFC 9846 §4.3.11.2).
 * @throws TLSError `TLS_ERR_CONFIG` for a server name or protocol name that cannot be sent
 */
export function encodeClientHello(message: ClientHello): Uint8Array {
  const writer = startMessage('client_hello', EXPECTED_LENGTH);
  writer.u16(message.legacyVersion).bytes(message.random).vector8(message.legacySessionId);
  writeU16List16(writer, message.cipherSuites);
  writeU8List8(writer, message.compressionMethods);
  const mark = writer.open(2);
  writeClientHelloExtensions(writer, message.extensions);
  writer.close(mark, 2);
  return finishMessage(writer);
}

/**
 * @throws TLSError `TLS_ERR_DECODE`, `TLS_ERR_DUPLICATE_EXTENSION`, `TLS_ERR_ILLEGAL_PARAMETER` (null compression
 * missing, pre_shared_key not last, two key shares for one group, identities and binders that do not pair, …)
 */
export function decodeClientHello(body: Uint8Array): ClientHello {
  const reader = new Reader(body, 'ClientHello');
  const legacyVersion = reader.u16('legacy_version');
  const random = copyOf(reader.bytes(32, 'random'));
  const legacySessionId = copyOf(reader.vector8('legacy_session_id', 0, 32));
  const cipherSuites = u16List16(reader, 'cipher_suites');
  const compressionMethods = u8List8(reader, 'legacy_compression_methods');
  if (!compressionMethods.includes(0)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'ClientHello.legacy_compression_methods: null is missing');
  }
  const extensions = readClientHelloExtensions(reader);
  return { legacyVersion, random, legacySessionId, cipherSuites, compressionMethods, extensions };
}

/** Bytes of the encoded binders list with its own length: what is cut off an encoded ClientHello to compute binders. */
export function bindersLength(binders: readonly Uint8Array[]): number {
  let length = 2;
  for (const binder of binders) {
    length += 1 + binder.length;
  }
  return length;
}

/** A hello with a hybrid share and a ticket fits without growing. */
const EXPECTED_LENGTH = 2048;
