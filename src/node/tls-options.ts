/** The options of `node:tls` that choose algorithms and versions, read into the house's terms; the rest is refused. */

import * as nodeTls from 'node:tls';
import type { ProtocolVersion } from '../connection-options.ts';
import { type FfdheGroup, ffdheGroups } from '../crypto/dhe-groups.ts';
import type { NamedGroup } from '../crypto/groups.ts';
import { TLSError } from '../errors.ts';

export { parsePeriod } from '../policy/period.ts';

/** As Node was started: `--tls-min-v1.3` and `--tls-max-v1.2` count here too. */
export const DEFAULT_MIN_VERSION: ProtocolVersion = nodeTls.DEFAULT_MIN_VERSION === 'TLSv1.3' ? 'TLSv1.3' : 'TLSv1.2';
export const DEFAULT_MAX_VERSION: ProtocolVersion = nodeTls.DEFAULT_MAX_VERSION === 'TLSv1.2' ? 'TLSv1.2' : 'TLSv1.3';
export const DEFAULT_ECDH_CURVE = 'auto';

/** Options that every entry refuses, with what to do instead. */
const refused: Readonly<Record<string, string>> = {
  pfx: 'give the certificate as `cert` and the key as `key`, in PEM',
  crl: 'certificate revocation lists are not checked',
  dhparam: "only 'auto' is, which serves the DHE suites that `ciphers` names with ffdhe2048 and ffdhe3072 (RFC 7919)",
  privateKeyEngine: 'give a `sign` function instead',
  privateKeyIdentifier: 'give a `sign` function instead',
  clientCertEngine: 'give the certificate as `cert`, and its `key` or a `sign` function',
  ticketKeys: 'ticket keys are made, rotated and erased by the server: see `sessions`',
  enableTrace: 'use `keylog` and a packet capture',
  onread: "read with 'data' events, which cost no copy here",
};

const refusedEntries = Object.entries(refused);

/** @throws TLSError `TLS_ERR_NOT_SUPPORTED` */
export function refuseUnsupported(options: object): void {
  for (const [name, instead] of refusedEntries) {
    const value = (options as Record<string, unknown>)[name];
    if (value !== undefined && value !== null && value !== false && value !== 'auto') {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', `the option ${name} is not supported: ${instead}`);
    }
  }
}

export interface VersionOptions {
  /** 'TLSv1.2' or 'TLSv1.3'. Default 'TLSv1.2'. */
  readonly minVersion?: string;
  /** 'TLSv1.2' or 'TLSv1.3'. Default 'TLSv1.3'. */
  readonly maxVersion?: string;
  /** As in `node:tls`: 'TLSv1_2_method' is TLS 1.2 alone. */
  readonly secureProtocol?: string;
  /**
   * OpenSSL's flags. Those that rule out a version are heeded, and at a client SSL_OP_NO_TICKET: TLS 1.2 sessions then come
   * by ID. The others have no meaning here.
   */
  readonly secureOptions?: number;
}

/**
 * The versions that the options leave, newest first.
 * @throws TLSError `TLS_ERR_NOT_SUPPORTED` for versions before TLS 1.2; `TLS_ERR_CONFIG` when none is left
 */
export function parseVersions(options: VersionOptions): readonly ProtocolVersion[] {
  const { minVersion, maxVersion, secureProtocol, secureOptions } = options;
  if (secureProtocol && (minVersion || maxVersion)) {
    throw new TLSError('TLS_ERR_CONFIG', 'secureProtocol cannot stand beside minVersion or maxVersion');
  }
  const only = secureProtocol ? versionOfMethod(secureProtocol) : undefined;
  const min = only ?? parseVersion('minVersion', minVersion) ?? DEFAULT_MIN_VERSION;
  const max = only ?? parseVersion('maxVersion', maxVersion) ?? DEFAULT_MAX_VERSION;
  const left = VERSIONS.filter((version) => version >= min && version <= max && !isRuledOut(version, secureOptions));
  if (left.length === 0) {
    throw new TLSError('TLS_ERR_CONFIG', `no version is left between minVersion ${min} and maxVersion ${max}`);
  }
  return left;
}

function parseVersion(option: string, value: string | undefined | null): ProtocolVersion | undefined {
  if (value === undefined || value === null) {
    return undefined;
  }
  const known = VERSIONS.find((version) => version === value);
  if (known === undefined) {
    throw OLD_VERSIONS.includes(value)
      ? new TLSError('TLS_ERR_NOT_SUPPORTED', `${option} ${value}: TLS 1.2 is the oldest version spoken here`)
      : new TLSError('TLS_ERR_CONFIG', `${option}: expected one of ${VERSIONS.join(', ')}, got ${String(value)}`);
  }
  return known;
}

/** Undefined for all. */
function versionOfMethod(method: string): ProtocolVersion | undefined {
  const [, name] = /^(TLS|SSLv23|TLSv1_[23])_(?:client_|server_)?method$/.exec(method) ?? [];
  if (name === undefined) {
    throw new TLSError('TLS_ERR_NOT_SUPPORTED', `secureProtocol ${method}: only TLS 1.2 and TLS 1.3 are spoken here`);
  }
  return VERSIONS.find((version) => version === name.replace('_', '.'));
}

function isRuledOut(version: ProtocolVersion, secureOptions = 0): boolean {
  return (secureOptions & (version === 'TLSv1.3' ? SSL_OP_NO_TLS_1_3 : SSL_OP_NO_TLS_1_2)) !== 0;
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
 * `minDHSize`: the groups that are large enough, or undefined for the core's own choice.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function parseMinDhSize(bits: number | undefined | null): FfdheGroup[] | undefined {
  if (bits === undefined || bits === null || bits <= 2048) {
    return undefined;
  }
  const large = Object.values(ffdheGroups).filter((group) => 8 * group.length >= bits);
  if (large.length === 0) {
    throw new TLSError('TLS_ERR_CONFIG', `minDHSize: expected at most 8192 bits, got ${bits}`);
  }
  return [large[0].name];
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

const VERSIONS: readonly ProtocolVersion[] = ['TLSv1.3', 'TLSv1.2'];
const OLD_VERSIONS: readonly string[] = ['SSLv3', 'TLSv1', 'TLSv1.0', 'TLSv1.1'];
/** From OpenSSL's ssl.h. */
export const SSL_OP_NO_TICKET = 0x4000;
const SSL_OP_NO_TLS_1_2 = 0x0800_0000;
const SSL_OP_NO_TLS_1_3 = 0x2000_0000;

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
