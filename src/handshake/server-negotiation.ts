/**
 * What a server chooses from a ClientHello: version, suite, group, protocol and credential. Pure: nothing is sent.
 *
 * RFC 9846 §4.2.2, §4.3, §9.2; RFC 7301 §3.2; RFC 8449 §4.
 */

import type { ClientHelloInfo } from '../actions.ts';
import { EMPTY, sameBytes } from '../bytes/bytes.ts';
import type { Credential, ProtocolVersion, ServerContext, ServerOptions } from '../connection-options.ts';
import { type NamedGroup, type NamedGroupInfo, namedGroups } from '../crypto/groups.ts';
import { type SignatureScheme, signatureSchemeByCode, signatureSchemes } from '../crypto/signatures.ts';
import { type CipherSuite, cipherSuiteByCode, cipherSuites } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import type { ClientHello, KeyShareEntry, PreSharedKeyOffer } from '../messages/client-hello.ts';
import { PSK_KE } from '../messages/code-points.ts';
import { refuseMisplaced } from '../messages/extension-rules.ts';
import { isIPLiteral } from '../messages/server-name.ts';
import { byWishes, type CredentialWishes } from './credential-choice.ts';
import { schemesToSign } from './signature-choice.ts';

/**
 * Refuses a hello that offers TLS 1.3 but lacks what TLS 1.3 demands. Its legacy_version decides nothing beside
 * supported_versions (RFC 9846 §4.3.1).
 */
export function checkClientHello(hello: ClientHello): void {
  const { extensions } = hello;
  if (hello.compressionMethods.length !== 1) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the client offers compression');
  }
  // Of those that are known, oid_filters alone has no place here.
  refuseMisplaced(extensions.types ?? [], 'client_hello');
  const mayDoWithout =
    extensions.preSharedKey !== undefined && extensions.pskKeyExchangeModes?.includes(PSK_KE) === true;
  const { supportedGroups, keyShares } = extensions;
  // Whether there is a PSK that makes up for them is seen later.
  if ((supportedGroups === undefined || keyShares === undefined) && !(mayDoWithout && supportedGroups === keyShares)) {
    throw new TLSError('TLS_ERR_MISSING_EXTENSION', 'the ClientHello lacks supported_groups or key_share');
  }
  if (extensions.preSharedKey === undefined && extensions.signatureAlgorithms === undefined) {
    throw new TLSError('TLS_ERR_MISSING_EXTENSION', 'the ClientHello lacks signature_algorithms');
  }
  if (extensions.preSharedKey !== undefined && extensions.pskKeyExchangeModes === undefined) {
    throw new TLSError('TLS_ERR_MISSING_EXTENSION', 'the ClientHello offers a PSK without psk_key_exchange_modes');
  }
  const stray = keyShares?.find((share) => supportedGroups?.includes(share.group) !== true);
  if (stray !== undefined) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the ClientHello has a share for group ${stray.group}, which it does not support`,
    );
  }
}

export function clientHelloInfo(hello: ClientHello, version: ProtocolVersion): ClientHelloInfo {
  const { alpnProtocols = [], signatureAlgorithms = [], sessionTicket = EMPTY } = hello.extensions;
  const { signatureAlgorithmsCert } = hello.extensions;
  return {
    serverName: nameOf(hello),
    alpnProtocols,
    signatureSchemes: spoken(signatureAlgorithms),
    certificateSignatureSchemes: signatureAlgorithmsCert && spoken(signatureAlgorithmsCert),
    certificateAuthorities: version === 'TLSv1.3' ? hello.extensions.certificateAuthorities : undefined,
    // In a hello for TLS 1.3 it is a random one, and names no session.
    sessionId: version === 'TLSv1.2' && sessionTicket.length === 0 ? hello.legacySessionId : undefined,
  };
}

/** The name that the client asks for; empty for none. */
export function nameOf({ extensions }: ClientHello): string {
  const { serverName = '' } = extensions;
  return isIPLiteral(serverName) ? '' : serverName;
}

function spoken(codes: readonly number[]): readonly SignatureScheme[] {
  const schemes: SignatureScheme[] = [];
  for (const code of codes) {
    const scheme = signatureSchemeByCode(code);
    if (scheme !== undefined) {
      schemes.push(scheme);
    }
  }
  return schemes;
}

/**
 * What both speak, best first: the server's order decides, but a client that puts ChaCha20-Poly1305 first has no AES in
 * hardware. Never empty: a PSK may rule out the first, not all.
 */
export function commonSuites(options: ServerOptions, hello: ClientHello): readonly CipherSuite[] {
  const ours = options.cipherSuites ?? ALL_SUITES;
  const common: readonly CipherSuite[] = ours
    .map((name) => cipherSuites[name])
    .filter((suite) => hello.cipherSuites.includes(suite.code));
  if (common.length === 0) {
    throw new TLSError('TLS_ERR_NO_COMMON_SUITE', 'the client offers no cipher suite that this server speaks');
  }
  const first = hello.cipherSuites.map(cipherSuiteByCode).find((suite) => suite !== undefined);
  return first?.aead === 'chacha20-poly1305' && common.includes(first)
    ? [first, ...common.filter((suite) => suite !== first)]
    : common;
}

export interface ChosenGroup {
  readonly group: NamedGroupInfo;
  /** Absent: the client has to be asked for it with a HelloRetryRequest. */
  readonly share: KeyShareEntry | undefined;
}

/**
 * The best group for which a share came; but a hybrid that the client supports is worth a round trip, as a recording of
 * this connection may be kept until there are quantum computers.
 */
export function chooseGroup(options: ServerOptions, hello: ClientHello): ChosenGroup {
  const { supportedGroups = [], keyShares = [] } = hello.extensions;
  const ours = options.namedGroups ?? ALL_GROUPS;
  if (hello.extensions.supportedGroups === undefined) {
    throw new TLSError('TLS_ERR_MISSING_EXTENSION', 'the ClientHello lacks key_share, and no PSK does without');
  }
  const common = ours
    .map((name) => namedGroups[name])
    .filter((group) => supportedGroups.includes(group.code) && options.provider.supportsGroup(group.name));
  if (common.length === 0) {
    throw new TLSError('TLS_ERR_NO_COMMON_GROUP', 'the client supports no key exchange group that this server speaks');
  }
  for (const group of common) {
    const share = keyShares.find((entry) => entry.group === group.code);
    if (share !== undefined || group.name === 'X25519MLKEM768') {
      return { group, share };
    }
  }
  return { group: common[0], share: undefined };
}

export interface ChosenCredential {
  readonly credential: Credential;
  readonly scheme: SignatureScheme;
}

/** Of the credentials whose key can sign in a way the client accepts, the one whose chain pleases it most. */
export function chooseCredential(context: ServerContext, info: ClientHelloInfo): ChosenCredential | undefined {
  const { credentials } = context;
  // One alone needs no wishes, which nearly every server has.
  for (const credential of credentials.length < 2 ? credentials : byWishes(credentials, clientWishes(info))) {
    const scheme = schemesToSign(credential, 'TLSv1.3').find((candidate) => info.signatureSchemes.includes(candidate));
    if (scheme !== undefined) {
      return { credential, scheme };
    }
  }
  return undefined;
}

/** What the client would like of our chain, beside a key that signs as it wants. */
export function clientWishes(info: ClientHelloInfo): CredentialWishes {
  const { signatureSchemes: own, certificateSignatureSchemes = own, certificateAuthorities = [] } = info;
  return {
    chainSchemes: certificateSignatureSchemes.map((scheme) => signatureSchemes[scheme]),
    authorities: certificateAuthorities,
  };
}

/** Empty when the client asks for none or the server has none. */
export function chooseProtocol(context: ServerContext, info: ClientHelloInfo): string {
  if (info.alpnProtocols.length === 0 || (context.chooseProtocol === undefined && context.alpnProtocols.length === 0)) {
    return '';
  }
  const chosen =
    context.chooseProtocol === undefined
      ? context.alpnProtocols.find((protocol) => info.alpnProtocols.includes(protocol))
      : context.chooseProtocol(info);
  if (chosen === undefined || !info.alpnProtocols.includes(chosen)) {
    throw new TLSError(
      'TLS_ERR_NO_APPLICATION_PROTOCOL',
      'the client and the server have no application protocol in common',
    );
  }
  return chosen;
}

/**
 * Holds the second ClientHello against the first: only what RFC 9846 §4.2.2 names may differ. Otherwise a client could
 * be served by what it never asked for in the hello that chose the policy.
 */
export function checkSecondHello(options: {
  readonly first: ClientHello;
  readonly second: ClientHello;
  readonly group: NamedGroupInfo;
  readonly cookie: Uint8Array | undefined;
}): KeyShareEntry {
  const { first, second, group, cookie } = options;
  const a = first.extensions;
  const b = second.extensions;
  const same =
    sameBytes(first.random, second.random) &&
    sameBytes(first.legacySessionId, second.legacySessionId) &&
    sameList(first.cipherSuites, second.cipherSuites) &&
    a.serverName === b.serverName &&
    sameList(a.alpnProtocols, b.alpnProtocols) &&
    sameList(a.supportedGroups, b.supportedGroups) &&
    sameList(a.signatureAlgorithms, b.signatureAlgorithms) &&
    sameList(a.signatureAlgorithmsCert, b.signatureAlgorithmsCert) &&
    sameList(a.supportedVersions, b.supportedVersions) &&
    sameList(a.pskKeyExchangeModes, b.pskKeyExchangeModes) &&
    a.recordSizeLimit === b.recordSizeLimit &&
    a.maxFragmentLength === b.maxFragmentLength &&
    sameList(a.compressCertificate, b.compressCertificate) &&
    sameBytes(a.statusRequest ?? EMPTY, b.statusRequest ?? EMPTY) &&
    a.signedCertificateTimestamp === b.signedCertificateTimestamp &&
    sameNames(a.certificateAuthorities, b.certificateAuthorities) &&
    a.ticketRequest?.newSession === b.ticketRequest?.newSession &&
    a.ticketRequest?.resumption === b.ticketRequest?.resumption &&
    (a.quicTransportParameters === undefined) === (b.quicTransportParameters === undefined) &&
    sameBytes(a.quicTransportParameters ?? EMPTY, b.quicTransportParameters ?? EMPTY) &&
    offersNoOther(a.preSharedKey, b.preSharedKey);
  if (!same) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      'the second ClientHello differs from the first in more than it may',
    );
  }
  if (b.earlyData !== undefined) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the second ClientHello offers early data');
  }
  if (cookie !== undefined && (b.cookie === undefined || !sameBytes(b.cookie, cookie))) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the second ClientHello does not return the cookie');
  }
  if (cookie === undefined && b.cookie !== undefined) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the second ClientHello has a cookie that was not sent');
  }
  const shares = b.keyShares ?? [];
  if (shares.length !== 1 || shares[0].group !== group.code) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the second ClientHello must have exactly one share, for ${group.name}`,
    );
  }
  return shares[0];
}

/** PSKs may be left out of the second hello, not added. */
function offersNoOther(first: PreSharedKeyOffer | undefined, second: PreSharedKeyOffer | undefined): boolean {
  const known = first?.identities ?? [];
  let at = 0;
  for (const { identity } of second?.identities ?? []) {
    while (at < known.length && !sameBytes(identity, known[at].identity)) {
      at += 1;
    }
    at += 1;
  }
  return at <= known.length;
}

function sameList<T>(a: readonly T[] | undefined, b: readonly T[] | undefined): boolean {
  if (a === undefined || b === undefined) {
    return a === b;
  }
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

function sameNames(a: readonly Uint8Array[] = [], b: readonly Uint8Array[] = []): boolean {
  return a.length === b.length && a.every((name, index) => sameBytes(name, b[index]));
}

const ALL_SUITES = Object.values(cipherSuites).map((suite) => suite.name);
/** In the server's order of preference. */
export const ALL_GROUPS = Object.keys(namedGroups) as NamedGroup[];
