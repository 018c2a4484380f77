/**
 * What the ring needs of a store, and how much of what it reads there it is willing to look at.
 *
 *     members   one slot per running instance, overwritten with each heartbeat, gone three heartbeats after the last
 *     epochs    one slot per (generation, epoch, rotation), written once; a failover may leave several records for one
 *     welcomes  one slot per instance: keys for one that lacks them
 *     orders    one slot per member: the generation and who is evicted
 *
 * The store is trusted for availability only: every record verifies itself, so an implementation passes bytes on and
 * judges nothing. docs/ring.md has the protocol.
 */

/** A record as it lies in the store. */
export interface StoredRecord {
  /** Where it lies: what the writer passed as `slot`. */
  readonly slot: string;
  readonly bytes: Uint8Array;
}

/**
 * A store for one ring: an implementation is made with the ring's id (`ringId`, in hex: part of every name it uses), so
 * rings that share a server never meet. Every call may fail, by rejecting with whatever error: the member tries again with
 * its next heartbeat and goes on with the keys it has. A call that hangs must be made to fail after `STORE_TIMEOUT`.
 *
 * Slots are made of lower-case hex digits and `.`, at most `MAX_SLOT_LENGTH` characters. `ttl` is in whole milliseconds and
 * at least 1: after it the record must be gone.
 */
export interface RingStore {
  /** The store's own clock, milliseconds since the epoch. Asked of the store each time, never computed. */
  time(): Promise<number>;

  /** The records of all members: at most `MAX_MEMBER_RECORDS`; what is more is left out. */
  listMembers(): Promise<readonly StoredRecord[]>;
  /** All epoch records, those of past epochs as well while they are there: at most `MAX_EPOCH_RECORDS`. */
  listEpochs(): Promise<readonly StoredRecord[]>;
  /** What lies in this instance's welcome slot: none, one, or (after a failover) more. */
  listWelcomes(slot: string): Promise<readonly StoredRecord[]>;
  /** At most `MAX_ORDER_RECORDS`. */
  listOrders(): Promise<readonly StoredRecord[]>;

  putMember(slot: string, record: Uint8Array, ttl: number): Promise<void>;
  /**
   * @param ifAbsent write only when the slot is empty (`SET NX PX`). Nobody asks whether it was: the next look at the
   * store tells who won, and no rule of the protocol rests on there being one winner.
   */
  putEpoch(slot: string, record: Uint8Array, ttl: number, ifAbsent: boolean): Promise<void>;
  putWelcome(slot: string, record: Uint8Array, ttl: number): Promise<void>;
  putOrder(slot: string, record: Uint8Array, ttl: number): Promise<void>;
  removeMember(slot: string): Promise<void>;

  /** Tells the others that there is something new. A hint: it may be lost, doubled or late. Carries no content. */
  publish(): Promise<void>;
  /** Calls `listener` upon others' hints until the returned function is called. Failures are silent: hints may be lost. */
  subscribe(listener: () => void): () => void;
}

/** All that a member looks at in one visit to the store. */
export interface StoreView {
  /** The store's clock. */
  readonly time: number;
  readonly members: readonly StoredRecord[];
  readonly epochs: readonly StoredRecord[];
  /** Of this member's own slot. */
  readonly welcomes: readonly StoredRecord[];
  readonly orders: readonly StoredRecord[];
}

/** Milliseconds after which a call, and a whole visit, has failed: older answers say too little about now. */
export const STORE_TIMEOUT = 5_000;

export const MAX_SLOT_LENGTH = 80;

/** Running instances per ring. Beyond, rings are split: every epoch record holds an envelope for each. */
export const MAX_INSTANCES = 512;
/**
 * Records looked at per visit, so that who can write the store cannot make members verify signatures without end. Twice
 * the instances: those of processes that just ended are still there.
 */
export const MAX_MEMBER_RECORDS = 2 * MAX_INSTANCES;
export const MAX_EPOCH_RECORDS = 64;
export const MAX_WELCOME_RECORDS = 4;
export const MAX_ORDER_RECORDS = 64;

/** Bytes. What is longer is not read: it would only fill memory. */
export const MAX_MEMBER_RECORD_LENGTH = 4_096;
/** 512 hybrid envelopes of some 1200 bytes, and everyone but one evicted. */
export const MAX_EPOCH_RECORD_LENGTH = 1_300 * MAX_INSTANCES;
export const MAX_WELCOME_RECORD_LENGTH = 20_480;
export const MAX_ORDER_RECORD_LENGTH = 16_896;
