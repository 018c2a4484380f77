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

import { EMPTY, utf8, wipe } from '../bytes/bytes.ts';
import { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { HashName } from '../crypto/suites.ts';
import type { TrafficKeys } from '../record/traffic-keys.ts';
import { hashLength } from './hkdf.ts';

export const MASTER_SECRET_LENGTH = 48;
export const VERIFY_DATA_LENGTH = 12;

/** PRF output of `length` bytes, for any label. */
export function prf(options: {
  readonly provider: CryptoProvider;
  readonly hash: HashName;
  readonly secret: Secret;
  readonly label: string;
  readonly seed: Uint8Array;
  readonly length: number;
  readonly kind: string;
}): Secret {
  const { label, seed, length, kind } = options;
  return derive(options, new PrfLabel(label).input(options.hash, seed, EMPTY), length, kind);
}

/** Whose pseudorandom function it is. */
interface PrfKey {
  readonly provider: CryptoProvider;
  readonly hash: HashName;
  readonly secret: Secret;
}

function derive(key: PrfKey, input: Input, length: number, kind: string): Secret {
  const out = new Uint8Array(new ArrayBuffer(length));
  expand(key, input, out, false);
  return Secret.adopt(kind, out, length, key.secret.id);
}

/** P_hash, as much as `out` takes. `isTold`: the output is told to the peer. */
function expand({ provider, hash, secret }: PrfKey, input: Input, out: Uint8Array, isTold: boolean): void {
  const { whole, labelAndSeed, seedAt } = input;
  const key = secret.expose();
  const blockLength = hashLength(hash);
  // A(i) tells nothing of what is made with it: that takes the key again.
  let a = provider.publicHmac(hash, key, labelAndSeed);
  for (let at = 0; at < out.length; at += blockLength) {
    if (at > 0) {
      const next = provider.publicHmac(hash, key, a);
      wipe(a);
      a = next;
    }
    whole.set(a);
    const block = isTold ? provider.publicHmac(hash, key, whole) : provider.hmacOfRandomKey(hash, key, whole);
    const taken = Math.min(blockLength, out.length - at);
    for (let i = 0; i < taken; i++) {
      out[at + i] = block[i];
    }
    wipe(block);
  }
  wipe(a);
  wipe(whole, 0, blockLength);
  wipe(whole, seedAt);
}

/** What P_hash reads: A(i) ‖ label ‖ seed. */
interface Input {
  readonly whole: Uint8Array;
  /** A view of it. */
  readonly labelAndSeed: Uint8Array;
  readonly seedAt: number;
}

/** A label with room for A(i) before it and for the seed behind it, put together once for each hash. */
class PrfLabel {
  readonly #label: string;
  readonly #inputs: Record<HashName, Input | undefined> = { sha256: undefined, sha384: undefined };

  constructor(label: string) {
    this.#label = label;
  }

  /** Valid until the next call: nothing runs while one is at work, since all calls are synchronous. */
  input(hash: HashName, seed: Uint8Array, restOfSeed: Uint8Array): Input {
    const length = seed.length + restOfSeed.length;
    let input = this.#inputs[hash];
    if (input === undefined || input.whole.length !== input.seedAt + length) {
      input = makeInput(hash, this.#label, length);
      this.#inputs[hash] = input;
    }
    const { whole, seedAt } = input;
    whole.set(seed, seedAt);
    whole.set(restOfSeed, seedAt + seed.length);
    return input;
  }
}

function makeInput(hash: HashName, label: string, seedLength: number): Input {
  const name = utf8(label);
  const blockLength = hashLength(hash);
  const seedAt = blockLength + name.length;
  const whole = new Uint8Array(new ArrayBuffer(seedAt + seedLength));
  whole.set(name, blockLength);
  return { whole, labelAndSeed: whole.subarray(blockLength), seedAt };
}

/** The master secret of a connection with extended_master_secret; spends the premaster secret. */
export function extendedMasterSecret(
  provider: CryptoProvider,
  hash: HashName,
  preMasterSecret: Secret,
  sessionHash: Uint8Array,
): Secret {
  const input = EXTENDED_MASTER_SECRET.input(hash, sessionHash, EMPTY);
  const key = { provider, hash, secret: preMasterSecret };
  const made = derive(key, input, MASTER_SECRET_LENGTH, 'extendedMasterSecret');
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
  const input = MASTER_SECRET.input(hash, clientRandom, serverRandom);
  const key = { provider, hash, secret: preMasterSecret };
  const made = derive(key, input, MASTER_SECRET_LENGTH, 'masterSecret');
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
  const length = 2 * (keyLength + ivLength);
  const input = KEY_EXPANSION.input(hash, serverRandom, clientRandom);
  const block = derive({ provider, hash, secret: masterSecret }, input, length, 'keyBlock');
  const { id } = block;
  const bytes = block.surrender('cut into keys');
  const ivs = 2 * keyLength;
  // The parts stay where they are: each is erased by itself.
  return {
    client: {
      writeKey: Secret.adopt('clientWriteKey', bytes.subarray(0, keyLength), keyLength, id),
      writeIv: Secret.adopt('clientImplicitNonce', bytes.subarray(ivs, ivs + ivLength), ivLength, id),
    },
    server: {
      writeKey: Secret.adopt('serverWriteKey', bytes.subarray(keyLength, ivs), keyLength, id),
      writeIv: Secret.adopt('serverImplicitNonce', bytes.subarray(ivs + ivLength), ivLength, id),
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
  // On V8's heap, which is no place for a secret: cheaper, and the peer is told.
  const out = new Uint8Array(VERIFY_DATA_LENGTH);
  const input = FINISHED[sender].input(hash, transcriptHash, EMPTY);
  expand({ provider, hash, secret: masterSecret }, input, out, true);
  return Secret.adopt(VERIFY_DATA_KINDS[sender], out, out.length, masterSecret.id).surrender('told to the peer');
}

const EXTENDED_MASTER_SECRET = new PrfLabel('extended master secret');
const MASTER_SECRET = new PrfLabel('master secret');
const KEY_EXPANSION = new PrfLabel('key expansion');
const FINISHED = { client: new PrfLabel('client finished'), server: new PrfLabel('server finished') } as const;
const VERIFY_DATA_KINDS = { client: 'clientVerifyData', server: 'serverVerifyData' } as const;
