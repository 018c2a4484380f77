/**
 * Which of several certificates serves a peer: one that meets more of its wishes goes before one that meets fewer, whatever
 * the order that they were given in; one that meets none is still better than none.
 *
 * - `signature_algorithms_cert` (or `signature_algorithms` in its place) must be met where that is possible, and a chain of
 *   our choice is sent where it is not: many a client says less than it can. RFC 9846 §4.3.3, §4.5.1.2.
 * - The names of authorities should be met: RFC 9846 §4.3.4, §4.5.1.3; RFC 5246 §7.4.4. A client that holds no certificate
 *   under any of them sends its first, as OpenSSL does: it was given for this server, whose list may lack an intermediate.
 * - oid_filters need not be understood (RFC 9846 §4.3.5), and are not.
 *
 * Whether the key can sign as the peer wants is no wish: the caller sees to it.
 */

import { sameBytes } from '../bytes/bytes.ts';
import type { Credential } from '../connection-options.ts';
import type { PrivateKey } from '../crypto/provider.ts';
import { type SignatureScheme, signatureSchemes } from '../crypto/signatures.ts';

export interface CredentialWishes {
  /** Code points, for the signatures within the chain. */
  readonly chainSchemes: readonly number[];
  /** DER names; empty for any. */
  readonly authorities: readonly Uint8Array[];
}

/** What the core signs with itself; undefined where it asks the host. */
export function keyAtHand({ privateKey, asksToSign }: Credential): PrivateKey | undefined {
  return asksToSign === true ? undefined : privateKey;
}

/** All of them, the most fitting first. */
export function byWishes(credentials: readonly Credential[], wishes: CredentialWishes): readonly Credential[] {
  return poolsByWishes(credentials, wishes).flat();
}

/** All of them in pools, each of which fits better than the next. */
export function poolsByWishes(
  credentials: readonly Credential[],
  wishes: CredentialWishes,
): readonly (readonly Credential[])[] {
  if (credentials.length < 2) {
    return [credentials];
  }
  const pools: [Credential[], Credential[], Credential[], Credential[]] = [[], [], [], []];
  for (const credential of credentials) {
    const misses =
      (isSignedAs(credential, wishes.chainSchemes) ? 0 : 2) + (isUnder(credential, wishes.authorities) ? 0 : 1);
    pools[misses].push(credential);
  }
  return pools;
}

/** What a server's CertificateRequest says of our chain. */
export function wishesOf(request: {
  readonly signatureAlgorithms: readonly number[];
  readonly signatureAlgorithmsCert?: readonly number[];
  readonly certificateAuthorities?: readonly Uint8Array[];
}): CredentialWishes {
  const { signatureAlgorithms, signatureAlgorithmsCert = signatureAlgorithms, certificateAuthorities = [] } = request;
  return { chainSchemes: signatureAlgorithmsCert, authorities: certificateAuthorities };
}

function isSignedAs({ chainSchemes = [] }: Credential, accepted: readonly number[]): boolean {
  return chainSchemes.every(
    (scheme) =>
      scheme !== undefined && alike(scheme).some((candidate) => accepted.includes(signatureSchemes[candidate])),
  );
}

/** A certificate says that it is signed with RSA-PSS; with which kind of RSA key, only its issuer's tells. */
function alike(scheme: SignatureScheme): readonly SignatureScheme[] {
  return scheme.startsWith('rsa_pss_rsae_') ? [scheme, scheme.replace('rsae', 'pss') as SignatureScheme] : [scheme];
}

function isUnder({ issuers = [] }: Credential, authorities: readonly Uint8Array[]): boolean {
  return authorities.length === 0 || issuers.some((issuer) => authorities.some((name) => sameBytes(name, issuer)));
}
