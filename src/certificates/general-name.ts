/**
 * GeneralName: the alternatives that a certificate may use to name its subject, and IP addresses as text.
 *
 *     GeneralName ::= CHOICE { otherName [0], rfc822Name [1] IA5String, dNSName [2] IA5String, x400Address [3],
 *       directoryName [4] EXPLICIT Name, ediPartyName [5], uniformResourceIdentifier [6] IA5String,
 *       iPAddress [7] OCTET STRING, registeredID [8] OBJECT IDENTIFIER }
 *
 * RFC 5280 §4.2.1.6.
 */

import { asciiText, contextTag, type DerReader } from './der.ts';
import { type DistinguishedName, readDistinguishedName } from './distinguished-name.ts';

export type GeneralName =
  | { readonly kind: 'dns' | 'email' | 'uri'; readonly value: string }
  /** 4 or 16 bytes in a subjectAltName; address and mask (8 or 32) in a name constraint. */
  | { readonly kind: 'ip'; readonly value: Uint8Array }
  | { readonly kind: 'directory'; readonly value: DistinguishedName }
  /** Forms that are carried but not understood; `tag` tells them apart. */
  | { readonly kind: 'other'; readonly tag: number };

/** @throws TLSError `TLS_ERR_BAD_CERTIFICATE` */
export function readGeneralName(reader: DerReader, field: string): GeneralName {
  const tag = reader.nextTag;
  switch (tag) {
    case TAG_EMAIL:
      return { kind: 'email', value: ia5(reader, tag, field) };
    case TAG_DNS:
      return { kind: 'dns', value: ia5(reader, tag, field) };
    case TAG_URI:
      return { kind: 'uri', value: ia5(reader, tag, field) };
    case TAG_IP:
      return { kind: 'ip', value: reader.content(tag, field) };
    case TAG_DIRECTORY: {
      const explicit = reader.enter(tag, field);
      const name = readDistinguishedName(explicit.element('directoryName'), field);
      explicit.end();
      return { kind: 'directory', value: name };
    }
    case TAG_OTHER:
    case TAG_X400:
    case TAG_EDI:
    case TAG_REGISTERED:
      reader.content(tag, field);
      return { kind: 'other', tag };
    default:
      throw reader.malformed(field, `no GeneralName has tag 0x${tag.toString(16)}`);
  }
}

/** An IPv4 or IPv6 address in its usual text forms, as 4 or 16 bytes; undefined for anything else. */
export function parseIpAddress(text: string): Uint8Array | undefined {
  if (!text.includes(':')) {
    return parseIpv4(text);
  }
  const halves = text.split('::');
  if (halves.length > 2 || text.length > 45) {
    return undefined;
  }
  const head = ipv6Groups(halves[0], halves.length === 1);
  const tail = halves.length === 2 ? ipv6Groups(halves[1], true) : [];
  if (head === undefined || tail === undefined) {
    return undefined;
  }
  const missing = 16 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) {
    return undefined;
  }
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

/** The address as text: dotted quads, or the canonical IPv6 form of RFC 5952 §4. */
export function ipAddressText(bytes: Uint8Array): string {
  if (bytes.length === 4) {
    return bytes.join('.');
  }
  const groups: string[] = [];
  for (let i = 0; i + 1 < bytes.length; i += 2) {
    groups.push(((bytes[i] << 8) | bytes[i + 1]).toString(16));
  }
  let best = { start: 0, length: 1 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === '0') {
      length++;
    }
    best = length > best.length ? { start, length } : best;
  }
  if (best.length < 2) {
    return groups.join(':');
  }
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`;
}

function ia5(reader: DerReader, tag: number, field: string): string {
  const bytes = reader.content(tag, field);
  for (const byte of bytes) {
    // A NUL or another control character has cut names short in readers written in C: `good.example\0.evil.example`.
    if (byte < 0x20 || byte > 0x7e) {
      throw reader.malformed(field, `a name contains the byte 0x${byte.toString(16).padStart(2, '0')}`);
    }
  }
  return asciiText(bytes);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const match = IPV4.exec(text);
  if (match === null) {
    return undefined;
  }
  const octets = match.slice(1).map(Number);
  return octets.every((octet) => octet <= 255) ? Uint8Array.from(octets) : undefined;
}

/** The bytes of colon-separated groups; the last may be an IPv4 address where `mayEndInIpv4`. */
function ipv6Groups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') {
    return [];
  }
  const octets: number[] = [];
  const groups = text.split(':');
  for (const [i, group] of groups.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      octets.push(value >>> 8, value & 0xff);
      continue;
    }
    const ipv4 = mayEndInIpv4 && i === groups.length - 1 ? parseIpv4(group) : undefined;
    if (ipv4 === undefined) {
      return undefined;
    }
    octets.push(...ipv4);
  }
  return octets.length <= 16 ? octets : undefined;
}

/** Octets without leading zeros: `010` is 8 to some readers and 10 to others. */
const IPV4 = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

const TAG_OTHER = contextTag(0, true);
const TAG_EMAIL = contextTag(1, false);
export const TAG_DNS = contextTag(2, false);
const TAG_X400 = contextTag(3, true);
export const TAG_DIRECTORY = contextTag(4, true);
const TAG_EDI = contextTag(5, true);
const TAG_URI = contextTag(6, false);
export const TAG_IP = contextTag(7, false);
const TAG_REGISTERED = contextTag(8, false);
