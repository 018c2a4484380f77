/**
 * The diagnostics channels on which the birth and the end of every secret are published: never its bytes, nor anything
 * made from them. Publishing costs one boolean test while nobody listens.
 *
 *     born  = id, kind, length, parents, owner, uses
 *     ended = id, kind, why
 */

import { channel } from 'node:diagnostics_channel';

export interface SecretBorn {
  readonly id: number;
  readonly kind: string;
  /** Bytes; 0 for an external PSK, which may be a password, so that its length would rule out guesses. */
  readonly length: number;
  /**
   * IDs of what it was made from: whoever has these, and what went over the wire, can make it. Of several the last weighs
   * most: after a key exchange that is its result. None for what is fresh, or came from outside.
   */
  readonly parents: readonly number[];
  /** On whose account it was made; undefined where nobody's, or that of its last parent. */
  readonly owner: SecretOwner | undefined;
  /** Counted on by whoever uses the secret, without further notice; undefined where uses are not counted. */
  readonly uses: SecretUses | undefined;
}

export interface SecretEnded {
  readonly id: number;
  readonly kind: string;
  readonly why: string;
}

/** One connection, or one source of ticket keys. */
export interface SecretOwner {
  readonly kind: 'connection' | 'ring';
  /** Unique in this process. */
  readonly id: number;
  /** Of a connection. */
  readonly role?: 'client' | 'server';
}

export interface SecretUses {
  /** Of a record key: records that it protected or opened, and the bytes of plaintext in them. */
  readonly records?: number;
  readonly bytes?: number;
  /** Of a ticket key. */
  readonly sealed?: number;
  readonly opened?: number;
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

let lastSecretId = 0;
let lastOwnerId = 0;
let present: SecretOwner | undefined;

export function nextSecretId(): number {
  lastSecretId += 1;
  return lastSecretId;
}

export function newOwner(kind: SecretOwner['kind'], role?: SecretOwner['role']): SecretOwner {
  lastOwnerId += 1;
  return role === undefined ? { kind, id: lastOwnerId } : { kind, id: lastOwnerId, role };
}

/** An owner that is made when it is asked for. */
export class Account {
  readonly #kind: SecretOwner['kind'];
  readonly #role: SecretOwner['role'];
  #owner: SecretOwner | undefined;

  constructor(kind: SecretOwner['kind'], role?: SecretOwner['role']) {
    this.#kind = kind;
    this.#role = role;
  }

  get owner(): SecretOwner {
    this.#owner ??= newOwner(this.#kind, this.#role);
    return this.#owner;
  }

  /** For `onAccountOf`; undefined while nobody listens. */
  get noted(): SecretOwner | undefined {
    return secretBorn.hasSubscribers ? this.owner : undefined;
  }
}

/**
 * Runs `body`, which must be synchronous; secrets that are made in it are this owner's. A variable of the module is enough
 * for that, as the core never waits.
 */
export function onAccountOf<T>(owner: SecretOwner | undefined, body: () => T): T {
  const before = present;
  present = owner;
  try {
    return body();
  } finally {
    present = before;
  }
}

/** For who has tested `secretBorn.hasSubscribers`. An ID of 0 stands for no parent. */
export function publishBirth(
  id: number,
  kind: string,
  length: number,
  from: number,
  last: number,
  uses?: SecretUses,
): void {
  const parents = from === 0 ? (last === 0 ? NONE : [last]) : last === 0 ? [from] : [from, last];
  const told = kind === 'externalPsk' ? 0 : length;
  secretBorn.publish({ id, kind, length: told, parents, owner: present, uses } satisfies SecretBorn);
}

/**
 * For who has tested `secretBorn.hasSubscribers`: if the collector takes `holder` before its end is published, that is the
 * end, as nobody erased it.
 */
export function noticeLoss(holder: object, id: number, kind: string): void {
  lost.register(holder, { id, kind }, holder);
}

/** For who has tested `secretEnded.hasSubscribers`. */
export function publishEnd(holder: object, id: number, kind: string, why: string): void {
  lost.unregister(holder);
  secretEnded.publish({ id, kind, why } satisfies SecretEnded);
}

const NONE: readonly number[] = [];
const lost = new FinalizationRegistry<Pick<SecretEnded, 'id' | 'kind'>>(({ id, kind }) => {
  if (secretEnded.hasSubscribers) {
    secretEnded.publish({ id, kind, why: 'collected' } satisfies SecretEnded);
  }
});
