/**
 * The extension block of a ClientHello.
 *
 *     struct { ExtensionType extension_type; opaque extension_data<0..2^16-1>; } Extension;
 *
 * RFC 9846 §4.3 and its subsections; RFC 6066 §3 (server_name), RFC 7301 §3.1 (ALPN), RFC 8449 §4 (record_size_limit), RFC 6066 §4
 * (max_fragment_length),
 * RFC 9149 §3 (ticket_request), RFC 8879 §3 (compress_certificate), RFC 6962 §3.3.1 (signed_certificate_timestamp); for TLS 1.2: RFC 7627 §5.1 (extended_master_secret),
 * RFC 5077 §3.2 (session_ticket), RFC 5746 §3.2 (renegotiation_info), RFC 8422 §5.1.2 (ec_point_formats); for QUIC:
 * RFC 9001 §8.2 (quic_transport_parameters).
 */

import type { Reader } from '../bytes/reader.ts';
import type { Writer } from '../bytes/writer.ts';
import { TLSError } from '../errors.ts';
import type { ClientHelloExtensions, PreSharedKeyOffer, PskIdentity, UnknownExtension } from './client-hello.ts';
import { extensionTypes } from './code-points.ts';
import type { KeyShareEntry, Mutable } from './fields.ts';
import {
  copyOf,
  keyShareEntry,
  maxFragmentLength,
  nextExtension,
  opaqueList16,
  protocolNames,
  recordSizeLimit,
  u8List8,
  u16List8,
  u16List16,
  writeKeyShareEntry,
  writeMaxFragmentLength,
  writeOpaqueList16,
  writeProtocolNames,
  writeU8List8,
  writeU16List8,
  writeU16List16,
} from './fields.ts';
import { readServerName, writeServerName } from './server-name.ts';

/** Reads the block, or its absence, up to the end of the message. */
export function readClientHelloExtensions(reader: Reader): ClientHelloExtensions {
  const extensions = noExtensions();
  if (reader.remaining === 0) {
    return extensions;
  }
  const block = reader.nested16('extensions');
  reader.end();
  const types: number[] = [];
  let unknown: UnknownExtension[] | undefined;
  while (block.remaining > 0) {
    if (extensions.preSharedKey !== undefined) {
      throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'ClientHello: pre_shared_key is not the last extension');
    }
    const data = nextExtension(block, types);
    const type = types[types.length - 1];
    if (!readKnown(type, data, extensions)) {
      unknown ??= [];
      unknown.push({ type, data: copyOf(data.rest()) });
    }
    data.end();
  }
  extensions.types = types;
  extensions.unknown = unknown;
  return extensions;
}

/** Writes what is present in a fixed order, `unknown` after the known ones and pre_shared_key last. */
export function writeClientHelloExtensions(writer: Writer, extensions: ClientHelloExtensions): void {
  const e = extensions;
  if (e.serverName !== undefined) {
    const mark = open(writer, extensionTypes.server_name);
    writeServerName(writer, e.serverName);
    writer.close(mark, 2);
  }
  marker(writer, extensionTypes.extended_master_secret, e.extendedMasterSecret);
  if (e.renegotiationInfo !== undefined) {
    const mark = open(writer, extensionTypes.renegotiation_info);
    writer.vector8(e.renegotiationInfo).close(mark, 2);
  }
  codePoints16(writer, extensionTypes.supported_groups, e.supportedGroups);
  bytes8(writer, extensionTypes.ec_point_formats, e.ecPointFormats);
  raw(writer, extensionTypes.session_ticket, e.sessionTicket);
  if (e.alpnProtocols !== undefined) {
    const mark = open(writer, extensionTypes.application_layer_protocol_negotiation);
    writeProtocolNames(writer, e.alpnProtocols);
    writer.close(mark, 2);
  }
  raw(writer, extensionTypes.status_request, e.statusRequest);
  marker(writer, extensionTypes.signed_certificate_timestamp, e.signedCertificateTimestamp);
  if (e.keyShares !== undefined) {
    const mark = open(writer, extensionTypes.key_share);
    const list = writer.open(2);
    for (const entry of e.keyShares) {
      writeKeyShareEntry(writer, entry);
    }
    writer.close(list, 2).close(mark, 2);
  }
  marker(writer, extensionTypes.early_data, e.earlyData);
  codePoints8(writer, extensionTypes.supported_versions, e.supportedVersions);
  codePoints16(writer, extensionTypes.signature_algorithms, e.signatureAlgorithms);
  codePoints16(writer, extensionTypes.signature_algorithms_cert, e.signatureAlgorithmsCert);
  if (e.cookie !== undefined) {
    const mark = open(writer, extensionTypes.cookie);
    writer.vector16(e.cookie).close(mark, 2);
  }
  bytes8(writer, extensionTypes.psk_key_exchange_modes, e.pskKeyExchangeModes);
  marker(writer, extensionTypes.post_handshake_auth, e.postHandshakeAuth);
  if (e.recordSizeLimit !== undefined) {
    writer.u16(extensionTypes.record_size_limit).u16(2).u16(e.recordSizeLimit);
  }
  if (e.maxFragmentLength !== undefined) {
    writeMaxFragmentLength(writer, e.maxFragmentLength);
  }
  if (e.ticketRequest !== undefined) {
    const { newSession, resumption } = e.ticketRequest;
    writer.u16(extensionTypes.ticket_request).u16(2).u8(newSession).u8(resumption);
  }
  if (e.certificateAuthorities !== undefined) {
    const mark = open(writer, extensionTypes.certificate_authorities);
    writeOpaqueList16(writer, e.certificateAuthorities);
    writer.close(mark, 2);
  }
  codePoints8(writer, extensionTypes.compress_certificate, e.compressCertificate);
  raw(writer, extensionTypes.quic_transport_parameters, e.quicTransportParameters);
  for (const { type, data } of e.unknown ?? []) {
    writer.u16(type).vector16(data);
  }
  if (e.preSharedKey !== undefined) {
    writePreSharedKey(writer, e.preSharedKey);
  }
}

/** Reads the data of a known extension; false for an unknown one. */
function readKnown(type: number, data: Reader, into: Mutable<ClientHelloExtensions>): boolean {
  switch (type) {
    case extensionTypes.server_name:
      into.serverName = readServerName(data);
      return true;
    case extensionTypes.supported_groups:
      into.supportedGroups = u16List16(data, 'named_group_list');
      return true;
    case extensionTypes.signature_algorithms:
      into.signatureAlgorithms = u16List16(data, 'supported_signature_algorithms');
      return true;
    case extensionTypes.signature_algorithms_cert:
      into.signatureAlgorithmsCert = u16List16(data, 'supported_signature_algorithms');
      return true;
    case extensionTypes.application_layer_protocol_negotiation:
      into.alpnProtocols = protocolNames(data, MAX_PROTOCOLS);
      return true;
    case extensionTypes.supported_versions:
      into.supportedVersions = u16List8(data, 'versions');
      return true;
    case extensionTypes.key_share:
      into.keyShares = readKeyShares(data);
      return true;
    case extensionTypes.psk_key_exchange_modes:
      into.pskKeyExchangeModes = u8List8(data, 'ke_modes');
      return true;
    case extensionTypes.pre_shared_key:
      into.preSharedKey = readPreSharedKey(data);
      return true;
    case extensionTypes.cookie:
      into.cookie = copyOf(data.vector16('cookie', 1));
      return true;
    case extensionTypes.record_size_limit:
      into.recordSizeLimit = recordSizeLimit(data);
      return true;
    case extensionTypes.max_fragment_length:
      into.maxFragmentLength = maxFragmentLength(data);
      return true;
    case extensionTypes.ticket_request:
      into.ticketRequest = { newSession: data.u8('new_session_count'), resumption: data.u8('resumption_count') };
      return true;
    case extensionTypes.early_data:
      into.earlyData = true;
      return true;
    case extensionTypes.post_handshake_auth:
      into.postHandshakeAuth = true;
      return true;
    case extensionTypes.extended_master_secret:
      into.extendedMasterSecret = true;
      return true;
    case extensionTypes.session_ticket:
      into.sessionTicket = copyOf(data.rest());
      return true;
    case extensionTypes.renegotiation_info:
      into.renegotiationInfo = copyOf(data.vector8('renegotiated_connection'));
      return true;
    case extensionTypes.ec_point_formats:
      into.ecPointFormats = u8List8(data, 'ec_point_format_list');
      return true;
    case extensionTypes.status_request:
      into.statusRequest = copyOf(data.rest());
      return true;
    case extensionTypes.certificate_authorities:
      into.certificateAuthorities = opaqueList16(data, 'authorities', MAX_AUTHORITIES);
      return true;
    case extensionTypes.compress_certificate:
      into.compressCertificate = u16List8(data, 'algorithms');
      return true;
    case extensionTypes.quic_transport_parameters:
      into.quicTransportParameters = copyOf(data.rest());
      return true;
    case extensionTypes.signed_certificate_timestamp:
      into.signedCertificateTimestamp = true;
      return true;
    default:
      return false;
  }
}

/** `KeyShareEntry client_shares<0..2^16-1>`, empty to ask for a HelloRetryRequest. RFC 9846 §4.3.8. */
function readKeyShares(data: Reader): KeyShareEntry[] {
  const list = data.nested16('client_shares');
  const shares: KeyShareEntry[] = [];
  while (list.remaining > 0) {
    if (shares.length === MAX_KEY_SHARES) {
      throw data.malformed('client_shares', `more than ${MAX_KEY_SHARES} entries`);
    }
    const share = keyShareEntry(list);
    for (const earlier of shares) {
      if (earlier.group === share.group) {
        throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `${data.what}: two shares for group ${share.group}`);
      }
    }
    shares.push(share);
  }
  return shares;
}

/**
 *     struct { opaque identity<1..2^16-1>; uint32 obfuscated_ticket_age; } PskIdentity;
 *     opaque PskBinderEntry<32..255>;
 *     struct { PskIdentity identities<7..2^16-1>; PskBinderEntry binders<33..2^16-1>; } OfferedPsks;
 *
 * RFC 9846 §4.3.11.
 */
function readPreSharedKey(data: Reader): PreSharedKeyOffer {
  const identityList = data.nested16('identities', 7);
  const identities: PskIdentity[] = [];
  while (identityList.remaining > 0) {
    if (identities.length === MAX_IDENTITIES) {
      throw data.malformed('identities', `more than ${MAX_IDENTITIES} entries`);
    }
    const identity = copyOf(identityList.vector16('identity', 1));
    identities.push({ identity, obfuscatedTicketAge: identityList.u32('obfuscated_ticket_age') });
  }
  const binderList = data.nested16('binders', 33);
  const binders: Uint8Array[] = [];
  while (binderList.remaining > 0 && binders.length <= identities.length) {
    binders.push(copyOf(binderList.vector8('PskBinderEntry', 32)));
  }
  if (binders.length !== identities.length) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `${data.what}: identities and binders do not pair`);
  }
  return { identities, binders };
}

function writePreSharedKey(writer: Writer, offer: PreSharedKeyOffer): void {
  const mark = open(writer, extensionTypes.pre_shared_key);
  const identities = writer.open(2);
  for (const { identity, obfuscatedTicketAge } of offer.identities) {
    writer.vector16(identity).u32(obfuscatedTicketAge);
  }
  writer.close(identities, 2);
  const binders = writer.open(2);
  for (const binder of offer.binders) {
    writer.vector8(binder);
  }
  writer.close(binders, 2).close(mark, 2);
}

function open(writer: Writer, type: number): number {
  return writer.u16(type).open(2);
}

function marker(writer: Writer, type: number, present: true | undefined): void {
  if (present) {
    writer.u16(type).u16(0);
  }
}

function raw(writer: Writer, type: number, data: Uint8Array | undefined): void {
  if (data !== undefined) {
    writer.u16(type).vector16(data);
  }
}

function codePoints16(writer: Writer, type: number, list: readonly number[] | undefined): void {
  if (list !== undefined) {
    writer.u16(type).u16(2 * list.length + 2);
    writeU16List16(writer, list);
  }
}

function codePoints8(writer: Writer, type: number, list: readonly number[] | undefined): void {
  if (list !== undefined) {
    writer.u16(type).u16(2 * list.length + 1);
    writeU16List8(writer, list);
  }
}

function bytes8(writer: Writer, type: number, list: readonly number[] | undefined): void {
  if (list !== undefined) {
    writer.u16(type).u16(list.length + 1);
    writeU8List8(writer, list);
  }
}

/** One shape for every hello, so that the code that reads and writes it stays monomorphic. */
export function noExtensions(): Mutable<ClientHelloExtensions> {
  return {
    serverName: undefined,
    supportedGroups: undefined,
    signatureAlgorithms: undefined,
    signatureAlgorithmsCert: undefined,
    alpnProtocols: undefined,
    supportedVersions: undefined,
    keyShares: undefined,
    pskKeyExchangeModes: undefined,
    preSharedKey: undefined,
    cookie: undefined,
    recordSizeLimit: undefined,
    maxFragmentLength: undefined,
    ticketRequest: undefined,
    earlyData: undefined,
    postHandshakeAuth: undefined,
    extendedMasterSecret: undefined,
    sessionTicket: undefined,
    renegotiationInfo: undefined,
    ecPointFormats: undefined,
    statusRequest: undefined,
    certificateAuthorities: undefined,
    compressCertificate: undefined,
    quicTransportParameters: undefined,
    signedCertificateTimestamp: undefined,
    unknown: undefined,
    types: [],
  };
}

/** Each is copied and looked up; a client offers two or three. */
const MAX_KEY_SHARES = 16;
/** Each may cost the server an AEAD opening and an HMAC; browsers offer one, tools two. */
const MAX_IDENTITIES = 32;
/** Matched list against list. */
const MAX_PROTOCOLS = 128;
/** Each name is an allocation. */
const MAX_AUTHORITIES = 1024;
