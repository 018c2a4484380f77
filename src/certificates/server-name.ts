/**
 * Is this certificate for this server? By subjectAltName only: dNSName for names, iPAddress for addresses; the common
 * name never counts. A wildcard is the whole leftmost label, stands for exactly one label, and needs at least two
 * labels behind it.
 *
 * RFC 9525 §6.3, §6.4, §6.5; IDNs are compared as A-labels (RFC 9525 §6.3.1, RFC 5280 §7.2).
 */

import { sameBytes } from '../bytes/bytes.ts';
import type { ParsedCertificate } from './certificate.ts';
import { printable } from './distinguished-name.ts';
import { ipAddressText, parseIpAddress } from './general-name.ts';

/** What a client expects to find in the certificate. */
export type ReferenceName =
  | { readonly kind: 'dns'; readonly name: string }
  | { readonly kind: 'ip'; readonly address: Uint8Array };

/**
 * True when one of the certificate's alternative names is for `name`: a DNS name (one trailing dot is dropped, IDNs may
 * be given as U-labels) or an IPv4 or IPv6 address as text.
 */
export function matchesServerName(certificate: ParsedCertificate, name: string): boolean {
  const reference = parseReferenceName(name);
  if (reference === undefined) {
    return false;
  }
  return certificate.subjectAltName.some((alternative) => {
    if (reference.kind === 'ip') {
      return alternative.kind === 'ip' && sameBytes(alternative.value, reference.address);
    }
    return alternative.kind === 'dns' && matchesDnsPattern(alternative.value, reference.name);
  });
}

/** Undefined for a text that can name no server. */
export function parseReferenceName(name: string): ReferenceName | undefined {
  const address = parseIpAddress(name);
  if (address !== undefined) {
    return { kind: 'ip', address };
  }
  const ascii = toALabels(name);
  const absolute = ascii?.endsWith('.') ? ascii.slice(0, -1) : ascii;
  if (absolute === undefined || !isDnsName(absolute) || LOOKS_LIKE_IPV4.test(absolute)) {
    return undefined;
  }
  return { kind: 'dns', name: absolute.toLowerCase() };
}

/** Labels of letters, digits, hyphens and underscores, 63 characters each, 253 in all; not ending in a dot. */
export function isDnsName(name: string): boolean {
  return name.length > 0 && name.length <= 253 && name.split('.').every((label) => LABEL.test(label));
}

/** What a certificate is for, for messages. */
export function alternativeNamesText(certificate: ParsedCertificate): string {
  const names: string[] = [];
  for (const name of certificate.subjectAltName) {
    if (name.kind === 'dns') {
      names.push(name.value);
    } else if (name.kind === 'ip') {
      names.push(ipAddressText(name.value));
    }
    if (names.length === 10) {
      names.push('…');
      break;
    }
  }
  return names.length === 0 ? 'no server at all (it has no subjectAltName for one)' : printable(names.join(', '));
}

/** `name` is lower-case and valid. */
function matchesDnsPattern(pattern: string, name: string): boolean {
  const presented = pattern.toLowerCase();
  if (!presented.startsWith('*.')) {
    return presented === name;
  }
  const base = presented.slice(2);
  const dot = name.indexOf('.');
  // `*.com` would be for every company; no registry sells names below a single label.
  return base.includes('.') && isDnsName(base) && dot > 0 && name.slice(dot + 1) === base;
}

function toALabels(name: string): string | undefined {
  if (ASCII_ONLY.test(name)) {
    return name;
  }
  if (NOT_A_HOST.test(name)) {
    return undefined;
  }
  try {
    return new URL(`https://${name}/`).hostname;
  } catch {
    return undefined;
  }
}

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;
const ASCII_ONLY = /^[\x20-\x7e]*$/;
const NOT_A_HOST = /[\s/?#@:\\[\]%]/;
/** Names whose last label is a number are addresses to some resolvers. */
const LOOKS_LIKE_IPV4 = /(^|\.)(\d+|0x[0-9a-f]*)$/i;
