/** Every secret that was ever made, with its bytes: what no code but a test may know. */

import { Secret } from '../../src/bytes/secret.ts';

export interface KnownSecret {
  readonly secret: Secret;
  readonly kind: string;
  readonly bytes: Uint8Array;
  /** Who made it: as `SecretLedger.owner` was then. */
  readonly owner: string;
}

const { create, take, adopt, copy } = Secret;

/** Kinds that are not secret, or not of the ring. */
const PUBLIC = new Set(['keyId']);

/** Watches from its making until `stop`; one at a time. */
export class SecretLedger {
  owner = '';
  readonly all: KnownSecret[] = [];
  readonly #byOwner = new Map<string, KnownSecret[]>();

  constructor() {
    Secret.create = (kind, ...rest) => this.#note(kind, create.call(Secret, kind, ...rest));
    Secret.take = (kind, ...rest) => this.#note(kind, take.call(Secret, kind, ...rest));
    Secret.adopt = (kind, ...rest) => this.#note(kind, adopt.call(Secret, kind, ...rest));
    Secret.copy = (kind, ...rest) => this.#note(kind, copy.call(Secret, kind, ...rest));
  }

  stop(): void {
    Object.assign(Secret, { create, take, adopt, copy });
  }

  alive(owner: string): readonly KnownSecret[] {
    const alive = (this.#byOwner.get(owner) ?? []).filter(({ secret }) => !secret.erased);
    this.#byOwner.set(owner, alive);
    return alive;
  }

  /** The kinds of those that occur anywhere in `records`. */
  foundIn(records: readonly Uint8Array[]): readonly string[] {
    const byHead = new Map<number, KnownSecret[]>();
    for (const known of this.all) {
      if (known.bytes.length >= 16) {
        const head = headAt(known.bytes, 0);
        byHead.set(head, [...(byHead.get(head) ?? []), known]);
      }
    }
    const found = new Set<string>();
    for (const record of records) {
      for (let at = 0; at + 16 <= record.length; at++) {
        for (const { kind, bytes } of byHead.get(headAt(record, at)) ?? []) {
          // Half a secret would be bad enough.
          if (Buffer.compare(bytes.subarray(0, 16), record.subarray(at, at + 16)) === 0) {
            found.add(kind);
          }
        }
      }
    }
    return [...found].sort();
  }

  #note(kind: string, secret: Secret): Secret {
    if (!PUBLIC.has(kind)) {
      const known = { secret, kind, bytes: Uint8Array.from(secret.expose()), owner: this.owner };
      this.all.push(known);
      const owned = this.#byOwner.get(this.owner);
      if (owned === undefined) {
        this.#byOwner.set(this.owner, [known]);
      } else {
        owned.push(known);
      }
    }
    return secret;
  }
}

function headAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}
