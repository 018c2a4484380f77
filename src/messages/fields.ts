/**
 * Field forms that several messages share: lists of code points, lists of opaque strings, names, key shares, markers.
 *
 * Presentation language: RFC 9846 §3.4. What is returned is copied out of the input.
 */

import type { Reader } from '../bytes/reader.ts';
import type { Writer } from '../bytes/writer.ts';
import { TLSError } from '../errors.ts';
import { extensionTypeName, extensionTypes } from './code-points.ts';

export interface KeyShareEntry {
  readonly group: number;
  readonly keyExchange: Uint8Array;
}

/** What an encoder takes: the message without the record of what the decoder saw. */
export type Encodable<T extends { readonly types: readonly number[] }> = Omit<T, 'types'> & Partial<Pick<T, 'types'>>;

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Opens the next extension of a block and notes its type.
 * @throws TLSError `TLS_ERR_DUPLICATE_EXTENSION`; `TLS_ERR_DECODE` for more than `MAX_EXTENSIONS`
 */
export function nextExtension(block: Reader, types: number[]): Reader {
  const type = block.u16('extension_type');
  if (types.includes(type)) {
    throw new TLSError('TLS_ERR_DUPLICATE_EXTENSION', `${block.what}: ${extensionTypeName(type)} appears twice`);
  }
  if (types.length === MAX_EXTENSIONS) {
    throw block.malformed('extension_type', `more than ${MAX_EXTENSIONS} extensions`);
  }
  types.push(type);
  return block.nested16(extensionTypeName(type));
}

/** `uint16 list<2..2^16-2>`. */
export function u16List16(reader: Reader, field: string): number[] {
  return u16List(reader, reader.u16(field), field);
}

/** `uint16 list<2..254>`. */
export function u16List8(reader: Reader, field: string): number[] {
  return u16List(reader, reader.u8(field), field);
}

/** `uint8 list<1..255>`. */
export function u8List8(reader: Reader, field: string): number[] {
  const length = reader.u8(field);
  if (length < 1 || length > reader.remaining) {
    throw reader.malformed(field, `length ${length} is outside 1..${reader.remaining}`);
  }
  const list: number[] = new Array(length);
  for (let i = 0; i < length; i++) {
    list[i] = reader.u8(field);
  }
  return list;
}

/** `opaque item<1..2^16-1>; item list<3..2^16-1>`, at most `max` items. */
export function opaqueList16(reader: Reader, field: string, max: number): Uint8Array[] {
  const list = reader.nested16(field, 3);
  const items: Uint8Array[] = [];
  while (list.remaining > 0) {
    if (items.length === max) {
      throw reader.malformed(field, `more than ${max} entries`);
    }
    items.push(copyOf(list.vector16('entry', 1)));
  }
  return items;
}

/** `opaque ProtocolName<1..2^8-1>; ProtocolName list<2..2^16-1>` as byte-exact latin1 strings. RFC 7301 §3.1. */
export function protocolNames(reader: Reader, max: number): string[] {
  const list = reader.nested16('protocol_name_list', 2);
  const names: string[] = [];
  while (list.remaining > 0) {
    if (names.length === max) {
      throw reader.malformed('protocol_name_list', `more than ${max} entries`);
    }
    names.push(latin1Text(list.vector8('protocol_name', 1)));
  }
  return names;
}

/**
 * What is kept of a received message: an allocation of its own. Not `slice()`, which on a Buffer gives a view of memory that
 * the socket's next read overwrites.
 */
export function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

export function keyShareEntry(reader: Reader): KeyShareEntry {
  const group = reader.u16('group');
  return { group, keyExchange: copyOf(reader.vector16('key_exchange', 1)) };
}

/**
 * `uint16 RecordSizeLimit`.
 * @throws TLSError `TLS_ERR_ILLEGAL_PARAMETER` below 64 bytes: an AEAD record would carry next to nothing (RFC 8449 §4)
 */
export function recordSizeLimit(reader: Reader): number {
  const limit = reader.u16('RecordSizeLimit');
  if (limit < 64) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `${reader.what}: a limit of ${limit} bytes is below 64`);
  }
  return limit;
}

/**
 * `enum { 2^9(1), 2^10(2), 2^11(3), 2^12(4) } MaxFragmentLength`, as bytes.
 * @throws TLSError `TLS_ERR_ILLEGAL_PARAMETER` any other (RFC 6066 §4)
 */
export function maxFragmentLength(reader: Reader): number {
  const code = reader.u8('MaxFragmentLength');
  if (code < 1 || code > 4) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `${reader.what}: a max_fragment_length of ${code} stands for nothing`,
    );
  }
  return 256 << code;
}

/** The whole extension. */
export function writeMaxFragmentLength(writer: Writer, length: number): void {
  writer
    .u16(extensionTypes.max_fragment_length)
    .u16(1)
    .u8(Math.log2(length) - 8);
}

export function writeU16List16(writer: Writer, list: readonly number[]): void {
  writer.u16(2 * list.length);
  for (let i = 0; i < list.length; i++) {
    writer.u16(list[i]);
  }
}

export function writeU16List8(writer: Writer, list: readonly number[]): void {
  const mark = writer.open(1);
  for (const value of list) {
    writer.u16(value);
  }
  writer.close(mark, 1);
}

export function writeU8List8(writer: Writer, list: readonly number[]): void {
  const mark = writer.open(1);
  for (const value of list) {
    writer.u8(value);
  }
  writer.close(mark, 1);
}

export function writeOpaqueList16(writer: Writer, list: readonly Uint8Array[]): void {
  const mark = writer.open(2);
  for (const item of list) {
    writer.vector16(item);
  }
  writer.close(mark, 2);
}

/** @throws TLSError `TLS_ERR_CONFIG` for a name that is empty, longer than 255 bytes or not latin1 */
export function writeProtocolNames(writer: Writer, names: readonly string[]): void {
  const mark = writer.open(2);
  for (const name of names) {
    if (name.length === 0 || name.length > 255) {
      throw new TLSError('TLS_ERR_CONFIG', `an ALPN protocol name has 1 to 255 bytes, not ${name.length}`);
    }
    writer.u8(name.length);
    writeLatin1(writer, name);
  }
  writer.close(mark, 2);
}

export function writeKeyShareEntry(writer: Writer, entry: KeyShareEntry): void {
  writer.u16(entry.group).vector16(entry.keyExchange);
}

/** @throws TLSError `TLS_ERR_CONFIG` for a character above U+00FF */
export function writeLatin1(writer: Writer, text: string): void {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) {
      throw new TLSError(
        'TLS_ERR_CONFIG',
        'an ALPN protocol name holds a character above U+00FF: give its bytes as latin1',
      );
    }
    writer.u8(code);
  }
}

/** At most 255 bytes. */
export function latin1Text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

function u16List(reader: Reader, length: number, field: string): number[] {
  if (length < 2 || length % 2 !== 0) {
    throw reader.malformed(field, `length ${length} is not a positive multiple of 2`);
  }
  if (length > reader.remaining) {
    throw reader.malformed(field, `needs ${length} bytes, ${reader.remaining} are left`);
  }
  if (length > 2 * MAX_CODE_POINTS) {
    throw reader.malformed(field, `more than ${MAX_CODE_POINTS} entries`);
  }
  const list: number[] = new Array(length / 2);
  for (let i = 0; i < list.length; i++) {
    list[i] = reader.u16(field);
  }
  return list;
}

/** Looking for duplicates takes quadratic time: 16,000 empty extensions would cost 128 million comparisons. */
export const MAX_EXTENSIONS = 100;

/**
 * Suites, groups and schemes are matched list against list, so a hello of 30,000 entries would buy much work for few
 * bytes. The registries hold fewer than this together.
 */
export const MAX_CODE_POINTS = 512;
