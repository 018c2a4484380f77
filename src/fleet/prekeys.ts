/**
 * Prekeys: key pairs that others seal one envelope to. Each is made in memory, announced, spent by the first envelope that
 * is opened with it, and erased in any case when its time is over: what the store or a wire kept of the envelope is then
 * sealed to a key that nobody has.
 *
 * Only the newest is announced; the one before is kept a little longer for envelopes that are on their way.
 */

import { sameBytes } from '../bytes/bytes.ts';
import type { CryptoProvider, KeyShare } from '../crypto/provider.ts';
import { generateKeyPair } from '../keys/hpke.ts';
import type { Moment } from '../session/clock.ts';
import type { RingConfiguration } from './configuration.ts';
import { prekeyIdOf } from './records/member.ts';
import { elapsed } from './ring-time.ts';
import type { Visit } from './visit.ts';

export interface Prekey {
  /** 16 bytes. */
  readonly id: Uint8Array;
  readonly keyPair: KeyShare;
  readonly madeAt: Moment;
}

export class Prekeys {
  readonly #provider: CryptoProvider;
  readonly #configuration: RingConfiguration;
  /** Oldest first. */
  #prekeys: Prekey[] = [];

  constructor(provider: CryptoProvider, configuration: RingConfiguration) {
    this.#provider = provider;
    this.#configuration = configuration;
  }

  /** The one to announce, made now when none is young enough. */
  current(now: Moment): Prekey {
    const newest = this.#prekeys.at(-1);
    if (newest !== undefined && elapsed(newest.madeAt, now) < this.#configuration.epochLength / 2) {
      return newest;
    }
    const keyPair = generateKeyPair(this.#provider, this.#configuration.kem);
    const prekey = { id: prekeyIdOf(this.#provider, keyPair.publicKey), keyPair, madeAt: now };
    this.#prekeys = [...this.#prekeys, prekey];
    return prekey;
  }

  /** Whether others take one for over that was made this moment: the clock here is that far behind. */
  seemsOver({ borneOut, time }: Visit): boolean {
    return borneOut + this.#lifetime < time + this.#configuration.heartbeat;
  }

  /** Milliseconds that may still be sealed to it. */
  remaining(prekey: Prekey, now: Moment): number {
    return this.#lifetime - elapsed(prekey.madeAt, now);
  }

  /** Takes it out, for the one envelope made for it. */
  take(id: Uint8Array, now: Moment): Prekey | undefined {
    this.expire(now);
    const prekey = this.#prekeys.find((one) => sameBytes(one.id, id));
    this.#prekeys = this.#prekeys.filter((one) => one !== prekey);
    return prekey;
  }

  expire(now: Moment): void {
    const over = this.#prekeys.filter((prekey) => this.remaining(prekey, now) <= 0);
    if (over.length > 0) {
      this.#end(over);
    }
  }

  /** Milliseconds until `expire` has something to do. */
  nextEnd(now: Moment): number {
    return Math.min(...this.#prekeys.map((prekey) => this.remaining(prekey, now)), Number.POSITIVE_INFINITY);
  }

  endAll(): void {
    this.#end(this.#prekeys);
  }

  #end(prekeys: readonly Prekey[]): void {
    this.#prekeys = this.#prekeys.filter((one) => !prekeys.includes(one));
    for (const { keyPair } of prekeys) {
      keyPair.erase();
    }
  }

  get #lifetime(): number {
    return this.#configuration.epochLength / 2 + 2 * this.#configuration.settle;
  }
}
