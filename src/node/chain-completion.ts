/**
 * A certificate that is given alone, and whose issuers stand in `ca`: they are sent with it, up to the root but without it,
 * which a peer has or does not trust. `node:tls` does the same, so that many servers have their bundle there.
 */

import type { ParsedCertificate } from '../certificates/certificate.ts';
import type { TrustStore } from '../certificates/trust-store.ts';
import { verifyCertificateSignature } from '../crypto/x509.ts';

/** What to send: `chain` as it stands, if it has more than a leaf. */
export function completeChain(
  chain: readonly Uint8Array[],
  leaf: ParsedCertificate,
  roots: TrustStore | undefined,
): readonly Uint8Array[] {
  if (chain.length !== 1 || roots === undefined) {
    return chain;
  }
  const whole = [...chain];
  for (let last = leaf; !last.selfIssued && whole.length <= MAX_ISSUERS; ) {
    const issuers = roots.bySubject(last.issuer).filter((issuer) => hasSigned(issuer, last));
    if (issuers.length === 0 || issuers.some(({ selfIssued }) => selfIssued)) {
      break;
    }
    [last] = issuers;
    whole.push(last.raw);
  }
  return whole;
}

/** An algorithm that we do not verify is the peer's to judge. */
function hasSigned(issuer: ParsedCertificate, { signatureAlgorithm, tbs, signature }: ParsedCertificate): boolean {
  const verdict = verifyCertificateSignature({
    algorithmOid: signatureAlgorithm.oid,
    algorithmParameters: signatureAlgorithm.parameters,
    issuerSpki: issuer.publicKey.der,
    tbs,
    signature,
  });
  return verdict !== false;
}

/** Certificates that issue each other in a circle would never end. */
const MAX_ISSUERS = 8;
