/**
 * GREASE: reserved values in a client's lists, which servers have to pass over, so that they keep being able to. In one hello and
 * the next the same.
 *
 * RFC 8701 §3.1.
 */

import { EMPTY } from '../bytes/bytes.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { KeyShareEntry } from '../messages/client-hello.ts';
import { greaseValue } from '../messages/code-points.ts';

/** Which list a value is for: a value that stands in two lists means the same in both. */
export const GREASE_SUITE = 0;
export const GREASE_GROUP = 1;
export const GREASE_VERSION = 2;
const GREASE_EXTENSION = 3;
const GREASE_LAST_EXTENSION = 4;

export class Grease {
  /** Undefined for none. */
  readonly #random: Uint8Array | undefined;

  constructor(provider: CryptoProvider, wanted: boolean) {
    this.#random = wanted ? new Uint8Array(GREASE_LAST_EXTENSION + 1) : undefined;
    if (this.#random !== undefined) {
      provider.random(this.#random);
    }
  }

  /** A list that begins with a value of ours: the rest is up to the caller. */
  list(which: number): number[] {
    return this.#random === undefined ? [] : [greaseValue(this.#random[which])];
  }

  /** Of the group that stands first in the list of groups. */
  shares(): readonly KeyShareEntry[] {
    return this.list(GREASE_GROUP).map((group) => ({ group, keyExchange: ONE_BYTE }));
  }

  /** Two extensions, never the same: one empty, one with a byte. */
  extensions(): readonly { readonly type: number; readonly data: Uint8Array }[] {
    if (this.#random === undefined) {
      return [];
    }
    const first = greaseValue(this.#random[GREASE_EXTENSION]);
    const second = greaseValue(this.#random[GREASE_LAST_EXTENSION]);
    const other = second === first ? greaseValue(this.#random[GREASE_LAST_EXTENSION] ^ 0x10) : second;
    return [
      { type: first, data: EMPTY },
      { type: other, data: ONE_BYTE },
    ];
  }
}

const ONE_BYTE = new Uint8Array([0]);
