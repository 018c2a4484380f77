/** HAProxy's keys as text, in its file and in its answers; never as strings. */

import { Secret } from '../../bytes/secret.ts';
import { nodeProvider } from '../../crypto/node-provider.ts';
import { base64Length, readBase64, writeBase64 } from '../../fleet/agent/base64.ts';
import type { Triple } from '../../fleet/agent/haproxy-shifts.ts';
import { randomBytes } from './key-folder.ts';

/** Lines `0.1 BASE64`, the oldest first; undefined when there are not three keys of this size. */
export function keysIn(answer: Uint8Array, keySize: number): Triple<Secret> | undefined {
  const keys: Secret[] = [];
  for (let from = 0; from < answer.length; ) {
    const found = answer.indexOf(NEWLINE, from);
    const end = found === -1 ? answer.length : found;
    const space = answer.indexOf(SPACE, from);
    const text = answer.subarray(space + 1, end);
    if (space > from && space < end && answer[from] !== HASH && text.length === base64Length(keySize)) {
      const bytes = new Uint8Array(new ArrayBuffer(keySize));
      const isKey = readBase64(text, bytes);
      const key = Secret.take('heldByServer', bytes);
      if (!isKey) {
        eraseAll([...keys, key]);
        return undefined;
      }
      keys.push(key);
    }
    from = end + 1;
  }
  if (keys.length !== 3) {
    eraseAll(keys);
    return undefined;
  }
  return keys as unknown as Triple<Secret>;
}

/** As the file has them. */
export function linesOf(keys: Triple<Secret>, keySize: number): Uint8Array {
  const each = base64Length(keySize) + 1;
  const text = new Uint8Array(new ArrayBuffer(3 * each));
  for (const [i, key] of keys.entries()) {
    writeBase64(key.expose(), text, i * each);
    text[(i + 1) * each - 1] = NEWLINE;
  }
  return text;
}

/** Lines of keys that nobody has, to overwrite a file with: who reads it meanwhile takes them for keys. */
export function randomLines(keySize: number): Uint8Array {
  const keys = [0, 1, 2].map(() => Secret.take('throwawayKey', randomBytes(keySize))) as unknown as Triple<Secret>;
  const lines = linesOf(keys, keySize);
  eraseAll(keys);
  return lines;
}

/** In constant time. */
export function sameKey(a: Secret, b: Secret): boolean {
  return a.length === b.length && nodeProvider.equal(a.expose(), b.expose());
}

export function eraseAll(keys: Iterable<Secret> | undefined): void {
  for (const key of keys ?? []) {
    key.erase();
  }
}

const NEWLINE = 0x0a;
const SPACE = 0x20;
const HASH = 0x23;
