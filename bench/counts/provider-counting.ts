/** Counts what the protocol asks of the provider that all of `src` shares: `hmac`, `aead.seal`, `runningHash.digest`, … */

import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { add, type Counts } from './native-counting.ts';

export const providerCounts: Counts = {};

/** For good: a process of its own is for counting. */
export function countProviderCalls(): void {
  const methods = nodeProvider as unknown as Record<string, unknown>;
  for (const [name, method] of Object.entries(methods)) {
    if (typeof method === 'function') {
      const prefix = objects[name];
      methods[name] = (...given: unknown[]) => {
        add(providerCounts, name);
        const result: unknown = method.apply(nodeProvider, given);
        return prefix === undefined ? result : watched(result as object, prefix);
      };
    }
  }
}

/** The same object, its calls counted. Its methods see the object itself, whose private fields no proxy has. */
function watched<T extends object>(target: T, prefix: string): T {
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key, object);
      if (typeof value !== 'function' || typeof key === 'symbol' || key === 'constructor') {
        return value;
      }
      return (...given: unknown[]) => {
        add(providerCounts, `${prefix}.${key}`);
        const result: unknown = value.apply(object, given);
        return key === 'copy' ? watched(result as object, prefix) : result;
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
