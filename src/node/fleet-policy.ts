/** What a fleet gives to the servers of one policy: ticket keys, sessions by ID, and which tickets were used. */

import { nodeProvider } from '../crypto/node-provider.ts';
import { TLSError } from '../errors.ts';
import type { RingConfiguration } from '../fleet/configuration.ts';
import type { RedisConnection } from '../fleet/redis/connection.ts';
import { HastyRedis } from '../fleet/redis/hasty.ts';
import { RedisSessionCache } from '../fleet/redis/session-cache.ts';
import { RedisSingleUseRegister } from '../fleet/redis/single-use-register.ts';
import type { Ring } from '../fleet/ring.ts';
import type { RingTicketKeys } from '../fleet/ring-keys.ts';
import { SessionNames } from '../fleet/session-names.ts';
import type { ExternalSessionCache } from '../session/external-session-cache.ts';
import type { SharedSingleUseRegister } from '../session/single-use-register.ts';
import type { TicketKey, TicketKeySource, TicketKeyStatus } from '../session/ticket-key.ts';
import { systemClock } from './clock.ts';
import type { SessionOptions } from './sessions.ts';

export interface FleetPolicyOptions {
  readonly ring: Ring;
  readonly configuration: RingConfiguration;
  readonly ringId: Uint8Array;
  /** Undefined with a store of the caller's own. */
  readonly redis: RedisConnection | undefined;
  readonly policy: string;
}

export class FleetPolicy implements TicketKeySource {
  readonly #options: FleetPolicyOptions;
  readonly #keys: RingTicketKeys;
  readonly #cache: ExternalSessionCache | undefined;
  readonly #register: SharedSingleUseRegister | undefined;

  constructor(options: FleetPolicyOptions) {
    const { ring, configuration, ringId, policy } = options;
    this.#options = options;
    this.#keys = ring.ticketKeys(policy);
    if (options.redis === undefined) {
      return;
    }
    const redis = new HastyRedis(options.redis, systemClock);
    const names = new SessionNames({ provider: nodeProvider, member: ring.member, clock: systemClock, policy });
    this.#cache = new RedisSessionCache({ redis, ringId, names });
    this.#register = new RedisSingleUseRegister({
      redis,
      ringId,
      clock: systemClock,
      maxSkew: configuration.maxSkew,
      isSkewed: () => ring.member.alarms.includes('clock_skew'),
    });
  }

  /** TLS 1.2 sessions by ID, in the store. @throws TLSError `TLS_ERR_NOT_SUPPORTED` without a URL */
  get sessionCache(): ExternalSessionCache {
    return this.#cache ?? unsupported('sessions by ID');
  }

  /** Which tickets were used. @throws TLSError `TLS_ERR_NOT_SUPPORTED` without a URL */
  get register(): SharedSingleUseRegister {
    return this.#register ?? unsupported('used tickets');
  }

  /** For `sessions` of a Mayfly server; add `singleUse: register` for tickets that resume once. */
  get sessions(): SessionOptions {
    const { epochLength, ticketLifetime } = this.#options.configuration;
    return {
      keys: this,
      rotate: epochLength / 1000,
      ticketLifetime: ticketLifetime / 1000,
      ...(this.#cache === undefined ? {} : { cache: this.#cache }),
    };
  }

  sealingKey(_now?: number): TicketKey | undefined {
    return this.#keys.sealingKey();
  }

  openingKey(name: Uint8Array, _now?: number): TicketKey | undefined {
    return this.#keys.openingKey(name);
  }

  status(_now?: number): readonly TicketKeyStatus[] {
    return this.#keys.status();
  }
}

function unsupported(what: string): never {
  throw new TLSError('TLS_ERR_NOT_SUPPORTED', `a fleet over a store of your own has no place for ${what}`);
}
