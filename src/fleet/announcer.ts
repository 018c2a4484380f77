/** A member's own record: what it says of itself, and when it says it again. */

import { toHex } from '../bytes/bytes.ts';
import type { Moment } from '../session/clock.ts';
import type { RingAction } from './actions.ts';
import type { HeldKey } from './held-key.ts';
import type { MemberContext } from './member-context.ts';
import type { Prekeys } from './prekeys.ts';
import { instanceSlot, MAX_HELD_NAMES, sealMemberRecord } from './records/member.ts';
import { elapsed } from './ring-time.ts';
import type { Visit } from './visit.ts';

export interface AnnouncerView {
  readonly visit: Visit;
  /** The keys that it could hand on. */
  readonly shareable: readonly HeldKey[];
  readonly generation: number;
  readonly ratchetDepth: number;
}

export class Announcer {
  readonly #context: MemberContext;
  readonly #prekeys: Prekeys;
  #sequence = 0;
  #firstAt = Number.POSITIVE_INFINITY;
  #last: { readonly at: Moment; readonly what: string } | undefined;

  constructor(context: MemberContext, prekeys: Prekeys) {
    this.#context = context;
    this.#prekeys = prekeys;
  }

  /** How often it was announced. */
  get count(): number {
    return this.#sequence;
  }

  /** Ring time of the first one; infinity before. */
  get firstAt(): number {
    return this.#firstAt;
  }

  /** The record, when a heartbeat has passed or something in it has changed. */
  announce({ visit, shareable, generation, ratchetDepth }: AnnouncerView): readonly RingAction[] {
    const { now, time } = visit;
    const { configuration, trust, identity, instanceId, bootNonce, name, processes } = this.#context;
    const prekey = this.#prekeys.current(now);
    const held = shareable.slice(0, MAX_HELD_NAMES).map(({ epoch, keyId }) => ({ epoch, keyId }));
    const what = [toHex(prekey.id), generation, ...held.map(({ keyId }) => toHex(keyId))].join(' ');
    if (this.#last?.what === what && elapsed(this.#last.at, now) < RENEW_AFTER * configuration.heartbeat) {
      return [];
    }
    this.#last = { at: now, what };
    this.#sequence++;
    this.#firstAt = Math.min(this.#firstAt, time);
    const record = sealMemberRecord(trust, identity, {
      bootNonce,
      sequence: this.#sequence,
      announcedAt: time,
      name,
      prekey: prekey.keyPair.publicKey,
      // Not by the store's word alone: one that names a day to come would have the prekey sealed to on that day.
      notAfter: Math.max(0, Math.floor(visit.borneOut + this.#prekeys.remaining(prekey, now))),
      generation,
      skew: visit.skew,
      ratchetDepth,
      processes,
      held,
    });
    return [{ kind: 'put_member', slot: instanceSlot(instanceId), record, ttl: 3 * configuration.heartbeat }];
  }
}

/** Heartbeats: visits that come a little early count as the next. */
const RENEW_AFTER = 0.8;
