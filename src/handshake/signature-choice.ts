/**
 * Which signatures a handshake may have: those that we make, and those that we ask for and take.
 *
 *     SignatureScheme supported_signature_algorithms<2..2^16-2>;
 *
 * RFC 9846 §4.3.3; RFC 5246 §7.4.1.4.1. PKCS #1 v1.5 signs a handshake in TLS 1.2 alone.
 */

import type { Credential, ProtocolVersion } from '../connection-options.ts';
import {
  certificateSchemes,
  certificateVerifySchemes,
  type SignatureScheme,
  schemesInTls12,
  signatureSchemeByCode,
  signatureSchemes,
} from '../crypto/signatures.ts';
import { TLSError } from '../errors.ts';

/** How a credential may sign in this version, best first. */
export function schemesToSign(credential: Credential, version: ProtocolVersion): readonly SignatureScheme[] {
  const { schemes, allowedSchemes } = credential;
  const possible = version === 'TLSv1.2' ? schemesInTls12(schemes) : schemes.filter(isOfTls13);
  return allowedSchemes === undefined ? possible : allowedSchemes.filter((scheme) => possible.includes(scheme));
}

/** How the peer may sign in this version, best first, where `acceptedSchemes` says so much. */
export function schemesToTake(
  acceptedSchemes: readonly SignatureScheme[] | undefined,
  version: ProtocolVersion,
): readonly SignatureScheme[] {
  const safe = version === 'TLSv1.2' ? certificateSchemes : certificateVerifySchemes;
  return acceptedSchemes === undefined ? safe : acceptedSchemes.filter((scheme) => safe.includes(scheme));
}

/**
 * The same as code points, for the peer.
 * @throws TLSError `TLS_ERR_CONFIG` none is left in this version
 */
export function codesToTake(
  acceptedSchemes: readonly SignatureScheme[] | undefined,
  version: ProtocolVersion,
): readonly number[] {
  if (acceptedSchemes === undefined) {
    return version === 'TLSv1.2' ? allCodes : codes13;
  }
  const schemes = schemesToTake(acceptedSchemes, version);
  if (schemes.length === 0) {
    throw new TLSError('TLS_ERR_CONFIG', `acceptedSchemes: none of them signs a handshake of ${version}`);
  }
  return schemes.map((scheme) => signatureSchemes[scheme]);
}

/**
 * What the peer says that it signed with.
 * @throws TLSError `TLS_ERR_ILLEGAL_PARAMETER` for what it was not offered
 */
export function takeScheme(options: {
  readonly code: number;
  readonly acceptedSchemes: readonly SignatureScheme[] | undefined;
  readonly version: ProtocolVersion;
  readonly peer: 'client' | 'server';
}): SignatureScheme {
  const { code, acceptedSchemes, version, peer } = options;
  const scheme = signatureSchemeByCode(code);
  if (scheme === undefined || !schemesToTake(acceptedSchemes, version).includes(scheme)) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the ${peer} signed with scheme ${scheme ?? code}, which was not offered`,
    );
  }
  return scheme;
}

function isOfTls13(scheme: SignatureScheme): boolean {
  return certificateVerifySchemes.includes(scheme);
}

const codes13 = certificateVerifySchemes.map((scheme) => signatureSchemes[scheme]);
const allCodes = certificateSchemes.map((scheme) => signatureSchemes[scheme]);

/** For `signature_algorithms_cert`: how certificates may be signed, whatever signs the handshake. */
export const certificateSchemeCodes: readonly number[] = allCodes;
