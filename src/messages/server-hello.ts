/**
 * ServerHello and HelloRetryRequest, which differ only in the random and in the form of key_share; also the TLS 1.2
 * ServerHello, whose extension block may be absent.
 *
 *     struct {
 *         ProtocolVersion legacy_version = 0x0303;
 *         Random random;
 *         opaque legacy_session_id_echo<0..32>;
 *         CipherSuite cipher_suite;
 *         uint8 legacy_compression_method = 0;
 *         Extension extensions<6..2^16-1>;
 *     } ServerHello;
 *
 * RFC 9846 §4.2.3, §4.2.4; RFC 5246 §7.4.1.3.
 */

import { fromHex, sameBytes } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { extensionTypes } from './code-points.ts';
import type { Encodable, KeyShareEntry, Mutable } from './fields.ts';
import {
  copyOf,
  keyShareEntry,
  maxFragmentLength,
  nextExtension,
  protocolNames,
  recordSizeLimit,
  u8List8,
  writeKeyShareEntry,
  writeMaxFragmentLength,
  writeProtocolNames,
  writeU8List8,
} from './fields.ts';
import { finishMessage, startMessage } from './handshake-message.ts';

export interface ServerHello {
  readonly legacyVersion: number;
  /** 32 bytes. */
  readonly random: Uint8Array;
  /** At most 32 bytes. */
  readonly legacySessionIdEcho: Uint8Array;
  readonly cipherSuite: number;
  readonly compressionMethod: number;
  readonly extensions: ServerHelloExtensions;
}

export interface ServerHelloExtensions {
  readonly supportedVersion?: number;
  /** In a ServerHello. */
  readonly keyShare?: KeyShareEntry;
  /** In a HelloRetryRequest. */
  readonly selectedGroup?: number;
  readonly selectedIdentity?: number;
  readonly cookie?: Uint8Array;
  /** In a HelloRetryRequest: extension_data as it stands (RFC 9849 §7.2.1). */
  readonly echConfirmation?: Uint8Array;
  readonly extendedMasterSecret?: true;
  readonly sessionTicket?: true;
  readonly renegotiationInfo?: Uint8Array;
  readonly ecPointFormats?: readonly number[];
  readonly alpnProtocol?: string;
  readonly serverName?: true;
  readonly statusRequest?: true;
  /** TLS 1.2; extension_data as it stands (RFC 6962 §3.3.1). */
  readonly signedCertificateTimestamps?: Uint8Array;
  /** Bytes, at least 64. */
  readonly recordSizeLimit?: number;
  /** Bytes: 512, 1024, 2048 or 4096 (RFC 6066 §4). */
  readonly maxFragmentLength?: number;
  /** Every extension type in order of appearance, unknown ones too: whether each was offered is the client's to check. */
  readonly types: readonly number[];
}

export type EncodableServerHello = Omit<ServerHello, 'extensions'> & {
  readonly extensions: Encodable<ServerHelloExtensions>;
};

/** The random that makes a ServerHello a HelloRetryRequest: SHA-256 of "HelloRetryRequest" (RFC 9846 §4.2.3). */
export const HELLO_RETRY_REQUEST_RANDOM: Uint8Array = fromHex(
  'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c',
);

/** The last 8 bytes of the random of a TLS 1.3 server that negotiates TLS 1.2 (RFC 9846 §4.2.3). */
export const DOWNGRADE_TLS12: Uint8Array = fromHex('444f574e47524401');
/** The same for TLS 1.1 and below. */
export const DOWNGRADE_TLS11: Uint8Array = fromHex('444f574e47524400');

export function isHelloRetryRequest(message: Pick<ServerHello, 'random'>): boolean {
  return sameBytes(message.random, HELLO_RETRY_REQUEST_RANDOM);
}

/** The whole handshake message. */
export function encodeServerHello(message: EncodableServerHello): Uint8Array {
  const e = message.extensions;
  const variable =
    (e.keyShare?.keyExchange.length ?? 0) + (e.cookie?.length ?? 0) + (e.signedCertificateTimestamps?.length ?? 0);
  const writer = startMessage('server_hello', EXPECTED_LENGTH + variable);
  writer.u16(message.legacyVersion).bytes(message.random).vector8(message.legacySessionIdEcho);
  writer.u16(message.cipherSuite).u8(message.compressionMethod);
  if (isBare(e)) {
    // A TLS 1.2 client that sent no extensions may not know that there can be a block (RFC 5246 §7.4.1.3).
    return finishMessage(writer);
  }
  const block = writer.open(2);
  if (e.selectedIdentity !== undefined) {
    writer.u16(extensionTypes.pre_shared_key).u16(2).u16(e.selectedIdentity);
  }
  if (e.keyShare !== undefined) {
    const mark = writer.u16(extensionTypes.key_share).open(2);
    writeKeyShareEntry(writer, e.keyShare);
    writer.close(mark, 2);
  }
  if (e.selectedGroup !== undefined) {
    writer.u16(extensionTypes.key_share).u16(2).u16(e.selectedGroup);
  }
  if (e.cookie !== undefined) {
    const mark = writer.u16(extensionTypes.cookie).open(2);
    writer.vector16(e.cookie).close(mark, 2);
  }
  if (e.echConfirmation !== undefined) {
    writer.u16(extensionTypes.encrypted_client_hello).vector16(e.echConfirmation);
  }
  if (e.supportedVersion !== undefined) {
    writer.u16(extensionTypes.supported_versions).u16(2).u16(e.supportedVersion);
  }
  if (e.extendedMasterSecret) {
    writer.u16(extensionTypes.extended_master_secret).u16(0);
  }
  if (e.renegotiationInfo !== undefined) {
    const mark = writer.u16(extensionTypes.renegotiation_info).open(2);
    writer.vector8(e.renegotiationInfo).close(mark, 2);
  }
  if (e.serverName) {
    writer.u16(extensionTypes.server_name).u16(0);
  }
  if (e.ecPointFormats !== undefined) {
    const mark = writer.u16(extensionTypes.ec_point_formats).open(2);
    writeU8List8(writer, e.ecPointFormats);
    writer.close(mark, 2);
  }
  if (e.sessionTicket) {
    writer.u16(extensionTypes.session_ticket).u16(0);
  }
  if (e.statusRequest) {
    writer.u16(extensionTypes.status_request).u16(0);
  }
  if (e.signedCertificateTimestamps !== undefined) {
    writer.u16(extensionTypes.signed_certificate_timestamp).vector16(e.signedCertificateTimestamps);
  }
  if (e.alpnProtocol !== undefined) {
    const mark = writer.u16(extensionTypes.application_layer_protocol_negotiation).open(2);
    writeProtocolNames(writer, [e.alpnProtocol]);
    writer.close(mark, 2);
  }
  if (e.recordSizeLimit !== undefined) {
    writer.u16(extensionTypes.record_size_limit).u16(2).u16(e.recordSizeLimit);
  }
  if (e.maxFragmentLength !== undefined) {
    writeMaxFragmentLength(writer, e.maxFragmentLength);
  }
  writer.close(block, 2);
  return finishMessage(writer);
}

/** @throws TLSError `TLS_ERR_DECODE`, `TLS_ERR_DUPLICATE_EXTENSION`, `TLS_ERR_ILLEGAL_PARAMETER` */
export function decodeServerHello(body: Uint8Array): ServerHello {
  const reader = new Reader(body, 'ServerHello');
  const legacyVersion = reader.u16('legacy_version');
  const random = copyOf(reader.bytes(32, 'random'));
  const legacySessionIdEcho = copyOf(reader.vector8('legacy_session_id_echo', 0, 32));
  const cipherSuite = reader.u16('cipher_suite');
  const compressionMethod = reader.u8('legacy_compression_method');
  const types: number[] = [];
  const extensions = noExtensions(types);
  if (reader.remaining > 0) {
    const retry = isHelloRetryRequest({ random });
    const block = reader.nested16('extensions');
    reader.end();
    while (block.remaining > 0) {
      const data = nextExtension(block, types);
      readKnown(types[types.length - 1], data, extensions, retry);
      data.end();
    }
  }
  return { legacyVersion, random, legacySessionIdEcho, cipherSuite, compressionMethod, extensions };
}

function isBare(extensions: Encodable<ServerHelloExtensions>): boolean {
  // Not by Object.entries, which makes an array of arrays.
  for (const name in extensions) {
    if (name !== 'types' && extensions[name as keyof typeof extensions] !== undefined) {
      return false;
    }
  }
  return true;
}

function readKnown(type: number, data: Reader, into: Mutable<ServerHelloExtensions>, retry: boolean): void {
  switch (type) {
    case extensionTypes.supported_versions:
      into.supportedVersion = data.u16('selected_version');
      return;
    case extensionTypes.key_share:
      if (retry) {
        into.selectedGroup = data.u16('selected_group');
      } else {
        into.keyShare = keyShareEntry(data);
      }
      return;
    case extensionTypes.pre_shared_key:
      into.selectedIdentity = data.u16('selected_identity');
      return;
    case extensionTypes.encrypted_client_hello:
      into.echConfirmation = copyOf(retry ? data.bytes(8, 'confirmation') : data.rest());
      return;
    case extensionTypes.cookie:
      into.cookie = copyOf(data.vector16('cookie', 1));
      return;
    case extensionTypes.extended_master_secret:
      into.extendedMasterSecret = true;
      return;
    case extensionTypes.session_ticket:
      into.sessionTicket = true;
      return;
    case extensionTypes.renegotiation_info:
      into.renegotiationInfo = copyOf(data.vector8('renegotiated_connection'));
      return;
    case extensionTypes.ec_point_formats:
      into.ecPointFormats = u8List8(data, 'ec_point_format_list');
      return;
    case extensionTypes.application_layer_protocol_negotiation:
      into.alpnProtocol = protocolNames(data, 1)[0];
      return;
    case extensionTypes.server_name:
      into.serverName = true;
      return;
    case extensionTypes.status_request:
      into.statusRequest = true;
      return;
    case extensionTypes.signed_certificate_timestamp:
      into.signedCertificateTimestamps = copyOf(data.rest());
      return;
    case extensionTypes.record_size_limit:
      into.recordSizeLimit = recordSizeLimit(data);
      return;
    case extensionTypes.max_fragment_length:
      into.maxFragmentLength = maxFragmentLength(data);
      return;
    default:
      data.rest();
  }
}

/** One shape for every hello: see the ClientHello's. */
function noExtensions(types: number[]): Mutable<ServerHelloExtensions> {
  return {
    supportedVersion: undefined,
    keyShare: undefined,
    selectedGroup: undefined,
    selectedIdentity: undefined,
    cookie: undefined,
    echConfirmation: undefined,
    extendedMasterSecret: undefined,
    sessionTicket: undefined,
    renegotiationInfo: undefined,
    ecPointFormats: undefined,
    alpnProtocol: undefined,
    serverName: undefined,
    statusRequest: undefined,
    signedCertificateTimestamps: undefined,
    recordSizeLimit: undefined,
    maxFragmentLength: undefined,
    types,
  };
}

const EXPECTED_LENGTH = 192;
