/**
 * The cryptographic provider over `node:crypto`.
 *
 * Byte results may be `Buffer`s, each on an allocation of its own: copy them with `Uint8Array.from`, since a Buffer's
 * `slice` is a view.
 */

import { NodeAeadKey } from './aead.ts';
import { certificateCompressions, compress, decompress } from './compression.ts';
import { generateDheShare } from './dhe-exchange.ts';
import { equal } from './equal.ts';
import type { RandomSource } from './exchange.ts';
import { hash, hmac, hmacOfRandomKey, NodeRunningHash, publicHmac } from './hashing.ts';
import { NodeHeaderProtectionKey } from './header-protection.ts';
import { encapsulateTo, generateShare, type ShareSources, supportsShare } from './key-shares.ts';
import { importPrivate, importSpki } from './keys.ts';
import { type MlKem, mlKem768 } from './ml-kem.ts';
import type { CryptoProvider } from './provider.ts';
import { pooledRandom } from './random-pool.ts';
import { signOnThreadPool, signWith, verifyScheme, verifyTls12Scheme } from './signing.ts';

export interface NodeProviderOptions {
  /**
   * Where `random` and the private parts of key shares come from, so that a test can replay a handshake from a seed.
   * Signatures keep Node's own randomness: replays use Ed25519 or Ed448, which have none. Default: Node's generator.
   */
  readonly random?: (bytes: Uint8Array) => void;
}

export function createNodeProvider(options: NodeProviderOptions = {}): CryptoProvider {
  const sources = shareSources(options.random);
  return {
    random: options.random ?? pooledRandom,
    hash,
    createHash: (name) => new NodeRunningHash(name),
    hmac,
    hmacOfRandomKey,
    publicHmac,
    aead: (name, key, from) => new NodeAeadKey(name, key, from),
    headerProtection: (name, key, from) => new NodeHeaderProtectionKey(name, key, from),
    supportsGroup: supportsShare,
    generateKeyShare: (group) => generateShare(group, sources),
    encapsulate: (group, clientKeyExchange) => encapsulateTo(group, clientKeyExchange, sources),
    generateDheShare: (group) => generateDheShare(group, options.random),
    importPrivateKey: importPrivate,
    importPublicKey: importSpki,
    sign: signWith,
    signLater: signOnThreadPool,
    verify: verifyScheme,
    verifyTls12: verifyTls12Scheme,
    certificateCompressions,
    compress,
    decompress,
    equal,
  };
}

function shareSources(random: RandomSource | undefined): ShareSources {
  let mlKem: MlKem | undefined;
  return {
    random,
    mlKem: () => {
      mlKem ??= mlKem768(random, pooledRandom);
      return mlKem;
    },
  };
}

/** The provider for production: all randomness is Node's. */
export const nodeProvider: CryptoProvider = createNodeProvider();
