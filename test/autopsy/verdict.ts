/** What the finds come to: which secrets were found, where, and which of that is known and told of in docs/memory.md. */

import { hasNativeMlKem } from '../../src/crypto/capabilities.ts';
import type { Find } from './examiner.ts';
import { ML_KEM_MESSAGE, ML_KEM_SEED, ML_KEM_SHARED_SECRET } from './key-shares.ts';

export interface Row {
  readonly kind: string;
  readonly form: string;
  /** heap: malloc's; anonymous: V8's heap, and malloc's of other threads. */
  readonly where: string;
  /** Different secrets. */
  readonly secrets: number;
  /** Different addresses. */
  readonly places: number;
  /** The most that is left of one, in bytes of its form, and of how many. */
  readonly left: number;
  readonly of: number;
}

export function tabulate(finds: readonly Find[]): readonly Row[] {
  const groups = new Map<string, Find[]>();
  for (const find of finds) {
    const key = `${find.secret.kind}\t${find.hit.form}\t${whereOf(find)}`;
    groups.set(key, [...(groups.get(key) ?? []), find]);
  }
  return [...groups].map(([key, group]) => {
    const [kind, form, where] = key.split('\t');
    const largest = group.reduce((a, b) => (b.hit.length > a.hit.length ? b : a));
    return {
      kind,
      form,
      where,
      secrets: countSecrets(group),
      places: new Set(group.map(({ hit }) => hit.address)).size,
      left: largest.hit.length,
      of: largest.hit.of,
    };
  });
}

/** By their bytes: both ends of a connection in one process have the same ones. */
export function countSecrets(finds: readonly Find[]): number {
  return new Set(finds.map(({ secret }) => Buffer.from(secret.bytes).toString('hex'))).size;
}

function whereOf({ mapping }: Find): string {
  return mapping === undefined ? 'file' : mapping.name === '' ? 'anonymous' : mapping.name;
}

/**
 * ML-KEM in JavaScript, for Nodes without their own, works on arrays in V8's heap, which nobody can erase for good: its half
 * of a hybrid's shared secret may be found until that memory is used again. The half of x25519 is not.
 */
export function isFromMlKemInJavaScript({ secret, hit }: Find): boolean {
  if (hasNativeMlKem()) {
    return false;
  }
  // A byte or two behind it may be the same by chance.
  const isFirstHalf = secret.bytes.length === 64 && hit.from + hit.length <= 34;
  return MLKEM_KINDS.has(secret.kind) || (secret.kind === 'sharedSecret' && hit.form === 'raw' && isFirstHalf);
}

/** Less than half of a secret, left in memory that was given back and has been used again since. */
export function isRemainder({ hit }: Find): boolean {
  return hit.length < hit.of / 2;
}

/**
 * A word of ChaCha20's key or nonce fills each vector register of a CPU with AVX-512, and stays there until other code needs
 * the register. Only a core dump shows registers; where two of them meet, two words stand side by side.
 */
export function isInRegisters({ mapping, hit }: Find): boolean {
  return mapping === undefined && (hit.form === 'spread' || (hit.form === 'raw' && hit.length === 8));
}

const MLKEM_KINDS = new Set([ML_KEM_SEED, ML_KEM_MESSAGE, ML_KEM_SHARED_SECRET]);
