/**
 * The key that protects tickets (in prose: STEK), and where such keys come from.
 *
 *     birth ─ opens ─▶ sealFrom ─ seals and opens ─▶ sealUntil ─ opens ─▶ openUntil: erased
 */

import type { Secret } from '../bytes/secret.ts';

/** Times are milliseconds since the epoch. */
export interface TicketKey {
  /** 16 random bytes, sent in clear at the head of each ticket. */
  readonly name: Uint8Array;
  /** 32 bytes from which each ticket's own AES-256-GCM key is derived. */
  readonly secret: Secret;
  readonly createdAt: number;
  readonly sealFrom: number;
  readonly sealUntil: number;
  readonly openUntil: number;
  /** Counted by `sealTicket` and `openTicket`, for the status page; absent when the source does not care. */
  readonly uses?: TicketKeyUses;
}

export interface TicketKeyUses {
  sealed: number;
  opened: number;
}

/** What may be told about a ticket key: never its bytes. */
export interface TicketKeyStatus {
  /** The first 4 bytes of the name, hex. */
  readonly name: string;
  readonly createdAt: number;
  readonly sealFrom: number;
  readonly sealUntil: number;
  readonly openUntil: number;
  readonly state: 'waiting' | 'sealing' | 'opening';
  readonly ticketsSealed: number;
  readonly ticketsOpened: number;
}

/**
 * Where ticket keys come from: this process, this machine's cluster, or a fleet. Calls are synchronous: whoever
 * fetches keys from elsewhere holds them ready. Erasing keys on time is the source's duty.
 */
export interface TicketKeySource {
  /** The key to seal with now; undefined means no ticket is sent, never that an old key is used. */
  sealingKey(now: number): TicketKey | undefined;
  /** The key with this name if it may still open. */
  openingKey(name: Uint8Array, now: number): TicketKey | undefined;
  status(now: number): readonly TicketKeyStatus[];
}
