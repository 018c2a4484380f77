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

import { concat, utf8, wipe } from '../bytes/bytes.ts';
import { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { HashName } from '../crypto/suites.ts';
import type { TrafficKeys } from '../record/traffic-keys.ts';
import { hashLength } from './hkdf.ts';

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
  /** The output is told to the peer. Default false. */
  readonly isTold?: boolean;
}): Secret {
  const { provider, hash, secret, label, seed, length, kind, isTold = false } = options;
  const key = secret.expose();
  const blockLength = hashLength(hash);
  const name = utf8(label);
  const seedAt = blockLength + name.length;
  const inputLength = seedAt + seed.length;
  // Room for A(i), and behind it label and seed.
  const input = inputLength > workspace.length ? new Uint8Array(new ArrayBuffer(inputLength)) : workspace;
  input.set(name, blockLength);
  input.set(seed, seedAt);
  const whole = input.subarray(0, inputLength);
  const fill = (out: Uint8Array) => {
    // A(i) tells nothing of what is made with it: that takes the key again.
    let a = provider.publicHmac(hash, key, input.subarray(blockLength, inputLength));
    for (let at = 0; at < length; ) {
      input.set(a);
      const block = isTold ? provider.publicHmac(hash, key, whole) : provider.hmacOfRandomKey(hash, key, whole);
      const taken = Math.min(blockLength, length - at);
      out.set(taken === blockLength ? block : block.subarray(0, taken), at);
      wipe(block);
      at += taken;
      if (at < length) {
        const next = provider.publicHmac(hash, key, a);
        wipe(a);
        a = next;
      }
    }
    wipe(a);
    wipe(input, 0, inputLength);
  };
  return Secret.create(kind, length, fill, secret.id);
}

/** Bytes: SHA-384, the longest label in use and two randoms. */
const WORKSPACE_LENGTH = 48 + 24 + 64;
/** Kept between calls: nothing runs while one is at work, since all calls are synchronous. Erased after each. */
const workspace = new Uint8Array(new ArrayBuffer(WORKSPACE_LENGTH));

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
  const { id } = block;
  const bytes = block.surrender('cut into keys');
  const ivs = 2 * keyLength;
  // The parts stay where they are: each is erased by itself.
  const cut = (kind: string, at: number, length: number) =>
    Secret.adopt(kind, bytes.subarray(at, at + length), length, id);
  return {
    client: { writeKey: cut('clientWriteKey', 0, keyLength), writeIv: cut('clientImplicitNonce', ivs, ivLength) },
    server: {
      writeKey: cut('serverWriteKey', keyLength, keyLength),
      writeIv: cut('serverImplicitNonce', ivs + ivLength, ivLength),
    },
  };
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
    label: FINISHED_LABELS[sender],
    seed: transcriptHash,
    length: VERIFY_DATA_LENGTH,
    kind: VERIFY_DATA_KINDS[sender],
    isTold: true,
  });
  return made.surrender('told to the peer');
}

const FINISHED_LABELS = { client: 'client finished', server: 'server finished' } as const;
const VERIFY_DATA_KINDS = { client: 'clientVerifyData', server: 'serverVerifyData' } as const;
