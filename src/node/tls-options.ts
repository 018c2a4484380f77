/** The options of `node:tls` that choose algorithms and versions, read into the house's terms; the rest is refused. */

import type { NamedGroup } from '../crypto/groups.ts';
import { type CipherSuiteName, cipherSuites } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';

export const DEFAULT_MIN_VERSION = 'TLSv1.3';
export const DEFAULT_MAX_VERSION = 'TLSv1.3';
/** In order of preference. */
export const DEFAULT_CIPHERS: string = Object.keys(cipherSuites).join(':');
export const DEFAULT_ECDH_CURVE = 'auto';

/** The names of all cipher suites, lower case as `node:tls` gives them. */
export function getCiphers(): string[] {
  return Object.keys(cipherSuites).map((name) => name.toLowerCase());
}

/** Options that every entry refuses, with what to do instead. */
const refused: Readonly<Record<string, string>> = {
  pfx: 'give the certificate as `cert` and the key as `key`, in PEM',
  crl: 'certificate revocation lists are not checked',
  dhparam: 'finite-field Diffie-Hellman is not offered',
  pskCallback: 'external pre-shared keys are not supported yet',
  privateKeyEngine: 'give a `sign` function instead',
  privateKeyIdentifier: 'give a `sign` function instead',
  clientCertEngine: 'client certificates are not supported yet',
  ticketKeys: 'ticket keys are made, rotated and erased by the server: see `sessions`',
  requestCert: 'client certificates are not supported yet',
  requestOCSP: 'OCSP stapling is not supported yet',
  enableTrace: 'use `keylog` and a packet capture',
  onread: "read with 'data' events, which cost no copy here",
};

/** @throws TLSError `TLS_ERR_NOT_SUPPORTED` */
export function refuseUnsupported(options: object): void {
  for (const [name, instead] of Object.entries(refused)) {
    const value = (options as Record<string, unknown>)[name];
    if (value !== undefined && value !== null && value !== false && value !== 'auto') {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', `the option ${name} is not supported: ${instead}`);
    }
  }
}

export interface VersionOptions {
  readonly minVersion?: string;
  readonly maxVersion?: string;
  readonly secureProtocol?: string;
}

/** @throws TLSError `TLS_ERR_NOT_SUPPORTED`, `TLS_ERR_CONFIG` */
export function checkVersions({ minVersion, maxVersion, secureProtocol }: VersionOptions): void {
  for (const [name, value] of [
    ['minVersion', minVersion],
    ['maxVersion', maxVersion],
  ]) {
    if (value !== undefined && value !== null && !VERSIONS.includes(value as string)) {
      throw new TLSError('TLS_ERR_CONFIG', `${name}: expected one of ${VERSIONS.join(', ')}, got ${String(value)}`);
    }
  }
  if (maxVersion && maxVersion !== 'TLSv1.3') {
    throw new TLSError('TLS_ERR_NOT_SUPPORTED', `maxVersion ${maxVersion}: only TLSv1.3 is spoken`);
  }
  if (secureProtocol && !/^TLS(v1_3)?_(client_|server_)?method$/.test(secureProtocol)) {
    throw new TLSError('TLS_ERR_NOT_SUPPORTED', `secureProtocol ${secureProtocol}: only TLSv1.3 is spoken`);
  }
}

/**
 * `TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256`.
 * @throws TLSError `TLS_ERR_NOT_SUPPORTED`
 */
export function parseCiphers(ciphers: string | undefined): CipherSuiteName[] | undefined {
  if (ciphers === undefined || ciphers === null) {
    return undefined;
  }
  return splitList('ciphers', ciphers).map((name) => {
    const known = name.toUpperCase();
    if (!Object.hasOwn(cipherSuites, known)) {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', `ciphers: expected names among ${DEFAULT_CIPHERS}, got ${name}`);
    }
    return known as CipherSuiteName;
  });
}

/**
 * `X25519MLKEM768:X25519:P-256`, or 'auto'.
 * @throws TLSError `TLS_ERR_NOT_SUPPORTED`
 */
export function parseGroups(groups: string | readonly string[] | undefined): NamedGroup[] | undefined {
  if (groups === undefined || groups === null || groups === 'auto') {
    return undefined;
  }
  const list = typeof groups === 'string' ? splitList('ecdhCurve', groups) : groups;
  return list.map((name) => {
    const group = groupNames.get(name.toLowerCase());
    if (group === undefined) {
      const known = [...new Set(groupNames.values())].join(', ');
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', `groups: expected names among ${known}, got ${name}`);
    }
    return group;
  });
}

/**
 * ALPN protocols as strings; also from the wire form (each with its length in one byte) that `node:tls` accepts.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function parseAlpn(protocols: unknown): string[] {
  if (protocols === undefined || protocols === null) {
    return [];
  }
  const names = Array.isArray(protocols) ? protocols.map(String) : alpnFromWire(protocols);
  for (const name of names) {
    const length = Buffer.byteLength(name);
    if (length < 1 || length > 255) {
      throw new TLSError('TLS_ERR_CONFIG', `ALPNProtocols: a name must have 1 to 255 bytes, "${name}" has ${length}`);
    }
  }
  return names;
}

/**
 * Milliseconds from a number of seconds or a text such as '90s', '15m', '1h'.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function parsePeriod(name: string, value: number | string): number {
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value.trim()) : null;
  const ms = match === null ? Number(value) * 1_000 : Number(match[1]) * UNITS[match[2]];
  if (!Number.isFinite(ms) || ms <= 0 || (typeof value === 'string' && value.trim() === '')) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `${name}: expected seconds or a text such as '90s', '15m', '1h', got ${value}`,
    );
  }
  return Math.round(ms);
}

function splitList(option: string, text: unknown): string[] {
  const names = typeof text === 'string' ? text.split(':').filter((name) => name !== '') : [];
  if (names.length === 0) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `${option}: expected names with colons in between, got ${JSON.stringify(text)}`,
    );
  }
  return names;
}

function alpnFromWire(protocols: unknown): string[] {
  if (!ArrayBuffer.isView(protocols)) {
    throw new TLSError('TLS_ERR_CONFIG', 'ALPNProtocols: expected an array of names');
  }
  const bytes = Buffer.from(protocols.buffer, protocols.byteOffset, protocols.byteLength);
  const names: string[] = [];
  for (let at = 0; at < bytes.length; at += 1 + bytes[at]) {
    names.push(bytes.toString('latin1', at + 1, at + 1 + bytes[at]));
  }
  return names;
}

const VERSIONS: readonly string[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const groupNames = new Map<string, NamedGroup>([
  ['x25519mlkem768', 'X25519MLKEM768'],
  ['x25519', 'x25519'],
  ['secp256r1', 'secp256r1'],
  ['prime256v1', 'secp256r1'],
  ['p-256', 'secp256r1'],
  ['secp384r1', 'secp384r1'],
  ['p-384', 'secp384r1'],
  ['secp521r1', 'secp521r1'],
  ['p-521', 'secp521r1'],
]);
