/**
 * What the workers of one machine share beside the ring: TLS 1.2 sessions by ID, and which tickets were used. Both lie in the
 * primary's memory. Sessions come to it sealed under the ring's keys, tickets by their keyed IDs.
 */

import { fromBase64, toBase64 } from '../../../fleet/ipc/link.ts';
import { systemClock } from '../../../node/clock.ts';
import type { ExternalSessionCache, StoredSession } from '../../../session/external-session-cache.ts';
import {
  LocalSingleUseRegister,
  type SharedSingleUseRegister,
  type TicketClaim,
} from '../../../session/single-use-register.ts';
import type { Handlers, Line } from './line.ts';

interface Kept {
  readonly value: string;
  /** Milliseconds on the monotonic clock. */
  readonly until: number;
}

/** At the primary: what workers ask for. */
export class SharedMemory {
  readonly #register = new LocalSingleUseRegister({ clock: systemClock });
  /** In the order of their making. */
  readonly #sessions = new Map<string, Kept>();

  readonly handlers: Handlers = {
    claim: ({ id, expiresAt }: { id: string; expiresAt: number }) => this.#register.claim(fromBase64(id), expiresAt),
    get: ({ id }: { id: string }) => this.#get(id),
    set: ({ id, value, lifetime }: { id: string; value: string; lifetime: number }) => this.#set(id, value, lifetime),
    delete: ({ id }: { id: string }) => void this.#sessions.delete(id),
  };

  get sessions(): number {
    return this.#sessions.size;
  }

  close(): void {
    this.#register.close();
    this.#sessions.clear();
  }

  #get(id: string): string | null {
    const kept = this.#sessions.get(id);
    return kept !== undefined && kept.until > systemClock.monotonic() ? kept.value : null;
  }

  #set(id: string, value: string, lifetime: number): void {
    const now = systemClock.monotonic();
    for (const [oldest, { until }] of this.#sessions) {
      if (this.#sessions.size < MAX_SESSIONS && until > now) {
        break;
      }
      this.#sessions.delete(oldest);
    }
    this.#sessions.delete(id);
    this.#sessions.set(id, { value, until: now + lifetime * 1000 });
  }
}

/** At a worker. What the primary does not answer is a miss, and a ticket that counts as used. */
export function sharedByPrimary(line: Line): { cache: ExternalSessionCache; register: SharedSingleUseRegister } {
  return {
    cache: {
      async get(sessionId): Promise<StoredSession | undefined> {
        const value = await line.ask('get', { id: toBase64(sessionId) });
        return typeof value === 'string' ? fromBase64(value) : undefined;
      },
      async set(sessionId, value, lifetime): Promise<void> {
        await line.ask('set', { id: toBase64(sessionId), value: toBase64(value), lifetime });
      },
      async delete(sessionId): Promise<void> {
        await line.ask('delete', { id: toBase64(sessionId) });
      },
    },
    register: {
      async claim(ticketId, expiresAt): Promise<TicketClaim> {
        return (await line.ask('claim', { id: toBase64(ticketId), expiresAt })) as TicketClaim;
      },
    },
  };
}

/** Of some 400 bytes each: the one made longest ago makes room. */
const MAX_SESSIONS = 20_000;
