/** What a member of the ring asks of its host, and what it tells. Data only: `ring.ts` carries it out over a store. */

import type { RecordRefusal } from './records/refusal.ts';

/** In the order in which they are to be carried out. A failed one is not repeated: the next visit decides anew. */
export type RingAction =
  /** Read a `StoreView` and hand it to `visited`, or call `visitFailed`. */
  | { readonly kind: 'visit' }
  | { readonly kind: 'put_member'; readonly slot: string; readonly record: Uint8Array; readonly ttl: number }
  | {
      readonly kind: 'put_epoch';
      readonly slot: string;
      readonly record: Uint8Array;
      readonly ttl: number;
      readonly ifAbsent: boolean;
    }
  | { readonly kind: 'put_welcome'; readonly slot: string; readonly record: Uint8Array; readonly ttl: number }
  | { readonly kind: 'put_order'; readonly slot: string; readonly record: Uint8Array; readonly ttl: number }
  | { readonly kind: 'remove_member'; readonly slot: string }
  | { readonly kind: 'publish' }
  /** Call `work` once others have had their turn. Asked for twice it is wanted once. */
  | { readonly kind: 'work' }
  /** Call `tick` after so many milliseconds at the latest. Replaces the one before. */
  | { readonly kind: 'wake'; readonly after: number }
  | { readonly kind: 'event'; readonly event: RingEvent };

/** Names in these are the first 4 bytes of an id, hex. */
export type RingEvent =
  | { readonly kind: 'epoch_made'; readonly epoch: number; readonly key: string; readonly members: number }
  | { readonly kind: 'key_received'; readonly epoch: number; readonly key: string; readonly by: 'epoch' | 'welcome' }
  | { readonly kind: 'key_ended'; readonly epoch: number; readonly key: string; readonly why: KeyEnd }
  | { readonly kind: 'sealing'; readonly epoch: number; readonly key: string; readonly ratchetDepth: number }
  /** No ticket is made until a key comes. */
  | { readonly kind: 'not_sealing' }
  /** This process is a member from now on, under this name: whoever is welcomed under another is none of this host's. */
  | { readonly kind: 'announced'; readonly member: string; readonly instance: string }
  | { readonly kind: 'welcomed'; readonly member: string; readonly instance: string; readonly keys: number }
  /** More processes of this member have run at one moment than it says it has; this one came last. */
  | { readonly kind: 'second_process'; readonly member: string; readonly instance: string }
  /** An order was given, here or elsewhere: all keys of before are erased. */
  | { readonly kind: 'generation'; readonly generation: number; readonly evicted: readonly string[] }
  | { readonly kind: 'refused'; readonly why: RecordRefusal; readonly slot: string }
  /** Of clocks: by how many milliseconds the one here runs ahead of the store's; negative when it is behind. */
  | { readonly kind: 'alarm' | 'alarm_over'; readonly alarm: RingAlarm; readonly skew?: number };

export type KeyEnd = 'expired' | 'generation' | 'left' | 'evicted' | 'crowded_out';

export type RingAlarm =
  /** The local wall clock and the store's differ by more than `maxSkew`: this member makes no epochs. */
  | 'clock_skew'
  /** The local clock is so far behind the store's that every prekey of this member seems over: it is sent no keys. */
  | 'clock_behind'
  /** The store could not be visited for half an epoch. */
  | 'store_unreachable'
  /** Sealing goes on under a ratcheted key, and not only for the moment by which a fresh one may be late: none came. */
  | 'no_fresh_epoch'
  /** The randomness that tickets are sealed by is older than two epochs. */
  | 'sealing_key_old'
  /** A day without a fresh epoch, or never a key: no tickets. */
  | 'no_sealing_key'
  /** Two running instances have one identity, or one is spoken for by two: a copied file, or a thief. */
  | 'identity_shared'
  /** More instances run than one ring is made for: some are left out of epoch records, and wait for a welcome. */
  | 'ring_full'
  /** An order evicts this member. */
  | 'evicted';
