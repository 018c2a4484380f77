/** Secrets that a process keeps or forgets in the ways that this project avoids: what the search must find. */

import { Secret } from '../../src/bytes/secret.ts';
import { pooledRandom } from '../../src/crypto/random-pool.ts';
import { tell, testify } from './testimony.ts';

/** Kept alive until the end of the process. */
export const kept: unknown[] = [];

/** By kind: how each is kept. */
const ways: Readonly<Record<string, (bytes: Buffer) => unknown>> = {
  'in a Buffer': (bytes) => Buffer.from(bytes),
  'in an array of V8': (bytes) => Uint8Array.from(bytes),
  'in hex': (bytes) => bytes.toString('hex'),
  'in base64': (bytes) => bytes.toString('base64'),
  'in base64 in JSON': (bytes) => JSON.stringify({ key: bytes.toString('base64url') }),
  'in a string of two bytes a character': (bytes) => `ключ ${bytes.toString('hex')}`,
  'in reverse': (bytes) => Buffer.from(bytes).reverse(),
  'inside HMAC': (bytes) => Buffer.from(bytes.map((byte) => byte ^ 0x36)),
  'without its head': (bytes) => Buffer.from(bytes.subarray(16)),
};

export function livePlanted(): number {
  testify();
  kept.push(Secret.create('alive', 32, pooledRandom));
  Secret.create('erased', 32, pooledRandom).erase();
  for (const [kind, keep] of Object.entries(ways)) {
    const bytes = Buffer.alloc(32);
    pooledRandom(bytes);
    tell(kind, bytes);
    kept.push(keep(bytes));
    bytes.fill(0);
  }
  return 0;
}
