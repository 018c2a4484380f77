/**
 * RSA keys of 2048 bits for tests: to make one takes up to a second, and many test files want one. They lie in
 * test/vectors/rsa-keys.json for all to see, and protect nothing.
 */

import { createPrivateKey, createPublicKey, type KeyPairKeyObjectResult } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from './project.ts';

export type RsaType = 'rsa' | 'rsa-pss';

const given = new Map<RsaType, number>();
let pems: Readonly<Record<RsaType, readonly string[]>> | undefined;

/** Another key than the last one of its type, as far as this process has asked; after a few they come again. */
export function rsaKeyPair(type: RsaType = 'rsa'): KeyPairKeyObjectResult {
  pems ??= JSON.parse(readFileSync(join(projectRoot, 'test', 'vectors', 'rsa-keys.json'), 'utf8')) as typeof pems &
    object;
  const all = pems[type];
  const index = given.get(type) ?? 0;
  given.set(type, index + 1);
  const privateKey = createPrivateKey(all[index % all.length]);
  return { privateKey, publicKey: createPublicKey(privateKey) };
}
