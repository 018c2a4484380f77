/**
 * `mayfly/fleet`: one ring of ticket keys for servers on many machines, over Redis or Valkey; and for the processes and
 * threads of one machine, without any store. docs/ring.md
 */

import { nodeProvider } from '../crypto/node-provider.ts';
import { TLSError } from '../errors.ts';
import type { RingAlarm, RingEvent } from '../fleet/actions.ts';
import { type RingConfiguration, ringConfiguration, ringId } from '../fleet/configuration.ts';
import { type IdentityFile, memberIdOf } from '../fleet/identity.ts';
import type { RingStatus } from '../fleet/member-status.ts';
import { connectRedis, type RedisConnection } from '../fleet/redis/connection.ts';
import { RedisStore } from '../fleet/redis/redis-store.ts';
import { Ring } from '../fleet/ring.ts';
import { ticketKeyUses } from '../fleet/ring-keys.ts';
import { sessionNameUses } from '../fleet/session-names.ts';
import type { RingStore } from '../fleet/store.ts';
import type { ExternalSessionCache } from '../session/external-session-cache.ts';
import type { SharedSingleUseRegister } from '../session/single-use-register.ts';
import type { TicketKey, TicketKeySource, TicketKeyStatus } from '../session/ticket-key.ts';
import { systemClock } from './clock.ts';
import { eraseAtExit } from './erase-at-exit.ts';
import { FleetPolicy } from './fleet-policy.ts';
import { loadIdentity } from './identity-file.ts';
import type { SessionOptions } from './sessions.ts';
import { parsePeriod } from './tls-options.ts';

export { nodeProvider } from '../crypto/node-provider.ts';
export type { KeyEnd, RingAlarm, RingEvent } from '../fleet/actions.ts';
export { createIdentityFiles, type IdentityFile, type NamedMember, readIdentityFile } from '../fleet/identity.ts';
export type { KeyStatus, MemberStatus, RingStatus } from '../fleet/member-status.ts';
export type { RingStore, StoredRecord } from '../fleet/store.ts';
export type { ExternalSessionCache } from '../session/external-session-cache.ts';
export type { SharedSingleUseRegister } from '../session/single-use-register.ts';
export type { TicketKeySource, TicketKeyStatus } from '../session/ticket-key.ts';
export { FleetPolicy } from './fleet-policy.ts';
export { loadIdentity } from './identity-file.ts';
export { MachineRing, type MachineRingOptions, machineRing } from './machine-ring.ts';

/** What all members of a fleet must be given alike, and who this one is. */
export interface FleetIdentityOptions {
  /** The path of this member's identity file (mode 0600 or 0400), or what is in it. See `mayfly ring init`. */
  readonly identity: string;
  /** What the file must say, when given: guards against a file of another fleet. */
  readonly fleetName?: string;
  /** How long a key seals, the epoch: seconds, or a text such as '1h'. 6 s to 6 h, default 1 h. Alike at all members. */
  readonly rotate?: number | string;
  /** How long a ticket may be used: seconds or text, up to 23 h. Default 2 h. Alike at all members. */
  readonly ticketLifetime?: number | string;
  /** A label for each group of servers that may open each other's tickets. Default ['default']. Alike at all members. */
  readonly policies?: readonly string[];
}

export interface FleetOptions extends FleetIdentityOptions {
  /**
   * redis://[user:password@]HOST[:PORT]/[DB], rediss:// with TLS, redis+cluster://HOST:PORT,… or
   * redis+sentinel://HOST:PORT,…/NAME[?sentinelPassword=…]; valkey:// and so on mean the same. Names and passwords are
   * percent-encoded. This or `store`.
   */
  readonly url?: string;
  /** Another store, for the ring with this id (32 bytes). It has no place for sessions by ID and used tickets. */
  readonly store?: (ringId: Uint8Array) => RingStore;
  /** PEM of the CAs for rediss://. Default: Node's own. */
  readonly ca?: string;
  /** What others call this member in their status: at most 64 bytes. Default: the name in the identity file. */
  readonly name?: string;
  /** Processes that run with this identity at a time: more raise the alarm 'identity_shared'. 1 to 255, default 1. */
  readonly processes?: number;
  /** Told of what happens at this member. Must not throw. */
  readonly onEvent?: (event: RingEvent) => void;
  /**
   * Told when a condition that someone should look at begins to hold, and when it is over. Must not throw.
   * What each means: `RingAlarm`.
   */
  readonly onAlarm?: (alarm: RingAlarm, holds: boolean) => void;
  /** Told of each failure of the store: the ring goes on with the keys it has. Must not throw. */
  readonly onStoreError?: (error: unknown) => void;
}

/** What a member needs to know before it joins. */
export interface FleetPlan {
  readonly file: IdentityFile;
  readonly configuration: RingConfiguration;
  /** 32 bytes. */
  readonly ringId: Uint8Array;
}

/**
 * Reads the identity and holds the options against the house's bounds; opens nothing.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function planFleet({ identity, fleetName, policies, ...options }: FleetIdentityOptions): FleetPlan {
  const file = loadIdentity(identity);
  if (fleetName !== undefined && fleetName !== file.fleetName) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `the identity is of the fleet ${JSON.stringify(file.fleetName)}, not of ${JSON.stringify(fleetName)}`,
    );
  }
  const configuration = ringConfiguration({
    fleetName: file.fleetName,
    allowList: file.members.map(({ publicKey }) => publicKey),
    ...(policies === undefined ? {} : { policies }),
    ...(options.rotate === undefined ? {} : { epochLength: parsePeriod('rotate', options.rotate) }),
    ...(options.ticketLifetime === undefined
      ? {}
      : { ticketLifetime: parsePeriod('ticketLifetime', options.ticketLifetime) }),
  });
  return { file, configuration, ringId: ringId(nodeProvider, configuration) };
}

/**
 * Joins the fleet's ring. Returns at once: until the first key has come there are no tickets, and handshakes are full. A
 * store that fails costs nothing but time until then.
 *
 *     const fleet = joinFleet({ url: 'redis://10.0.0.5', identity: '/etc/mayfly/identity.json' });
 *     const server = createServer({ cert, key, sessions: fleet.sessions });
 *
 * @throws TLSError `TLS_ERR_CONFIG` an option, the URL or the identity
 */
export function joinFleet(options: FleetOptions): Fleet {
  return new Fleet(options);
}

/** This process's part in a fleet; as a source of ticket keys, that of its first policy. */
export class Fleet implements TicketKeySource {
  /** Resolves once this member seals. Never rejected; stays open when it is closed before. */
  readonly ready: Promise<void>;
  readonly #plan: FleetPlan;
  readonly #ring: Ring;
  readonly #redis: RedisConnection | undefined;
  readonly #policies = new Map<string, FleetPolicy>();

  constructor(options: FleetOptions) {
    const { onEvent, onAlarm, onStoreError, processes } = options;
    this.#plan = planFleet(options);
    const { file, configuration } = this.#plan;
    const name = options.name ?? file.name;
    if ((options.url === undefined) === (options.store === undefined)) {
      throw new TLSError('TLS_ERR_CONFIG', 'a fleet needs either the URL of its store or a store');
    }
    let isReady: () => void = () => {};
    this.ready = new Promise((resolve) => {
      isReady = resolve;
    });
    const { url, ca } = options;
    this.#redis = url === undefined ? undefined : connectRedis({ url, ca, onError: onStoreError });
    try {
      this.#ring = new Ring({
        provider: nodeProvider,
        configuration,
        identity: file.identity,
        name,
        uses: configuration.policies.flatMap((policy) => [...ticketKeyUses(policy), ...sessionNameUses(policy)]),
        ...(processes === undefined ? {} : { processes }),
        store: this.#openStore(options),
        clock: systemClock,
        onEvent: (event) => {
          if (event.kind === 'sealing') {
            isReady();
          }
          onEvent?.(event);
          if (event.kind === 'alarm' || event.kind === 'alarm_over') {
            onAlarm?.(event.alarm, event.kind === 'alarm');
          }
        },
        onStoreError,
      });
    } catch (error) {
      this.#redis?.close();
      throw error;
    }
    // Its keys end at once; that it signs off in the store comes too late then.
    eraseAtExit(this.#ring, (ring) => void ring.close());
    for (const policy of options.policies ?? configuration.policies) {
      this.#policies.set(policy, new FleetPolicy({ ...this.#plan, ring: this.#ring, redis: this.#redis, policy }));
    }
  }

  /** The ring's keys for the servers of one policy. @throws TLSError `TLS_ERR_CONFIG` no such policy was given */
  policy(label: string): FleetPolicy {
    const policy = this.#policies.get(label);
    if (policy === undefined) {
      throw new TLSError('TLS_ERR_CONFIG', `the fleet has no policy ${JSON.stringify(label)}`);
    }
    return policy;
  }

  /** For `sessions` of a Mayfly server: ticket keys, lifetimes and, with a URL, TLS 1.2 sessions by ID in the store. */
  get sessions(): SessionOptions {
    return this.#first.sessions;
  }

  /** TLS 1.2 sessions by ID, in the store. @throws TLSError `TLS_ERR_NOT_SUPPORTED` without a URL */
  get sessionCache(): ExternalSessionCache {
    return this.#first.sessionCache;
  }

  /** Which tickets were used, for `sessions.singleUse` and early data. @throws TLSError `TLS_ERR_NOT_SUPPORTED` without a URL */
  get register(): SharedSingleUseRegister {
    return this.#first.register;
  }

  sealingKey(now?: number): TicketKey | undefined {
    return this.#first.sealingKey(now);
  }

  openingKey(name: Uint8Array, now?: number): TicketKey | undefined {
    return this.#first.openingKey(name, now);
  }

  /** The ticket keys, as every source of them tells. */
  status(now?: number): readonly TicketKeyStatus[] {
    return this.#first.status(now);
  }

  /** The whole ring as this member sees it. */
  ringStatus(): RingStatus {
    return this.#ring.status();
  }

  /** A new key seals soon, everywhere; what is out still opens. */
  rotate(): void {
    this.#ring.rotate();
  }

  /** Ends all keys of the whole fleet: no ticket that is out opens any more. @throws TLSError `TLS_ERR_WRONG_STATE` */
  flush(): Promise<void> {
    return this.#ring.flush();
  }

  /**
   * Ends all keys, and this member gets no later one.
   * @param who its name in the identity file, or its member id: hex, at least the 8 digits that are shown
   * @throws TLSError `TLS_ERR_CONFIG` nobody or several are called so; `TLS_ERR_WRONG_STATE`
   */
  async evict(who: string): Promise<void> {
    await this.#ring.evict(findMember(this.#plan.file, who));
  }

  /** Erases this member's keys, signs off and leaves the store. Idempotent. */
  async close(): Promise<void> {
    await this.#ring.close();
    this.#redis?.close();
  }

  get #first(): FleetPolicy {
    return this.#policies.values().next().value as FleetPolicy;
  }

  #openStore({ store }: FleetOptions): RingStore {
    const { ringId } = this.#plan;
    return this.#redis === undefined
      ? (store as NonNullable<typeof store>)(ringId)
      : new RedisStore(this.#redis, ringId);
  }
}

/** The member id of whom people call so. @throws TLSError `TLS_ERR_CONFIG` nobody or several are called so */
export function findMember({ members }: IdentityFile, who: string): Uint8Array {
  const ids = members.map(({ name, publicKey }) => ({ name, id: memberIdOf(nodeProvider, publicKey) }));
  const named = ids.filter(({ name }) => name === who);
  const prefix = /^[0-9a-f]{8,64}$/i.test(who) ? who.toLowerCase() : undefined;
  const found = named.length > 0 || prefix === undefined ? named : ids.filter(({ id }) => hex(id).startsWith(prefix));
  if (found.length !== 1) {
    const list = members.map(({ name }) => JSON.stringify(name)).join(', ');
    const how = found.length === 0 ? 'nobody' : 'more than one';
    throw new TLSError('TLS_ERR_CONFIG', `${how} in the fleet is called ${JSON.stringify(who)}; there are ${list}`);
  }
  return found[0].id;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
