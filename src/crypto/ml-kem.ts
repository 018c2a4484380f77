/**
 * ML-KEM-768 (FIPS 203): by `node:crypto` where it has it, else by `@noble/post-quantum`, which is loaded when first
 * needed.
 *
 *     encapsulation key 1184 bytes, ciphertext 1088, shared secret 32, key generation seed d || z 64
 *
 * The encapsulation key check of FIPS 203 §7.2 (length and modulus) is made by both. A ciphertext of the right length
 * always decapsulates: a wrong one to a secret that nobody else has (§6.3).
 */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { createRequire } from 'node:module';
import type { MLKEM } from '@noble/post-quantum/ml-kem.js';
import { exportRawPublic, hasNativeMlKem, newerCrypto } from './capabilities.ts';
import { badKeyShare, checkShareLength, type Exchange, type RandomSource, spentKeyShare } from './exchange.ts';

export const ENCAPSULATION_KEY_LENGTH = 1184;
export const CIPHERTEXT_LENGTH = 1088;
export const SEED_LENGTH = 64;
const MESSAGE_LENGTH = 32;
const GROUP = 'X25519MLKEM768';

export interface MlKemEncapsulation {
  readonly ciphertext: Uint8Array;
  /** 32 bytes that the caller erases. */
  readonly sharedSecret: Uint8Array;
}

export interface MlKem {
  /**
   * A one-use decapsulation key; `publicKey` is the encapsulation key and `agree` decapsulates.
   * @param seed 64 bytes (d || z), taken over and erased; made by the implementation when absent
   */
  generate(seed?: Uint8Array): Exchange;
  /** @throws TLSError `TLS_ERR_BAD_KEY_SHARE` when the encapsulation key fails the check of FIPS 203 §7.2 */
  encapsulate(encapsulationKey: Uint8Array): MlKemEncapsulation;
}

/** The implementation for this Node; with a `random` source, the one that takes its randomness from there. */
export function mlKem768(random: RandomSource | undefined, fallback: RandomSource): MlKem {
  if (random !== undefined) {
    return nobleMlKem(random);
  }
  return hasNativeMlKem() ? nativeMlKem : nobleMlKem(fallback);
}

export const nativeMlKem: MlKem = {
  generate(seed) {
    if (seed === undefined) {
      const { publicKey, privateKey } = newerCrypto.generateKeyPairSync('ml-kem-768');
      return new NativeDecapsulation(privateKey, exportRawPublic(publicKey));
    }
    const key = newerCrypto.createPrivateKey({ key: seed, format: 'raw-seed', asymmetricKeyType: 'ml-kem-768' });
    seed.fill(0);
    return new NativeDecapsulation(key, exportRawPublic(createPublicKey(key)));
  },

  encapsulate(encapsulationKey) {
    checkShareLength(GROUP, encapsulationKey, ENCAPSULATION_KEY_LENGTH);
    let key: KeyObject;
    try {
      key = newerCrypto.createPublicKey({
        key: encapsulationKey,
        format: 'raw-public',
        asymmetricKeyType: 'ml-kem-768',
      });
    } catch (error) {
      throw badKeyShare(GROUP, 'has an ML-KEM key that is not reduced', error);
    }
    const { ciphertext, sharedKey } = newerCrypto.encapsulate(key);
    return { ciphertext, sharedSecret: sharedKey };
  },
};

export function nobleMlKem(random: RandomSource): MlKem {
  return {
    generate(given) {
      const seed = given ?? filled(random, SEED_LENGTH);
      const { publicKey, secretKey } = noble().keygen(seed);
      seed.fill(0);
      return new NobleDecapsulation(secretKey, publicKey);
    },

    encapsulate(encapsulationKey) {
      checkShareLength(GROUP, encapsulationKey, ENCAPSULATION_KEY_LENGTH);
      const message = filled(random, MESSAGE_LENGTH);
      try {
        const { cipherText, sharedSecret } = noble().encapsulate(encapsulationKey, message);
        return { ciphertext: cipherText, sharedSecret };
      } catch (error) {
        throw badKeyShare(GROUP, 'has an ML-KEM key that is not reduced', error);
      } finally {
        message.fill(0);
      }
    },
  };
}

class NativeDecapsulation implements Exchange {
  readonly publicKey: Uint8Array;
  #key: KeyObject | undefined;

  constructor(key: KeyObject, publicKey: Uint8Array) {
    this.#key = key;
    this.publicKey = publicKey;
  }

  agree(ciphertext: Uint8Array): Uint8Array {
    const key = this.#key;
    if (key === undefined) {
      throw spentKeyShare(GROUP);
    }
    this.#key = undefined;
    checkShareLength(GROUP, ciphertext, CIPHERTEXT_LENGTH);
    return newerCrypto.decapsulate(key, ciphertext);
  }

  erase(): void {
    this.#key = undefined;
  }
}

class NobleDecapsulation implements Exchange {
  readonly publicKey: Uint8Array;
  #key: Uint8Array | undefined;

  constructor(key: Uint8Array, publicKey: Uint8Array) {
    this.#key = key;
    this.publicKey = publicKey;
  }

  agree(ciphertext: Uint8Array): Uint8Array {
    if (this.#key === undefined) {
      throw spentKeyShare(GROUP);
    }
    try {
      checkShareLength(GROUP, ciphertext, CIPHERTEXT_LENGTH);
      return noble().decapsulate(ciphertext, this.#key);
    } finally {
      this.erase();
    }
  }

  erase(): void {
    this.#key?.fill(0);
    this.#key = undefined;
  }
}

function filled(random: RandomSource, length: number): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  random(bytes);
  return bytes;
}

let loaded: MLKEM | undefined;

/** Loaded by `require`, which Node has for ES modules since 20.19: an `import` would be paid for by those without need. */
function noble(): MLKEM {
  if (loaded === undefined) {
    const module = createRequire(import.meta.url)('@noble/post-quantum/ml-kem.js') as { ml_kem768: MLKEM };
    loaded = module.ml_kem768;
  }
  return loaded;
}
