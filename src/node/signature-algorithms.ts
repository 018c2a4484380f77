/**
 * The option `sigalgs` of `node:tls`: names with colons in between, OpenSSL's (`ECDSA+SHA256`, `RSA-PSS+SHA256`, `PSS+SHA256`,
 * `RSA+SHA256`, `ed25519`) or IANA's (`ecdsa_secp256r1_sha256`), best first.
 *
 * RFC 9846 §4.3.3.
 */

import type { Credential, ProtocolVersion } from '../connection-options.ts';
import { certificateVerifySchemes, type SignatureScheme, signatureSchemes } from '../crypto/signatures.ts';
import { TLSError } from '../errors.ts';
import { schemesToSign } from '../handshake/signature-choice.ts';

/**
 * @throws TLSError `TLS_ERR_NOT_SUPPORTED` a name that is unknown, or known and unsafe, e.g. with SHA-1; `TLS_ERR_CONFIG` none of
 * them is of TLS 1.3, which is allowed
 */
export function parseSigalgs(
  sigalgs: string | undefined | null,
  versions: readonly ProtocolVersion[],
): readonly SignatureScheme[] | undefined {
  if (sigalgs === undefined || sigalgs === null) {
    return undefined;
  }
  const schemes = [...new Set(String(sigalgs).split(':').map(parseName))];
  if (versions.includes('TLSv1.3') && !schemes.some((scheme) => certificateVerifySchemes.includes(scheme))) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `sigalgs: TLS 1.3 has no use for ${schemes.join(', ')}; name one that it has, or allow TLS 1.2 alone (maxVersion)`,
    );
  }
  return schemes;
}

/**
 * A certificate that could never be shown, or a version in which none could, is refused rather than found out by clients.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function checkSigalgs(credentials: readonly Credential[], versions: readonly ProtocolVersion[]): void {
  const usable = (credential: Credential, version: ProtocolVersion) => schemesToSign(credential, version).length > 0;
  for (const credential of credentials) {
    if (!versions.some((version) => usable(credential, version))) {
      throw new TLSError(
        'TLS_ERR_CONFIG',
        `sigalgs: none of the schemes fits the certificate's key, which makes ${credential.schemes.join(', ')}`,
      );
    }
  }
  for (const version of versions) {
    if (credentials.length > 0 && !credentials.some((credential) => usable(credential, version))) {
      throw new TLSError('TLS_ERR_CONFIG', `sigalgs: none of the schemes fits a certificate's key in ${version}`);
    }
  }
}

function parseName(name: string): SignatureScheme {
  const scheme = opensslNames.get(name.toUpperCase()) ?? name.toLowerCase();
  if (!Object.hasOwn(signatureSchemes, scheme)) {
    const known = Object.keys(signatureSchemes).join(', ');
    throw new TLSError('TLS_ERR_NOT_SUPPORTED', `sigalgs: expected names among ${known}, got ${name}`);
  }
  return scheme as SignatureScheme;
}

const opensslNames = new Map<string, SignatureScheme>([
  ['ECDSA+SHA256', 'ecdsa_secp256r1_sha256'],
  ['ECDSA+SHA384', 'ecdsa_secp384r1_sha384'],
  ['ECDSA+SHA512', 'ecdsa_secp521r1_sha512'],
  ['RSA-PSS+SHA256', 'rsa_pss_rsae_sha256'],
  ['RSA-PSS+SHA384', 'rsa_pss_rsae_sha384'],
  ['RSA-PSS+SHA512', 'rsa_pss_rsae_sha512'],
  ['PSS+SHA256', 'rsa_pss_rsae_sha256'],
  ['PSS+SHA384', 'rsa_pss_rsae_sha384'],
  ['PSS+SHA512', 'rsa_pss_rsae_sha512'],
  ['RSA+SHA256', 'rsa_pkcs1_sha256'],
  ['RSA+SHA384', 'rsa_pkcs1_sha384'],
  ['RSA+SHA512', 'rsa_pkcs1_sha512'],
]);
