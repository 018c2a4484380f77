/** Counts what the protocol asks of the provider: `hmac`, `aead.seal`, `runningHash.digest`, … */

import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import { add, type Counts } from './tally.ts';

export const providerCounts: Counts = {};

/** Those of the provider that all of `src` shares. For good: a process of its own is for counting. */
export function countProviderCalls(): void {
  Object.assign(nodeProvider, countingProvider(providerCounts));
}

/** A provider like that one, whose calls are counted. */
export function countingProvider(counts: Counts): CryptoProvider {
  const methods: Record<string, unknown> = { ...nodeProvider };
  for (const [name, method] of Object.entries(methods)) {
    if (typeof method === 'function') {
      const prefix = objects[name];
      methods[name] = (...given: unknown[]) => {
        add(counts, name);
        const result: unknown = method.apply(nodeProvider, given);
        return prefix === undefined ? result : watched(counts, result as object, prefix);
      };
    }
  }
  return methods as unknown as CryptoProvider;
}

/** The same object, its calls counted. Its methods see the object itself, whose private fields no proxy has. */
function watched<T extends object>(counts: Counts, target: T, prefix: string): T {
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key, object);
      if (typeof value !== 'function' || typeof key === 'symbol' || key === 'constructor') {
        return value;
      }
      return (...given: unknown[]) => {
        add(counts, `${prefix}.${key}`);
        const result: unknown = value.apply(object, given);
        return key === 'copy' ? watched(counts, result as object, prefix) : result;
      };
    },
  });
}

/** Methods of the provider that give objects, and what these are called in the counts. */
const objects: Readonly<Record<string, string>> = {
  createHash: 'runningHash',
  aead: 'aead',
  generateKeyShare: 'keyShare',
};
