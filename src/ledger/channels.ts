/**
 * The diagnostics channels on which the birth and the end of every secret are published (never its bytes).
 * Publishing costs one boolean test while nobody listens.
 */

import { channel } from 'node:diagnostics_channel';

export interface SecretBorn {
  readonly id: number;
  readonly kind: string;
  /** Bytes. */
  readonly length: number;
}

export interface SecretEnded {
  readonly id: number;
  readonly kind: string;
  readonly why: string;
}

export const secretBorn = channel('mayfly:secret:born');
export const secretEnded = channel('mayfly:secret:ended');
