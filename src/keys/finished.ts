/**
 * Finished values and PSK binders: the same MAC over a transcript hash.
 *
 *     verify_data = HMAC(finished_key, Transcript-Hash(Handshake Context, Certificate*, CertificateVerify*))
 *     binder      = the same, with finished_key made from binder_key
 *
 * RFC 9846 §4.5.3, §4.3.11.2.
 */

import { EMPTY } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { HashName } from '../crypto/suites.ts';
import { expandLabel, hashLength, PreparedLabel } from './hkdf.ts';
import type { TrafficSecret } from './traffic.ts';

const FINISHED = new PreparedLabel('finished');

/** verify_data for the sender whose handshake traffic secret this is. */
export function finishedVerifyData(
  provider: CryptoProvider,
  secret: TrafficSecret,
  transcriptHash: Uint8Array,
): Uint8Array {
  const key = secret.finishedKey();
  const verifyData = provider.publicHmac(secret.suite.hash, key.expose(), transcriptHash);
  key.erase();
  return verifyData;
}

/** A binder over the truncated ClientHello; spends the binder key. */
export function pskBinder(
  provider: CryptoProvider,
  hash: HashName,
  binderKey: Secret,
  transcriptHash: Uint8Array,
): Uint8Array {
  const key = expandLabel(provider, hash, binderKey, FINISHED, EMPTY, hashLength(hash), 'finishedKey');
  binderKey.erase();
  const binder = provider.hmac(hash, key.expose(), transcriptHash);
  key.erase();
  return binder;
}
