/**
 * Envelopes made ready before there is anything to put into them. The slow part of sealing, the key encapsulation (with
 * ML-KEM in JavaScript some milliseconds for each member), needs neither the epoch's secret nor its times: so it is done a
 * few at a time, and all that depends on the state of the ring is decided afterwards, at once.
 */

import { sameBytes, toHex } from '../bytes/bytes.ts';
import type { HpkeSender } from '../keys/hpke.ts';
import type { Moment } from '../session/clock.ts';
import type { MemberContext } from './member-context.ts';
import { envelopeSender, type Recipient } from './records/epoch.ts';
import { elapsed } from './ring-time.ts';

interface Ready {
  readonly prekey: Uint8Array;
  /** Undefined for a prekey that is no key. */
  readonly sender: HpkeSender | undefined;
}

export class EnvelopeStock {
  readonly #context: MemberContext;
  /** By instance, hex. */
  readonly #ready = new Map<string, Ready>();
  #missing: Recipient[] = [];
  #since: Moment | undefined;
  #rounds = 0;

  constructor(context: MemberContext) {
    this.#context = context;
  }

  /**
   * Whether there is one for each. Else `work` makes the missing ones; and after some rounds it is enough as it is, as others
   * come and go while one works: who is left out is sent a welcome.
   */
  hasAll(recipients: readonly Recipient[]): boolean {
    const isAtWork = this.#missing.length > 0;
    this.#missing = recipients.filter((recipient) => this.#readyFor(recipient) === undefined);
    if (this.#missing.length === 0 || (!isAtWork && this.#rounds >= MAX_ROUNDS)) {
      this.#missing = [];
      return true;
    }
    this.#rounds += isAtWork ? 0 : 1;
    return false;
  }

  /** Whether `work` has something to do. */
  get isAtWork(): boolean {
    return this.#missing.length > 0;
  }

  /** Makes missing ones ready, at least one, until it is `enough`. */
  work(now: Moment, enough: () => boolean): void {
    const { trust, configuration, identity } = this.#context;
    for (let next = this.#missing.pop(); next !== undefined; next = enough() ? undefined : this.#missing.pop()) {
      const { instanceId, prekey } = next;
      this.#ready.get(toHex(instanceId))?.sender?.erase();
      const sender = envelopeSender(trust, configuration.kem, identity, prekey);
      this.#ready.set(toHex(instanceId), { prekey, sender });
      this.#since = now;
    }
  }

  /** Those of these recipients for whom one is ready, each for one message. What is left is erased. */
  take(recipients: readonly Recipient[]): readonly Recipient[] {
    const taken = recipients.flatMap((recipient) => {
      const ready = this.#readyFor(recipient);
      if (ready === undefined) {
        return [];
      }
      this.#ready.delete(toHex(recipient.instanceId));
      return [{ ...recipient, sender: ready.sender }];
    });
    this.erase();
    return taken;
  }

  /** What was made ready for an epoch that was not made: because the store is away, or somebody else made it. */
  expire(now: Moment): void {
    if (this.#since !== undefined && this.nextEnd(now) <= 0) {
      this.erase();
    }
  }

  /** Milliseconds until `expire` has something to do. */
  nextEnd(now: Moment): number {
    return this.#since === undefined
      ? Number.POSITIVE_INFINITY
      : LIFE * this.#context.configuration.heartbeat - elapsed(this.#since, now);
  }

  erase(): void {
    for (const { sender } of this.#ready.values()) {
      sender?.erase();
    }
    this.#ready.clear();
    this.#missing = [];
    this.#since = undefined;
    this.#rounds = 0;
  }

  #readyFor({ instanceId, prekey }: Recipient): Ready | undefined {
    const ready = this.#ready.get(toHex(instanceId));
    return ready !== undefined && sameBytes(ready.prekey, prekey) ? ready : undefined;
  }
}

/** Members that keep changing their prekeys must not keep an epoch from being made. */
const MAX_ROUNDS = 4;
/** Heartbeats. */
const LIFE = 4;
