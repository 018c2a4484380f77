/**
 * The name a client asks for.
 *
 *     struct { NameType name_type = host_name(0); opaque HostName<1..2^16-1>; } ServerName;
 *     struct { ServerName server_name_list<1..2^16-1> } ServerNameList;
 *
 * RFC 6066 §3. The list holds exactly one host_name. IP literals are forbidden there, yet some clients and scanners send
 * them: they are let through here and it is up to the handshake to ignore them (`isIPLiteral`). A trailing dot is forbidden
 * too, yet browsers send the name as it stands in the address: it is dropped, so that both are one name. The name keeps the
 * case it was sent in; names compare without regard to case.
 */

import type { Reader } from '../bytes/reader.ts';
import type { Writer } from '../bytes/writer.ts';
import { TLSError } from '../errors.ts';
import { latin1Text, writeLatin1 } from './fields.ts';

/**
 * @throws TLSError `TLS_ERR_DECODE` for another list than one host_name, `TLS_ERR_ILLEGAL_PARAMETER` for characters
 * other than letters, digits, `-`, `_`, unless it is an IP literal, and for empty labels
 */
export function readServerName(reader: Reader): string {
  const list = reader.nested16('server_name_list', 1);
  const type = list.u8('name_type');
  if (type !== HOST_NAME) {
    throw list.malformed('name_type', `expected host_name(0), got ${type}`);
  }
  const sent = latin1Text(list.vector16('HostName', 1, MAX_NAME_LENGTH));
  list.end();
  const name = sent.endsWith('.') ? sent.slice(0, -1) : sent;
  if (!WELL_FORMED.test(name) && !IPV6.test(name)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `${reader.what}: not a host name`);
  }
  return name;
}

/** @throws TLSError `TLS_ERR_CONFIG` for a name that no peer would accept */
export function writeServerName(writer: Writer, name: string): void {
  if (name.length > MAX_NAME_LENGTH || !WELL_FORMED.test(name)) {
    throw new TLSError('TLS_ERR_CONFIG', `server name ${JSON.stringify(name)} is not a host name that can be sent`);
  }
  writer
    .u16(name.length + 3)
    .u8(HOST_NAME)
    .u16(name.length);
  writeLatin1(writer, name);
}

/** Whether what stands for a name is an IP address: IPv4 in dotted-decimal form, or anything with a colon. */
export function isIPLiteral(name: string): boolean {
  return IPV4.test(name) || name.includes(':');
}

const HOST_NAME = 0;
const MAX_NAME_LENGTH = 255;
/** No nested repetition over the same characters: the time is linear in the length. */
const WELL_FORMED = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
/** What has its characters and a colon: which address it is does not matter. */
const IPV6 = /^(?=[^:]*:)[0-9A-Fa-f:.]+$/;
const IPV4 = /^(?:\d{1,3}\.){3}\d{1,3}$/;
