/**
 * The register of used tickets on Redis or Valkey, for all members of a ring: for tickets that resume once, and against
 * early data that is sent again.
 *
 *     SET mayfly:{RING}:used:TICKET-ID 1 NX PXAT expiresAt
 *
 * One command looks up and enters, so of two claims anywhere one wins. Ticket IDs are keyed (see single-use-register.ts).
 * What the store forgets early is good twice: it must not evict (`maxmemory-policy noeviction`), and after a failover to a
 * replica that lagged behind, tickets claimed in the last moment may be claimed again. RFC 9846 §8.1.
 */

import { toHex } from '../../bytes/bytes.ts';
import type { Clock } from '../../session/clock.ts';
import type { SharedSingleUseRegister, TicketClaim } from '../../session/single-use-register.ts';
import { MAX_KEY_LIFE } from '../configuration.ts';
import type { RedisConnection } from './connection.ts';

export interface RedisSingleUseRegisterOptions {
  readonly redis: Pick<RedisConnection, 'command'>;
  /** 32 bytes. */
  readonly ringId: Uint8Array;
  readonly clock: Clock;
  /** Milliseconds by which the clocks of members and store may differ: entries are kept for so much longer. */
  readonly maxSkew: number;
  /** True while this member's clock is further off: its word on when a ticket ends counts for nothing then. */
  readonly isSkewed?: () => boolean;
}

export class RedisSingleUseRegister implements SharedSingleUseRegister {
  readonly #options: RedisSingleUseRegisterOptions;
  readonly #prefix: string;

  constructor(options: RedisSingleUseRegisterOptions) {
    this.#options = options;
    this.#prefix = `mayfly:{${toHex(options.ringId)}}:used`;
  }

  async claim(ticketId: Uint8Array, expiresAt: number): Promise<TicketClaim> {
    const { redis, clock, maxSkew, isSkewed } = this.#options;
    const left = expiresAt - clock.now();
    // What ends so late is no ticket of ours, and one that is over has no entry to find.
    if (isSkewed?.() === true || !(left > 0 && left <= MAX_KEY_LIFE)) {
      return 'full';
    }
    const key = `${this.#prefix}:${toHex(ticketId)}`;
    const until = String(Math.ceil(expiresAt) + maxSkew);
    const answer = await redis.command(key, ['SET', key, '1', 'NX', 'PXAT', until]);
    if (answer === null) {
      return 'used';
    }
    return String(answer) === 'OK' ? 'fresh' : 'full';
  }
}
