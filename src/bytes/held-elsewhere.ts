/**
 * The life of a secret whose bytes are not in a `Secret`, such as the private part of a key share, which `node:crypto`
 * holds: so that the ledger knows of it, and what is made from it has a parent.
 */

import { nextSecretId, noticeLoss, publishBirth, publishEnd, secretBorn, secretEnded } from '../ledger/channels.ts';

export class HeldElsewhere {
  readonly id: number = nextSecretId();
  readonly #kind: string;
  #ended = false;

  private constructor(kind: string) {
    this.#kind = kind;
  }

  /** Undefined while nobody listens. `length` is in bytes. */
  static begin(kind: string, length: number): HeldElsewhere | undefined {
    if (!secretBorn.hasSubscribers) {
      return undefined;
    }
    const life = new HeldElsewhere(kind);
    publishBirth(life.id, kind, length, 0, 0);
    noticeLoss(life, life.id, kind);
    return life;
  }

  /** Idempotent. */
  end(why: string): void {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    if (secretEnded.hasSubscribers) {
      publishEnd(this, this.id, this.#kind, why);
    }
  }
}
