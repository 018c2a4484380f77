/**
 * What a server chooses from a ClientHello for TLS 1.2: version, suite, group and credential. Pure: nothing is sent.
 *
 * RFC 5246 §7.4.1, RFC 8422 §5.1, RFC 7919 §4, RFC 5746 §3.6, RFC 7507 §3, RFC 7627 §5.3.
 */

import type { ClientHelloInfo } from '../actions.ts';
import { sameBytes } from '../bytes/bytes.ts';
import type { Credential, ProtocolVersion, ServerContext, ServerOptions } from '../connection-options.ts';
import { type FfdheGroupInfo, ffdheGroups } from '../crypto/dhe-groups.ts';
import { type NamedGroupInfo, namedGroups } from '../crypto/groups.ts';
import type { SignatureScheme } from '../crypto/signatures.ts';
import {
  type CipherSuite12,
  type CipherSuite12Name,
  cipherSuites12,
  TLS_EMPTY_RENEGOTIATION_INFO_SCSV,
  TLS_FALLBACK_SCSV,
} from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import type { ClientHello } from '../messages/client-hello.ts';
import { TLS12, TLS13 } from '../messages/code-points.ts';
import { poolsByWishes } from './credential-choice.ts';
import type { PreviousHandshake } from './host.ts';
import { ffdheGroups12, type GroupInfo12, isFfdheCode } from './key-exchange12.ts';
import { present } from './present.ts';
import { ALL_GROUPS, clientWishes } from './server-negotiation.ts';
import { schemesToSign } from './signature-choice.ts';

/** @throws TLSError `TLS_ERR_PROTOCOL_VERSION`, `TLS_ERR_INAPPROPRIATE_FALLBACK` */
export function chooseVersion(options: ServerOptions, hello: ClientHello): ProtocolVersion {
  const ours = options.versions ?? ['TLSv1.3'];
  const { supportedVersions } = hello.extensions;
  const offers13 = supportedVersions?.includes(TLS13) === true;
  const offers12 = supportedVersions === undefined ? hello.legacyVersion >= TLS12 : supportedVersions.includes(TLS12);
  if (offers13 && ours.includes('TLSv1.3')) {
    return 'TLSv1.3';
  }
  if (hello.cipherSuites.includes(TLS_FALLBACK_SCSV) && (ours.includes('TLSv1.3') || !offers12)) {
    throw new TLSError(
      'TLS_ERR_INAPPROPRIATE_FALLBACK',
      'the client fell back to a version below the one of this server',
    );
  }
  if (offers12 && ours.includes('TLSv1.2')) {
    return 'TLSv1.2';
  }
  throw new TLSError('TLS_ERR_PROTOCOL_VERSION', `the client offers none of the versions ${ours.join(', ')}`);
}

/** Refuses a hello that lacks what TLS 1.2 demands here. */
export function checkClientHello12(
  options: ServerOptions,
  hello: ClientHello,
  previous: PreviousHandshake | undefined,
): void {
  const { extensions } = hello;
  if (extensions.ecPointFormats !== undefined && !extensions.ecPointFormats.includes(UNCOMPRESSED)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the client does not support uncompressed points');
  }
  checkRenegotiationInfo(hello, previous);
  if (extensions.extendedMasterSecret !== true && options.allowLegacyMasterSecret !== true) {
    throw new TLSError(
      'TLS_ERR_EXTENDED_MASTER_SECRET',
      'the client does not support extended master secret (allowLegacyMasterSecret goes on without)',
    );
  }
}

/** RFC 5746 §3.6, §3.7: without this a handshake of somebody else could be joined to the client's. */
function checkRenegotiationInfo(hello: ClientHello, previous: PreviousHandshake | undefined): void {
  const { renegotiationInfo } = hello.extensions;
  if (previous === undefined) {
    if (renegotiationInfo !== undefined && renegotiationInfo.length !== 0) {
      throw new TLSError(
        'TLS_ERR_INSECURE_RENEGOTIATION',
        'the first ClientHello of the connection says that it renegotiates another',
      );
    }
    return;
  }
  const isBound = renegotiationInfo !== undefined && sameBytes(renegotiationInfo, previous.clientVerifyData);
  if (!isBound || hello.cipherSuites.includes(TLS_EMPTY_RENEGOTIATION_INFO_SCSV)) {
    throw new TLSError(
      'TLS_ERR_INSECURE_RENEGOTIATION',
      'the renegotiating ClientHello is not bound to this connection',
    );
  }
}

/** The suites that the client offers and the server allows, in the server's order. */
export function commonSuites12(options: ServerOptions, hello: ClientHello): readonly CipherSuite12[] {
  const ours = options.cipherSuites12 ?? ECDHE_SUITES;
  const common: CipherSuite12[] = [];
  for (const name of ours) {
    const suite = cipherSuites12[name];
    if (hello.cipherSuites.includes(suite.code)) {
      common.push(suite);
    }
  }
  return common;
}

export interface Chosen12 {
  readonly suite: CipherSuite12;
  readonly group: GroupInfo12;
  readonly credential: Credential;
  readonly scheme: SignatureScheme;
}

/** The first of these common suites for which there is a credential that can sign in a way the client accepts. */
export function chooseFull12(options: {
  readonly server: ServerOptions;
  readonly hello: ClientHello;
  readonly info: ClientHelloInfo;
  readonly context: ServerContext;
  readonly suites: readonly CipherSuite12[];
}): Chosen12 {
  const { server, hello, info, context, suites } = options;
  if (suites.length === 0) {
    throw new TLSError('TLS_ERR_NO_COMMON_SUITE', 'the client offers no TLS 1.2 cipher suite that this server speaks');
  }
  const groups = { ecdhe: chooseCurve12(server, hello), dhe: chooseFfdheGroup12(server, hello) };
  const usable = suites.filter((suite) => groups[suite.keyExchange] !== undefined);
  // A chain that the client cannot check is worse than a suite that comes second.
  for (const credentials of poolsByWishes(context.credentials, clientWishes(info))) {
    const chosen = chooseSigner(usable, credentials, info);
    if (chosen !== undefined) {
      const { suite, credential, scheme } = chosen;
      return { suite, group: present(groups[suite.keyExchange]), credential, scheme };
    }
  }
  if (usable.length === 0) {
    const isForDhe = suites.some((suite) => suite.keyExchange === 'dhe');
    throw new TLSError(
      'TLS_ERR_NO_COMMON_GROUP',
      'the client supports no key exchange group that this server speaks for a common cipher suite',
      // RFC 7919 §4.
      isForDhe ? { alert: 'insufficient_security' } : {},
    );
  }
  throw new TLSError(
    'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME',
    "the client accepts no signature that this server's certificates can make with a common cipher suite",
  );
}

function chooseSigner(
  suites: readonly CipherSuite12[],
  credentials: readonly Credential[],
  info: ClientHelloInfo,
): Omit<Chosen12, 'group'> | undefined {
  for (const suite of suites) {
    for (const credential of credentials) {
      const scheme = schemesToSign(credential, 'TLSv1.2').find((candidate) =>
        info.signatureSchemes.includes(candidate),
      );
      if (scheme !== undefined && isRsa(scheme) === (suite.authentication === 'rsa')) {
        return { suite, credential, scheme };
      }
    }
  }
  return undefined;
}

/** A client that names no groups gets P-256, which every one of them has (RFC 8422 §5.1.1). */
function chooseCurve12(options: ServerOptions, hello: ClientHello): NamedGroupInfo | undefined {
  const theirs = hello.extensions.supportedGroups ?? [namedGroups.secp256r1.code];
  const name = (options.namedGroups ?? ALL_GROUPS).find(
    (candidate) =>
      candidate !== 'X25519MLKEM768' &&
      theirs.includes(namedGroups[candidate].code) &&
      options.provider.supportsGroup(candidate),
  );
  return name === undefined ? undefined : namedGroups[name];
}

/**
 * A client that names finite field groups, be they unknown here, gets one of those or none; one that names no such group
 * knows nothing of RFC 7919 and takes what it gets (§4).
 */
function chooseFfdheGroup12(options: ServerOptions, hello: ClientHello): FfdheGroupInfo | undefined {
  const theirs = hello.extensions.supportedGroups?.filter(isFfdheCode) ?? [];
  const ours = ffdheGroups12(options).map((name) => ffdheGroups[name]);
  return theirs.length === 0 ? ours[0] : ours.find((group) => theirs.includes(group.code));
}

function isRsa(scheme: SignatureScheme): boolean {
  return scheme.startsWith('rsa_');
}

const UNCOMPRESSED = 0;
const ECDHE_SUITES = (Object.keys(cipherSuites12) as CipherSuite12Name[]).filter(
  (name) => cipherSuites12[name].keyExchange === 'ecdhe',
);
