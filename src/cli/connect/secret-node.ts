/** The nodes of a tree of secrets, and how the births in the ledger are dealt out to them. */

import type { SecretLife } from '../../ledger/secrets.ts';

export interface SecretNode {
  /** The RFC's name. */
  readonly name: string;
  /** Bytes. */
  readonly length: number;
  readonly note?: string;
  readonly children: readonly SecretNode[];
}

/** What the summary of the handshake says, which decides what each birth was for. */
export interface TreeContext {
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  readonly resumed: boolean;
  /** A session was given to the handshake and offered in it. */
  readonly offered: boolean;
  /** Undefined where no key exchange took place. */
  readonly namedGroup: string | undefined;
}

export type Take = (kind: string) => SecretLife | undefined;

/** Hands out the births of each kind once, in their order. */
export function taker(lives: readonly SecretLife[]): Take {
  const rest = [...lives];
  return (kind) => {
    const at = rest.findIndex((life) => life.kind === kind);
    return at < 0 ? undefined : rest.splice(at, 1)[0];
  };
}

export function node(name: string, life: SecretLife, children: readonly SecretNode[] = [], note?: string): SecretNode {
  return { name, length: life.length, ...(note === undefined ? {} : { note }), children };
}

export function present<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}
