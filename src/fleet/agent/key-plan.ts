/**
 * Which of the ring's keys a foreign server is to hold now: what seals, what is to seal, and what still opens.
 *
 *     received ─ waiting ─▶ sealFrom ─ sealing ─▶ sealUntil ─ opening ─▶ sealUntil + lifetime ─ nowhere any more
 *
 * OpenSSL's tickets are the same for all versions, and those of TLS 1.2 hold master secrets. So a key ends when tickets of
 * TLS 1.2 do, an epoch after it sealed by default, unless the server speaks TLS 1.3 alone.
 */

import type { Secret } from '../../bytes/secret.ts';
import type { Moment } from '../../session/clock.ts';
import type { RingConfiguration } from '../configuration.ts';
import type { WorkingKeyUse } from '../epoch-secret.ts';
import type { HeldKey } from '../held-key.ts';
import type { Member } from '../member.ts';

export interface PlannedKey {
  /** The first 8 bytes of the ring's key id, hex: public. */
  readonly id: string;
  /** Lent: erased when its time is over. */
  readonly secret: Secret;
  readonly role: 'sealing' | 'waiting' | 'opening';
  /** Not one that members derive for the case that no fresh key comes. */
  readonly fresh: boolean;
  /** On the wall clock, milliseconds since the epoch. */
  readonly sealFrom: number;
  readonly sealUntil: number;
  readonly endsAt: number;
}

/** The sealing key first, then those that wait, then those that open, each the likeliest first. Without one that seals: none. */
export type KeyPlan = readonly PlannedKey[];

export interface AgentKeysOptions {
  readonly member: Pick<Member, 'sealingKey' | 'openingKeys'>;
  readonly configuration: Pick<RingConfiguration, 'ticketLifetime' | 'ticketLifetime12'>;
  /** The working key that the member derives for this server. */
  readonly use: WorkingKeyUse;
  /** The server speaks TLS 1.3 alone. */
  readonly tls13Only: boolean;
}

export class AgentKeys {
  readonly #options: AgentKeysOptions;
  /** Ids of what sealed here, the latest first: of keys that open, those count before what nobody may have used. */
  #sealed: readonly string[] = [];

  constructor(options: AgentKeysOptions) {
    this.#options = options;
  }

  /** Erases the working keys whose time is over, and plans with the others. */
  plan(now: Moment): KeyPlan {
    const { member } = this.#options;
    const alive = [...member.openingKeys(now)].filter((key) => this.#isAlive(key, now));
    const sealing = member.sealingKey(now);
    if (sealing === undefined || !alive.includes(sealing)) {
      return [];
    }
    if (this.#sealed[0] !== sealing.id) {
      const known = new Set(alive.map(({ id }) => id));
      this.#sealed = [sealing.id, ...this.#sealed.filter((id) => id !== sealing.id && known.has(id))];
    }
    const useful = alive.filter((key) => this.#isUseful(key, sealing));
    const waiting = useful.filter((key) => key !== sealing && isWaiting(key, sealing, now)).sort(byTurn);
    const opening = useful
      .filter((key) => key !== sealing && !waiting.includes(key))
      .sort((a, b) => this.#recency(a) - this.#recency(b) || byUse(a, b));
    return [
      this.#planned(sealing, 'sealing', now),
      ...waiting.map((key) => this.#planned(key, 'waiting', now)),
      ...opening.map((key) => this.#planned(key, 'opening', now)),
    ].slice(0, MAX_KEYS);
  }

  /** Milliseconds until the next of these keys ends. */
  nextEnd(plan: KeyPlan, now: Moment): number {
    return Math.min(...plan.map(({ endsAt }) => Math.max(0, endsAt - now.wall)));
  }

  #isAlive(key: HeldKey, now: Moment): boolean {
    const { policy, target } = this.#options.use;
    if (this.#endOf(key, now) - now.wall <= TOGETHER) {
      key.workingSecret(policy, target)?.erase('expired');
    }
    return key.working(policy, target, now) !== undefined;
  }

  /**
   * Of ratcheted keys the ring holds a whole day's. A server is given those that it sealed under or goes on with, and those of
   * members that have missed one fresh key; tickets of one that is cut off for longer are not resumed elsewhere meanwhile.
   */
  #isUseful(key: HeldKey, sealing: HeldKey): boolean {
    return key.depth <= 1 || key.root.id === sealing.root.id || this.#sealed.includes(key.id);
  }

  #endOf(key: HeldKey, now: Moment): number {
    const { use, tls13Only, configuration } = this.#options;
    const lifetime = tls13Only ? configuration.ticketLifetime : configuration.ticketLifetime12;
    return Math.min(key.opensUntil(use.target, now), key.wallTimes(now).sealUntil + lifetime);
  }

  #recency(key: HeldKey): number {
    const index = this.#sealed.indexOf(key.id);
    return index === -1 ? this.#sealed.length : index;
  }

  #planned(key: HeldKey, role: PlannedKey['role'], now: Moment): PlannedKey {
    const { policy, target } = this.#options.use;
    const { sealFrom, sealUntil } = key.wallTimes(now);
    const secret = key.working(policy, target, now) as Secret;
    const id = key.id.slice(0, ID_DIGITS);
    return { id, secret, role, fresh: key.fresh, sealFrom, sealUntil, endsAt: this.#endOf(key, now) };
  }
}

/** It has not sealed yet and may come to: also a rotation whose time has come, but which not everyone has. */
function isWaiting(key: HeldKey, sealing: HeldKey, now: Moment): boolean {
  const state = key.state(now);
  return (
    state === 'waiting' ||
    (state === 'sealing' && key.fresh && key.epoch >= sealing.epoch && key.rotation > sealing.rotation)
  );
}

/** As the ring would choose when their time comes: it may still choose otherwise, and then the plan changes. */
function byTurn(a: HeldKey, b: HeldKey): number {
  return (
    Number(b.fresh) - Number(a.fresh) ||
    a.times.sealFrom - b.times.sealFrom ||
    a.depth - b.depth ||
    b.rotation - a.rotation ||
    (a.id < b.id ? -1 : 1)
  );
}

/** Fresh keys sealed somewhere; of ratcheted ones, those of members that were cut off for a short time are likelier. */
function byUse(a: HeldKey, b: HeldKey): number {
  return a.depth - b.depth || b.times.sealUntil - a.times.sealUntil || (a.id < b.id ? -1 : 1);
}

/** Keys that a server is given at most: six without rotations by hand. Bounds what a reload reads. */
const MAX_KEYS = 16;
const ID_DIGITS = 16;
/**
 * Milliseconds: a key that ends so soon ends now. With a lifetime of whole epochs one key ends when the next begins to seal,
 * but for what their clocks differ by, and the server should be told once.
 */
const TOGETHER = 200;
