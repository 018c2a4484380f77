/** A store in this process's memory: for tests, and for members that share one process. It behaves as a good store does. */

import type { RingStore, StoredRecord } from './store.ts';

interface Entry {
  readonly record: Uint8Array;
  readonly until: number;
}

type Kind = 'member' | 'epoch' | 'welcome' | 'order';

export class MemoryStore implements RingStore {
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<() => void>();

  /** @param now the store's clock, milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now;
  }

  async time(): Promise<number> {
    return this.#now();
  }

  async listMembers(): Promise<readonly StoredRecord[]> {
    return this.#list('member', '');
  }

  async listEpochs(): Promise<readonly StoredRecord[]> {
    return this.#list('epoch', '');
  }

  async listWelcomes(slot: string): Promise<readonly StoredRecord[]> {
    return this.#list('welcome', slot);
  }

  async listOrders(): Promise<readonly StoredRecord[]> {
    return this.#list('order', '');
  }

  async putMember(slot: string, record: Uint8Array, ttl: number): Promise<void> {
    this.#put('member', slot, record, ttl);
  }

  async putEpoch(slot: string, record: Uint8Array, ttl: number, ifAbsent: boolean): Promise<void> {
    if (!ifAbsent || this.#list('epoch', slot).length === 0) {
      this.#put('epoch', slot, record, ttl);
    }
  }

  async putWelcome(slot: string, record: Uint8Array, ttl: number): Promise<void> {
    this.#put('welcome', slot, record, ttl);
  }

  async putOrder(slot: string, record: Uint8Array, ttl: number): Promise<void> {
    this.#put('order', slot, record, ttl);
  }

  async removeMember(slot: string): Promise<void> {
    this.#entries.delete(`member ${slot}`);
  }

  async publish(): Promise<void> {
    for (const listener of this.#listeners) {
      listener();
    }
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #put(kind: Kind, slot: string, record: Uint8Array, ttl: number): void {
    this.#entries.set(`${kind} ${slot}`, { record: Uint8Array.from(record), until: this.#now() + ttl });
  }

  /** @param slot empty for all */
  #list(kind: Kind, slot: string): readonly StoredRecord[] {
    const records: StoredRecord[] = [];
    for (const [name, { record, until }] of this.#entries) {
      if (until <= this.#now()) {
        this.#entries.delete(name);
      } else if (slot === '' ? name.startsWith(`${kind} `) : name === `${kind} ${slot}`) {
        records.push({ slot: name.slice(kind.length + 1), bytes: Uint8Array.from(record) });
      }
    }
    return records;
  }
}
