/**
 * How much and how long a traffic key has protected, for those who renew keys before the usage limit makes them.
 *
 * A KeyUpdate (RFC 9846 §4.7.3) erases a secret that opens what was recorded under it. Only a key that has protected data
 * has anything to lose: an idle connection renews its keys once and is then silent.
 */

import type { KeyRenewal } from '../connection-options.ts';

/** A read key is given this much longer: a peer with the same policy renews its key by itself, and need not be asked. */
export const READ_SLACK = 1.25;

export class KeyWear {
  readonly #afterBytes: number;
  readonly #afterMilliseconds: number;
  readonly #now: () => number;
  #bytes = 0;
  #since = 0;

  constructor(renewal: KeyRenewal, now: () => number, slack = 1) {
    this.#afterBytes = slack * (renewal.afterBytes ?? Number.POSITIVE_INFINITY);
    this.#afterMilliseconds = slack * (renewal.afterMilliseconds ?? Number.POSITIVE_INFINITY);
    this.#now = now;
  }

  /** Bytes of application data were protected. */
  note(bytes: number): void {
    if (this.#bytes === 0) {
      this.#since = this.#now();
    }
    this.#bytes += bytes;
  }

  /** It is time for a new key. `now`, where the clock was read already: who asks for each record asks for two keys. */
  worn(now: number = this.#now()): boolean {
    if (this.#bytes === 0) {
      return false;
    }
    const age = now - this.#since;
    // A clock that was set back does not lengthen a key's life.
    return this.#bytes >= this.#afterBytes || age >= this.#afterMilliseconds || age < 0;
  }

  /** A new key has taken its place. */
  renewed(): void {
    this.#bytes = 0;
  }
}
