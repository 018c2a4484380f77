/** Whether a private key and a certificate belong together. */

import { sameBytes } from '../bytes/bytes.ts';
import type { ParsedCertificate } from './certificate.ts';
import { DerReader, TAG_SEQUENCE } from './der.ts';
import { keyOids } from './oids.ts';

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
