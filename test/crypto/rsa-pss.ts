/** RSA-PSS keys whose parameters restrict what they may be used for (RFC 4055 §3.1). */

import { generateKeyPairSync, type KeyPairKeyObjectResult, type RSAPSSKeyPairKeyObjectOptions } from 'node:crypto';

/** @param saltLength the least length, in bytes */
export function restrictedRsaPss(hash: string, mgf1Hash: string, saltLength: number): KeyPairKeyObjectResult {
  // The published types have the salt length as text; Node takes a number.
  const options = { modulusLength: 2048, hashAlgorithm: hash, mgf1HashAlgorithm: mgf1Hash, saltLength };
  return generateKeyPairSync('rsa-pss', options as unknown as RSAPSSKeyPairKeyObjectOptions);
}
