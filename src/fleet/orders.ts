/** The generation as one member knows it: learnt from every record, kept in the store, and what does not belong to it left out. */

import { sameBytes, toHex } from '../bytes/bytes.ts';
import type { RingAction } from './actions.ts';
import { FIRST_GENERATION, type Generation, isEvicted, mergeGenerations, sameGeneration } from './generation.ts';
import { shortName } from './identity.ts';
import type { MemberContext } from './member-context.ts';
import { sealOrderRecord } from './records/order.ts';
import type { Refuse, Visit } from './visit.ts';

export class Orders {
  readonly #context: MemberContext;
  readonly #refuse: Refuse;
  #generation: Generation = FIRST_GENERATION;

  constructor(context: MemberContext, refuse: Refuse) {
    this.#context = context;
    this.#refuse = refuse;
  }

  get generation(): Generation {
    return this.#generation;
  }

  /** @returns whether it is another one than before: all keys are to be erased then */
  apply(generation: Generation): boolean {
    if (sameGeneration(generation, this.#generation)) {
      return false;
    }
    this.#generation = generation;
    return true;
  }

  /** The generations that the records of those who stand speak of, merged with what was known. */
  learnt({ orders, epochs, welcomes }: Visit): Generation {
    // Orders first: who is evicted by one has no say in what follows.
    let known = this.#generation;
    for (const { memberId, generation } of [...orders, ...epochs, ...welcomes]) {
      if (isEvicted(known, memberId)) {
        this.#refuse('evicted_signer', shortName(memberId));
      } else {
        known = mergeGenerations(known, generation);
      }
    }
    return known;
  }

  /** Without what is older than the last order, and without what evicted members say. */
  within(visit: Visit): Visit {
    const stands = ({ memberId }: { readonly memberId: Uint8Array }) => !isEvicted(this.#generation, memberId);
    const counts = (record: { readonly memberId: Uint8Array; readonly generation: Generation }) => {
      const current = sameGeneration(record.generation, this.#generation);
      if (stands(record) && !current) {
        this.#refuse('old_generation', shortName(record.memberId));
      }
      return stands(record) && current;
    };
    return {
      ...visit,
      epochs: visit.epochs.filter(counts),
      welcomes: visit.welcomes.filter(counts),
      orders: visit.orders.filter(stands),
    };
  }

  /**
   * Puts the order into the store when too few there say as much. One is not enough: of two who evict each other, neither
   * listens to the other, and each has to hear it from a third.
   */
  keep({ orders, time }: Visit): readonly RingAction[] {
    const { memberId: own } = this.#context.identity;
    const saying = orders.filter(({ generation }) => sameGeneration(generation, this.#generation));
    const known = saying.some(({ memberId }) => sameBytes(memberId, own)) || saying.length >= WITNESSES;
    return known || this.#generation.number === 0 ? [] : this.put(time);
  }

  /** @param issuedAt ring time */
  put(issuedAt: number): readonly RingAction[] {
    const { trust, identity } = this.#context;
    const record = sealOrderRecord(trust, identity, { generation: this.#generation, issuedAt });
    return [{ kind: 'put_order', slot: toHex(identity.memberId), record, ttl: TTL }, { kind: 'publish' }];
  }
}

/** Members that keep an order in the store; more would only fill it. */
const WITNESSES = 3;
/** Milliseconds: a week. Members renew it for as long as one of them runs. */
const TTL = 7 * 24 * 3_600_000;
