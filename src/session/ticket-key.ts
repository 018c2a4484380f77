/**
 * The key that protects tickets (in prose: STEK), and where such keys come from.
 *
 *     birth ─ opens ─▶ sealFrom ─ seals and opens ─▶ sealUntil ─ opens ─▶ openUntil12 ─ opens TLS 1.3's ─▶ openUntil
 *                                                                         secret12 erased                 secret erased
 *
 * A TLS 1.2 ticket holds a master secret, which opens recorded connections; a TLS 1.3 ticket holds a PSK, which alone opens
 * none. So what opens the former ends sooner: the two are sealed under secrets that have nothing to do with each other.
 */

import type { Secret } from '../bytes/secret.ts';

/** Times are milliseconds since the epoch. */
export interface TicketKey {
  /** 16 random bytes, sent in clear at the head of each ticket. */
  readonly name: Uint8Array;
  /** 32 bytes from which the AES-256-GCM key of each TLS 1.3 ticket is derived; erased at `openUntil`. */
  readonly secret: Secret;
  /** 32 bytes for the tickets of TLS 1.2, and for its sessions in a cache outside; erased at `openUntil12`. */
  readonly secret12: Secret;
  readonly createdAt: number;
  readonly sealFrom: number;
  readonly sealUntil: number;
  readonly openUntil: number;
  /** Not after `openUntil`. */
  readonly openUntil12: number;
  /** Counted by `sealTicket` and `openTicket`, for the status page; absent when the source does not care. */
  readonly uses?: TicketKeyUses;
  /** Those of `secret12`, where they are counted apart; else they are among the others. */
  readonly uses12?: TicketKeyUses;
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
  readonly openUntil12: number;
  readonly state: 'waiting' | 'sealing' | 'opening';
  readonly ticketsSealed: number;
  readonly ticketsOpened: number;
}

/**
 * Where ticket keys come from: this process, this machine's cluster, or a fleet. Calls are synchronous: whoever
 * fetches keys from elsewhere holds them ready. Erasing keys on time is the source's duty: both secrets of each, in their
 * own time.
 */
export interface TicketKeySource {
  /** The key to seal with now; undefined means no ticket is sent, never that an old key is used. */
  sealingKey(now: number): TicketKey | undefined;
  /** The key with this name if it may still open anything: of TLS 1.2 nothing more once its `secret12` is erased. */
  openingKey(name: Uint8Array, now: number): TicketKey | undefined;
  status(now: number): readonly TicketKeyStatus[];
}
