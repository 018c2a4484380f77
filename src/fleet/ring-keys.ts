/**
 * The ring as a source of ticket keys: what a Mayfly server is given in place of `LocalTicketKeys`.
 *
 *     name = working key 'mayfly-name'   secret = working key 'mayfly'   secret12 = working key 'mayfly-12'
 *
 * Each policy has names and secrets of its own: a server asks for its policy only and opens nothing of another's. Both
 * secrets are the held key's own, so they end when it says so.
 */

import { sameBytes, toHex } from '../bytes/bytes.ts';
import { type Clock, type Moment, momentOf } from '../session/clock.ts';
import type { TicketKey, TicketKeySource, TicketKeyStatus } from '../session/ticket-key.ts';
import type { WorkingKeyUse } from './epoch-secret.ts';
import type { HeldKey } from './held-key.ts';
import type { Member } from './member.ts';

export interface RingTicketKeysOptions {
  /** Derives `ticketKeyUses(policy)`. */
  readonly member: Pick<Member, 'sealingKey' | 'openingKeys'>;
  readonly clock: Clock;
  readonly policy: string;
}

/** The uses that a member needs for the tickets of one policy. */
export function ticketKeyUses(policy: string): readonly WorkingKeyUse[] {
  return [
    { policy, target: 'mayfly-name' },
    { policy, target: 'mayfly' },
    { policy, target: 'mayfly-12' },
  ];
}

export class RingTicketKeys implements TicketKeySource {
  readonly #member: Pick<Member, 'sealingKey' | 'openingKeys'>;
  readonly #clock: Clock;
  readonly #policy: string;

  constructor({ member, clock, policy }: RingTicketKeysOptions) {
    this.#member = member;
    this.#clock = clock;
    this.#policy = policy;
  }

  /** By both clocks, whatever `now` says. */
  sealingKey(_now?: number): TicketKey | undefined {
    const now = momentOf(this.#clock);
    const key = this.#member.sealingKey(now);
    return key && this.#ticketKey(key, now);
  }

  openingKey(name: Uint8Array, _now?: number): TicketKey | undefined {
    const now = momentOf(this.#clock);
    for (const key of this.#member.openingKeys(now)) {
      const own = key.workingSecret(this.#policy, 'mayfly-name');
      if (own !== undefined && !own.erased && sameBytes(own.expose(), name)) {
        return this.#ticketKey(key, now);
      }
    }
    return undefined;
  }

  /** Those that are of use: ratcheted keys that only wait for members that may be cut off are left out. */
  status(_now?: number): readonly TicketKeyStatus[] {
    const now = momentOf(this.#clock);
    const sealing = this.#member.sealingKey(now);
    return [...this.#member.openingKeys(now)]
      .filter((key) => key.fresh || key === sealing || key.uses.sealed + key.uses.opened > 0)
      .sort((a, b) => a.times.sealFrom - b.times.sealFrom)
      .flatMap((key) => {
        const ticketKey = this.#ticketKey(key, now);
        return ticketKey === undefined ? [] : [statusOf(ticketKey, key, stateOf(key, sealing, now))];
      });
  }

  #ticketKey(key: HeldKey, now: Moment): TicketKey | undefined {
    const name = key.workingSecret(this.#policy, 'mayfly-name');
    const secret = key.working(this.#policy, 'mayfly', now);
    const secret12 = key.workingSecret(this.#policy, 'mayfly-12');
    if (name === undefined || name.erased || secret === undefined || secret12 === undefined) {
      return undefined;
    }
    return {
      name: Uint8Array.from(name.expose()),
      secret,
      secret12,
      ...key.wallTimes(now),
      openUntil: key.opensUntil('mayfly', now),
      openUntil12: key.opensUntil('mayfly-12', now),
      uses: key.usesOf(this.#policy, 'mayfly'),
      uses12: key.usesOf(this.#policy, 'mayfly-12'),
    };
  }
}

function stateOf(key: HeldKey, sealing: HeldKey | undefined, now: Moment): TicketKeyStatus['state'] {
  if (key === sealing) {
    return 'sealing';
  }
  return key.state(now) === 'waiting' ? 'waiting' : 'opening';
}

function statusOf(ticketKey: TicketKey, key: HeldKey, state: TicketKeyStatus['state']): TicketKeyStatus {
  const { name, createdAt, sealFrom, sealUntil, openUntil, openUntil12 } = ticketKey;
  return {
    name: toHex(name.subarray(0, 4)),
    createdAt,
    sealFrom,
    sealUntil,
    openUntil,
    openUntil12,
    state,
    ticketsSealed: key.uses.sealed,
    ticketsOpened: key.uses.opened,
  };
}
