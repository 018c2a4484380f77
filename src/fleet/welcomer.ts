/**
 * Sends keys to instances that lack them: joiners, those whose envelope went astray, and those on the other side of a split
 * that has healed. Who has keys takes turns by hash, so that usually one answers and no failure of one matters.
 */

import { toHex } from '../bytes/bytes.ts';
import { TLSError } from '../errors.ts';
import type { Moment } from '../session/clock.ts';
import type { RingAction } from './actions.ts';
import { TURN } from './epoch-maker.ts';
import { turnOf } from './epoch-rules.ts';
import type { Generation } from './generation.ts';
import type { HeldKey } from './held-key.ts';
import { shortName } from './identity.ts';
import type { MemberContext } from './member-context.ts';
import { instanceSlot, type MemberRecord, prekeyIdOf } from './records/member.ts';
import { MAX_WELCOME_KEYS, sealWelcomeRecord } from './records/welcome.ts';
import { elapsed } from './ring-time.ts';
import type { Visit } from './visit.ts';

interface Lack {
  readonly prekeyId: Uint8Array;
  readonly since: Moment;
  sentAt: Moment | undefined;
}

/** Who lacks which keys. */
interface Need {
  readonly peer: MemberRecord;
  readonly missing: readonly HeldKey[];
  readonly lack: Lack;
}

export class Welcomer {
  readonly #context: MemberContext;
  #lacks = new Map<string, Lack>();
  #isBehind = false;

  constructor(context: MemberContext) {
    this.#context = context;
  }

  /** Whether it was its turn to welcome more than it did at the last visit. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  decide(
    visit: Visit,
    live: readonly MemberRecord[],
    keys: readonly HeldKey[],
    generation: Generation,
  ): readonly RingAction[] {
    const lacks = new Map<string, Lack>();
    const actions: RingAction[] = [];
    this.#isBehind = false;
    if (visit.skewed) {
      // By a clock that lies an old record passes for a live one: its prekey may be known to a thief who is long out.
      return actions;
    }
    for (const peer of live) {
      const missing = keys.filter(({ id }) => !peer.held.some(({ keyId }) => toHex(keyId) === id));
      if (missing.length === 0) {
        continue;
      }
      const lack = this.#lackOf(peer, visit);
      lacks.set(toHex(peer.instanceId), lack);
      const need = { peer, missing, lack };
      if (!this.#isMyTurn(visit, live, need)) {
        continue;
      }
      if (actions.length >= MAX_PER_VISIT * ACTIONS_PER_WELCOME) {
        this.#isBehind = true;
      } else {
        lack.sentAt = visit.now;
        actions.push(...this.#welcome(visit, need, generation));
      }
    }
    this.#lacks = lacks;
    return actions.length === 0 ? actions : [...actions, { kind: 'publish' }];
  }

  #lackOf(peer: MemberRecord, visit: Visit): Lack {
    const prekeyId = prekeyIdOf(this.#context.provider, peer.prekey);
    const known = this.#lacks.get(toHex(peer.instanceId));
    return known !== undefined && toHex(known.prekeyId) === toHex(prekeyId)
      ? known
      : { prekeyId, since: visit.now, sentAt: undefined };
  }

  #isMyTurn(visit: Visit, live: readonly MemberRecord[], { peer, missing, lack }: Need): boolean {
    const { prekeyId, since, sentAt } = lack;
    const { provider, configuration, instanceId } = this.#context;
    const { heartbeat } = configuration;
    if (peer.notAfter < visit.time + heartbeat) {
      return false;
    }
    if (sentAt !== undefined && elapsed(sentAt, visit.now) < RESEND * heartbeat) {
      return false;
    }
    const ids = new Set(missing.map(({ id }) => id));
    const holders = live.filter(({ held }) => held.some(({ keyId }) => ids.has(toHex(keyId))));
    const turn = turnOf(
      provider,
      prekeyId,
      instanceId,
      holders.map((holder) => holder.instanceId),
    );
    // It made the key itself, or an envelope of the epoch record is on its way to it: only if that fails.
    const expected = visit.epochs.some(
      ({ keyId, creator, envelopes }) =>
        ids.has(toHex(keyId)) &&
        (toHex(creator) === toHex(peer.instanceId) ||
          envelopes.some((envelope) => toHex(envelope.prekeyId) === toHex(prekeyId))),
    );
    return elapsed(since, visit.now) >= (turn + (expected ? 2 : 0)) * TURN * heartbeat;
  }

  #welcome(visit: Visit, { peer, missing }: Need, generation: Generation): readonly RingAction[] {
    const { trust, configuration, identity } = this.#context;
    const keys = missing.slice(0, MAX_WELCOME_KEYS).map((key) => {
      const { epoch, rotation, times, keyId, secret } = key;
      return { key: { epoch, rotation, ...times, keyId, age: Math.ceil(key.age(visit.now)) }, secret };
    });
    const { instanceId, prekey, notAfter } = peer;
    const recipient = { instanceId, prekey };
    try {
      const record = sealWelcomeRecord({
        trust,
        kem: configuration.kem,
        identity,
        recipient,
        sentAt: visit.time,
        generation,
        keys,
      });
      const ttl = Math.max(1, notAfter - visit.time);
      return [
        { kind: 'put_welcome', slot: instanceSlot(instanceId), record, ttl },
        {
          kind: 'event',
          event: {
            kind: 'welcomed',
            member: shortName(peer.memberId),
            instance: shortName(instanceId),
            keys: keys.length,
          },
        },
      ];
    } catch (error) {
      if (error instanceof TLSError && error.code === 'TLS_ERR_BAD_KEY_SHARE') {
        return [];
      }
      throw error;
    }
  }
}

/** Heartbeats after which a welcome that was not taken is sent again. */
const RESEND = 3;
/**
 * Bounds the work of one visit when many join at once: the others' turn comes with the next. With ML-KEM in JavaScript each
 * takes some milliseconds, for which no connection is served.
 */
const MAX_PER_VISIT = 4;
const ACTIONS_PER_WELCOME = 2;
