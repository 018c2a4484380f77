/**
 * The TLS 1.2 pseudorandom function and what is made with it.
 *
 *     P_hash(secret, seed) = HMAC(secret, A(1) ‖ seed) ‖ HMAC(secret, A(2) ‖ seed) ‖ …,  A(0) = seed, A(i) = HMAC(secret, A(i-1))
 *     PRF(secret, label, seed) = P_hash(secret, label ‖ seed)
 *     extended master secret = PRF(preMasterSecret, "extended master secret", sessionHash)[0..47]
 *     master secret          = PRF(preMasterSecret, "master secret", client_random ‖ server_random)[0..47]
 *     key block              = PRF(masterSecret, "key expansion", server_random ‖ client_random)
 *     verify_data            = PRF(masterSecret, finished_label, Hash(handshake_messages))[0..11]
 *
 * RFC 5246 §5, §6.3, §7.4.9, §8.1; RFC 7627 §4.
 */

import { concat, utf8 } from '../bytes/bytes.ts';
import { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { HashName } from '../crypto/suites.ts';
import type { TrafficKeys } from '../record/traffic-keys.ts';

export const MASTER_SECRET_LENGTH = 48;
export const VERIFY_DATA_LENGTH = 12;

/** PRF output of `length` bytes. */
export function prf(options: {
  readonly provider: CryptoProvider;
  readonly hash: HashName;
  readonly secret: Secret;
  readonly label: string;
  readonly seed: Uint8Array;
  readonly length: number;
  readonly kind: string;
}): Secret {
  const { provider, hash, secret, label, seed, length, kind } = options;
  const key = secret.expose();
  const labelAndSeed = concat(utf8(label), seed);
  const fill = (out: Uint8Array) => {
    let a = provider.hmacOfRandomKey(hash, key, labelAndSeed);
    const input = new Uint8Array(new ArrayBuffer(a.length + labelAndSeed.length));
    input.set(labelAndSeed, a.length);
    for (let at = 0; at < length; ) {
      input.set(a);
      const block = provider.hmacOfRandomKey(hash, key, input);
      const taken = Math.min(block.length, length - at);
      out.set(taken === block.length ? block : block.subarray(0, taken), at);
      block.fill(0);
      at += taken;
      if (at < length) {
        const next = provider.hmacOfRandomKey(hash, key, a);
        a.fill(0);
        a = next;
      }
    }
    a.fill(0);
    input.fill(0);
  };
  return Secret.create(kind, length, fill, secret.id);
}

/** The master secret of a connection with extended_master_secret; spends the premaster secret. */
export function extendedMasterSecret(
  provider: CryptoProvider,
  hash: HashName,
  preMasterSecret: Secret,
  sessionHash: Uint8Array,
): Secret {
  const made = prf({
    provider,
    hash,
    secret: preMasterSecret,
    label: 'extended master secret',
    seed: sessionHash,
    length: MASTER_SECRET_LENGTH,
    kind: 'extendedMasterSecret',
  });
  preMasterSecret.erase();
  return made;
}

/** The master secret without the extension (only under `allowLegacyMasterSecret`); spends the premaster secret. */
export function legacyMasterSecret(
  provider: CryptoProvider,
  hash: HashName,
  preMasterSecret: Secret,
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
): Secret {
  const made = prf({
    provider,
    hash,
    secret: preMasterSecret,
    label: 'master secret',
    seed: concat(clientRandom, serverRandom),
    length: MASTER_SECRET_LENGTH,
    kind: 'masterSecret',
  });
  preMasterSecret.erase();
  return made;
}

export interface KeyBlock {
  readonly client: TrafficKeys;
  readonly server: TrafficKeys;
}

/** Cuts the key block into the write keys and implicit nonces of both ends: AEAD suites have no MAC keys. */
export function keyBlock(options: {
  readonly provider: CryptoProvider;
  readonly hash: HashName;
  readonly masterSecret: Secret;
  readonly clientRandom: Uint8Array;
  readonly serverRandom: Uint8Array;
  readonly keyLength: number;
  /** 4 for AES-GCM (RFC 5288 §3), 12 for ChaCha20-Poly1305 (RFC 7905 §2). */
  readonly ivLength: number;
}): KeyBlock {
  const { provider, hash, masterSecret, clientRandom, serverRandom, keyLength, ivLength } = options;
  const block = prf({
    provider,
    hash,
    secret: masterSecret,
    label: 'key expansion',
    seed: concat(serverRandom, clientRandom),
    length: 2 * (keyLength + ivLength),
    kind: 'keyBlock',
  });
  const bytes = block.expose();
  const ivs = 2 * keyLength;
  const cut = (kind: string, at: number, length: number) =>
    Secret.copy(kind, bytes.subarray(at, at + length), block.id);
  const cutBlock: KeyBlock = {
    client: { writeKey: cut('clientWriteKey', 0, keyLength), writeIv: cut('clientImplicitNonce', ivs, ivLength) },
    server: {
      writeKey: cut('serverWriteKey', keyLength, keyLength),
      writeIv: cut('serverImplicitNonce', ivs + ivLength, ivLength),
    },
  };
  block.erase();
  return cutBlock;
}

/** verify_data of a Finished message, 12 bytes; not secret once sent. */
export function finishedVerifyData12(options: {
  readonly provider: CryptoProvider;
  readonly hash: HashName;
  readonly masterSecret: Secret;
  readonly sender: 'client' | 'server';
  readonly transcriptHash: Uint8Array;
}): Uint8Array {
  const { provider, hash, masterSecret, sender, transcriptHash } = options;
  const made = prf({
    provider,
    hash,
    secret: masterSecret,
    label: `${sender} finished`,
    seed: transcriptHash,
    length: VERIFY_DATA_LENGTH,
    kind: `${sender}VerifyData`,
  });
  const verifyData = made.use((bytes) => new Uint8Array(bytes));
  made.erase();
  return verifyData;
}
