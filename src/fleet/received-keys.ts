/** Keys that others made: from envelopes in epoch records and from welcomes into the member's own hands, or refused. */

import { sameBytes, toHex } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import { MAX_KEY_LIFE } from './configuration.ts';
import { refuseTimes } from './epoch-rules.ts';
import { isZero } from './epoch-secret.ts';
import { HeldKey } from './held-key.ts';
import type { HeldKeys } from './held-keys.ts';
import type { MemberContext } from './member-context.ts';
import type { Peers } from './peers.ts';
import type { Prekeys } from './prekeys.ts';
import { type EpochHeader, type EpochRecord, openEnvelope } from './records/epoch.ts';
import { instanceSlot } from './records/member.ts';
import type { RecordRefusal } from './records/refusal.ts';
import { openWelcome, type WelcomeRecord } from './records/welcome.ts';
import { elapsed } from './ring-time.ts';
import type { Refuse, Visit } from './visit.ts';

type KeyDescription = Pick<
  EpochHeader,
  'epoch' | 'rotation' | 'createdAt' | 'sealFrom' | 'sealUntil' | 'destroyAt' | 'keyId'
>;

/** What an envelope held, not yet looked at. */
interface OpenedKey {
  readonly description: KeyDescription;
  readonly secret: Secret;
  readonly generation: number;
  /** Milliseconds, at the most. */
  readonly age: number;
}

export interface ReceivedKeysOptions {
  readonly context: MemberContext;
  /** Those that are held already. */
  readonly keys: HeldKeys;
  readonly prekeys: Prekeys;
  readonly peers: Peers;
  readonly refuse: Refuse;
}

export class ReceivedKeys {
  readonly #context: MemberContext;
  readonly #keys: HeldKeys;
  readonly #prekeys: Prekeys;
  readonly #peers: Peers;
  readonly #refuse: Refuse;
  /** Which epoch a key id was seen under. */
  readonly #seen = new Map<string, number>();

  constructor({ context, keys, prekeys, peers, refuse }: ReceivedKeysOptions) {
    this.#context = context;
    this.#keys = keys;
    this.#prekeys = prekeys;
    this.#peers = peers;
    this.#refuse = refuse;
  }

  /**
   * The keys that are new, ready to be held.
   * @param visit with records of this generation alone, from members that stand
   */
  fromEpochs(visit: Visit, generation: number): readonly HeldKey[] {
    const found: HeldKey[] = [];
    // The smallest key id first: of several records to one prekey all members open the same, the one that they will seal by.
    const records = [...visit.epochs].sort((a, b) => (toHex(a.keyId) < toHex(b.keyId) ? -1 : 1));
    for (const record of records) {
      const key = this.#fromEpoch(visit, record, generation);
      if (key !== undefined) {
        found.push(key);
      }
    }
    return found;
  }

  fromWelcomes(visit: Visit, generation: number): readonly HeldKey[] {
    return visit.welcomes.flatMap((welcome) => this.#fromWelcome(visit, welcome, generation));
  }

  /** Forgets ids of epochs so old that nothing about them is taken any more. */
  forget(epoch: number): void {
    for (const [id, seen] of this.#seen) {
      if (seen < epoch - 2) {
        this.#seen.delete(id);
      }
    }
  }

  #fromEpoch(visit: Visit, record: EpochRecord, generation: number): HeldKey | undefined {
    const envelope = record.envelopes.find(({ instanceId }) => sameBytes(instanceId, this.#context.instanceId));
    if (envelope === undefined || this.#keys.get(toHex(record.keyId))?.hasSecret === true) {
      return undefined;
    }
    const refusal = this.#peers.isThere(record) ? this.#refusalOf(visit, record) : 'unannounced';
    if (refusal !== undefined) {
      this.#refuse(refusal, toHex(record.creator));
      return undefined;
    }
    const prekey = this.#prekeys.take(envelope.prekeyId, visit.now);
    if (prekey === undefined) {
      // Spent or over: whoever has the key will see that it is missing here.
      return undefined;
    }
    const { trust, configuration } = this.#context;
    const secret = openEnvelope(trust, configuration.kem, record, envelope, prekey.keyPair);
    if (secret === undefined) {
      this.#refuse('bad_envelope', toHex(record.creator));
      return undefined;
    }
    // It was sealed after the prekey was made: however the clocks lie, it is no older than that.
    const age = elapsed(prekey.madeAt, visit.now);
    return this.#accept(visit, { description: record, secret, generation, age });
  }

  #fromWelcome(visit: Visit, welcome: WelcomeRecord, generation: number): readonly HeldKey[] {
    const { trust, configuration, instanceId } = this.#context;
    const slot = instanceSlot(welcome.instanceId);
    const missing = welcome.keys.some(({ keyId }) => this.#keys.get(toHex(keyId))?.hasSecret !== true);
    if (!sameBytes(welcome.instanceId, instanceId) || !missing) {
      return [];
    }
    const good = welcome.keys.filter((key) => this.#refusalOf(visit, key) === undefined).map(({ keyId }) => keyId);
    if (!this.#peers.hasAll(welcome.memberId, good)) {
      // The prekey stays: its sender may show itself yet.
      this.#refuse('unannounced', slot);
      return [];
    }
    const prekey = this.#prekeys.take(welcome.prekeyId, visit.now);
    if (prekey === undefined) {
      return [];
    }
    const secrets = openWelcome(trust, configuration.kem, welcome, prekey.keyPair);
    if (secrets === undefined) {
      this.#refuse('bad_envelope', slot);
      return [];
    }
    return welcome.keys.flatMap((key, index) => {
      const refusal = this.#refusalOf(visit, key);
      if (refusal !== undefined || this.#keys.get(toHex(key.keyId))?.hasSecret === true) {
        secrets[index].erase('refused');
        if (refusal !== undefined) {
          this.#refuse(refusal, slot);
        }
        return [];
      }
      const age = key.age + elapsed(prekey.madeAt, visit.now);
      return this.#accept(visit, { description: key, secret: secrets[index], generation, age }) ?? [];
    });
  }

  #refusalOf({ time }: Visit, key: KeyDescription): RecordRefusal | undefined {
    const seen = this.#seen.get(toHex(key.keyId));
    if (seen !== undefined && seen !== key.epoch) {
      return 'bad_key';
    }
    return refuseTimes(this.#context.configuration, key.epoch, key, time);
  }

  #accept(visit: Visit, { description, secret, generation, age }: OpenedKey): HeldKey | undefined {
    if (isZero(secret.expose()) || age >= MAX_KEY_LIFE) {
      secret.erase('refused');
      this.#refuse(age >= MAX_KEY_LIFE ? 'untimely' : 'bad_key', toHex(description.keyId));
      return undefined;
    }
    const { epoch, rotation, createdAt, sealFrom, sealUntil, destroyAt } = description;
    const key = new HeldKey(this.#context, {
      secret,
      epoch,
      rotation,
      generation,
      times: { createdAt, sealFrom, sealUntil, destroyAt },
      anchor: visit.anchor,
      age,
      distrustStore: visit.skewed,
    });
    if (!sameBytes(key.keyId, description.keyId)) {
      key.erase('refused');
      this.#refuse('bad_envelope', toHex(description.keyId));
      return undefined;
    }
    this.#seen.set(key.id, epoch);
    return key;
  }
}
