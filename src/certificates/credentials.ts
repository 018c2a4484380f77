/** The server's side of certificates: which credential answers a client, and whether key and certificate belong together. */

import type { ClientHelloInfo } from '../actions.ts';
import { sameBytes } from '../bytes/bytes.ts';
import type { Credential } from '../connection-options.ts';
import type { SignatureScheme } from '../crypto/signatures.ts';
import type { ParsedCertificate } from './certificate.ts';
import { DerReader, TAG_SEQUENCE } from './der.ts';
import { keyOids } from './oids.ts';

/** The first credential that can make a signature the client accepts (RFC 9846 §4.5.1.2); undefined when none can. */
export function chooseCredential(credentials: readonly Credential[], info: ClientHelloInfo): Credential | undefined {
  return credentials.find((credential) => chooseScheme(credential, info.signatureSchemes) !== undefined);
}

/** The credential's best scheme among those the client accepts; undefined when there is none. */
export function chooseScheme(
  credential: Credential,
  accepted: readonly SignatureScheme[],
): SignatureScheme | undefined {
  return credential.schemes.find((scheme) => accepted.includes(scheme));
}

/**
 * True when the public key, given as SubjectPublicKeyInfo, is the certificate's. Differences in encoding that change
 * nothing (RSA parameters NULL or absent) are passed over.
 * @throws TLSError `TLS_ERR_BAD_CERTIFICATE` when `spki` is not DER
 */
export function keyMatchesCertificate(spki: Uint8Array, certificate: ParsedCertificate): boolean {
  if (sameBytes(spki, certificate.publicKey.der)) {
    return true;
  }
  const body = new DerReader(spki, 'subjectPublicKeyInfo').enter(TAG_SEQUENCE, 'body');
  const algorithm = body.enter(TAG_SEQUENCE, 'algorithm').oid('algorithm');
  const key = body.bitString('subjectPublicKey').bytes;
  const own = certificate.publicKey;
  return algorithm === own.algorithm.oid && algorithm !== keyOids.ecPublicKey && sameBytes(key, own.key);
}
