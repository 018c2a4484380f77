/** Members for the bench, as many as are wanted, without identity files: those of 512 would name 512 members each. */

import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import {
  type RingConfiguration,
  type RingKem,
  type RingOptions,
  ringConfiguration,
} from '../../src/fleet/configuration.ts';
import { Identity } from '../../src/fleet/identity.ts';

export interface Membership {
  readonly configuration: RingConfiguration;
  readonly identities: readonly Identity[];
}

export function membership(count: number, kem: RingKem, options: Partial<RingOptions> = {}): Membership {
  const identities = Array.from({ length: count }, () => {
    const seed = Secret.create('identityKey', SEED_LENGTH, (bytes) => nodeProvider.random(bytes));
    try {
      return Identity.fromSeed(nodeProvider, seed);
    } finally {
      seed.erase();
    }
  });
  const configuration = ringConfiguration({
    fleetName: 'bench',
    allowList: identities.map(({ publicKey }) => publicKey),
    dangerouslyClassicalKem: kem === 'x25519',
    ...options,
  });
  return { configuration, identities };
}

/**
 * Real cryptography for many members in one process: a signature that one of them has checked is not checked again for the
 * others. Who measures the cost of checking uses the plain provider.
 */
export function sharedProvider(): CryptoProvider {
  const verdicts = new Map<string, boolean>();
  const keys = new Map<string, ReturnType<CryptoProvider['importPublicKey']>>();
  const text = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  return {
    ...nodeProvider,
    importPublicKey(spki) {
      const name = text(spki);
      const key = keys.get(name) ?? nodeProvider.importPublicKey(spki);
      keys.set(name, key);
      return key;
    },
    verify(scheme, key, data, signature) {
      const name = `${text(signature)}${text(data)}`;
      const verdict = verdicts.get(name) ?? nodeProvider.verify(scheme, key, data, signature);
      if (verdicts.size >= REMEMBERED) {
        verdicts.clear();
      }
      verdicts.set(name, verdict);
      return verdict;
    },
  };
}

const SEED_LENGTH = 32;
const REMEMBERED = 20_000;
