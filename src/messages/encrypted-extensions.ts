/**
 * EncryptedExtensions: the server's answers that need no key exchange.
 *
 *     struct { Extension extensions<0..2^16-1>; } EncryptedExtensions;
 *
 * RFC 9846 §4.4.1; RFC 9149 §3 (the server's ticket_request is one byte, expected_count); RFC 9001 §8.2.
 */

import { Reader } from '../bytes/reader.ts';
import { extensionTypes } from './code-points.ts';
import type { Encodable, Mutable } from './fields.ts';
import {
  copyOf,
  maxFragmentLength,
  nextExtension,
  protocolNames,
  recordSizeLimit,
  u16List16,
  writeMaxFragmentLength,
  writeProtocolNames,
  writeU16List16,
} from './fields.ts';
import { finishMessage, startMessage } from './handshake-message.ts';

export interface EncryptedExtensions {
  readonly extensions: EncryptedExtensionsBlock;
}

export interface EncryptedExtensionsBlock {
  readonly alpnProtocol?: string;
  readonly supportedGroups?: readonly number[];
  /** Bytes, at least 64; above 2^14 + 1 a client may refuse it (RFC 8449 §4). */
  readonly recordSizeLimit?: number;
  /** Bytes: 512, 1024, 2048 or 4096 (RFC 6066 §4). */
  readonly maxFragmentLength?: number;
  readonly serverName?: true;
  readonly earlyData?: true;
  /** How many tickets the server expects to send. */
  readonly ticketRequest?: number;
  /** As the QUIC stack encoded them. */
  readonly quicTransportParameters?: Uint8Array;
  /** An ECHConfigList (RFC 9849 §5). */
  readonly echRetryConfigs?: Uint8Array;
  /** Every extension type in order of appearance, unknown ones too: whether each was offered is the client's to check. */
  readonly types: readonly number[];
}

/** The whole handshake message. */
export function encodeEncryptedExtensions(message: {
  readonly extensions: Encodable<EncryptedExtensionsBlock>;
}): Uint8Array {
  const e = message.extensions;
  const writer = startMessage('encrypted_extensions', EXPECTED_LENGTH);
  const block = writer.open(2);
  if (e.supportedGroups !== undefined) {
    const mark = writer.u16(extensionTypes.supported_groups).open(2);
    writeU16List16(writer, e.supportedGroups);
    writer.close(mark, 2);
  }
  if (e.recordSizeLimit !== undefined) {
    writer.u16(extensionTypes.record_size_limit).u16(2).u16(e.recordSizeLimit);
  }
  if (e.maxFragmentLength !== undefined) {
    writeMaxFragmentLength(writer, e.maxFragmentLength);
  }
  if (e.serverName) {
    writer.u16(extensionTypes.server_name).u16(0);
  }
  if (e.alpnProtocol !== undefined) {
    const mark = writer.u16(extensionTypes.application_layer_protocol_negotiation).open(2);
    writeProtocolNames(writer, [e.alpnProtocol]);
    writer.close(mark, 2);
  }
  if (e.earlyData) {
    writer.u16(extensionTypes.early_data).u16(0);
  }
  if (e.ticketRequest !== undefined) {
    writer.u16(extensionTypes.ticket_request).u16(1).u8(e.ticketRequest);
  }
  if (e.quicTransportParameters !== undefined) {
    writer.u16(extensionTypes.quic_transport_parameters).vector16(e.quicTransportParameters);
  }
  if (e.echRetryConfigs !== undefined) {
    writer.u16(extensionTypes.encrypted_client_hello).vector16(e.echRetryConfigs);
  }
  writer.close(block, 2);
  return finishMessage(writer);
}

/** @throws TLSError `TLS_ERR_DECODE`, `TLS_ERR_DUPLICATE_EXTENSION`, `TLS_ERR_ILLEGAL_PARAMETER` */
export function decodeEncryptedExtensions(body: Uint8Array): EncryptedExtensions {
  const reader = new Reader(body, 'EncryptedExtensions');
  const block = reader.nested16('extensions');
  reader.end();
  const types: number[] = [];
  const extensions: Mutable<EncryptedExtensionsBlock> = {
    alpnProtocol: undefined,
    supportedGroups: undefined,
    recordSizeLimit: undefined,
    maxFragmentLength: undefined,
    serverName: undefined,
    earlyData: undefined,
    ticketRequest: undefined,
    quicTransportParameters: undefined,
    echRetryConfigs: undefined,
    types,
  };
  while (block.remaining > 0) {
    const data = nextExtension(block, types);
    readKnown(types[types.length - 1], data, extensions);
    data.end();
  }
  return { extensions };
}

function readKnown(type: number, data: Reader, into: Mutable<EncryptedExtensionsBlock>): void {
  switch (type) {
    case extensionTypes.application_layer_protocol_negotiation:
      into.alpnProtocol = protocolNames(data, 1)[0];
      return;
    case extensionTypes.supported_groups:
      into.supportedGroups = u16List16(data, 'named_group_list');
      return;
    case extensionTypes.record_size_limit:
      into.recordSizeLimit = recordSizeLimit(data);
      return;
    case extensionTypes.max_fragment_length:
      into.maxFragmentLength = maxFragmentLength(data);
      return;
    case extensionTypes.server_name:
      into.serverName = true;
      return;
    case extensionTypes.early_data:
      into.earlyData = true;
      return;
    case extensionTypes.ticket_request:
      into.ticketRequest = data.u8('expected_count');
      return;
    case extensionTypes.quic_transport_parameters:
      into.quicTransportParameters = copyOf(data.rest());
      return;
    case extensionTypes.encrypted_client_hello:
      into.echRetryConfigs = copyOf(data.rest());
      return;
    default:
      data.rest();
  }
}

const EXPECTED_LENGTH = 128;
