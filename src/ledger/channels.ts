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

/** A handshake that the policy allows, and that is weaker than it could be. */
export interface HandshakeWarned {
  readonly role: 'client' | 'server';
  /** 'psk_ke': there was no key exchange, so the connection's data is not forward secret. */
  readonly warning: 'psk_ke';
}

export const handshakeWarned = channel('mayfly:handshake:warning');
export const secretBorn = channel('mayfly:secret:born');
export const secretEnded = channel('mayfly:secret:ended');
