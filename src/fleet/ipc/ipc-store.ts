/** The ring's store as those see it who reach it by messages. What they ask is answered by a `serveStore` somewhere. */

import { TLSError } from '../../errors.ts';
import type { RingStore, StoredRecord } from '../store.ts';
import { fromBase64, isRingMessage, type MessageLink, toBase64 } from './link.ts';

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A call that is never answered is given up by who made it: `Ring` waits for no store longer than `STORE_TIMEOUT`. */
const MAX_WAITING = 1_000;

export class IpcStore implements RingStore {
  readonly #link: MessageLink;
  readonly #caller: string;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<() => void>();
  readonly #stop: () => void;
  #nextId = 0;

  /** @param caller differs from that of every other caller on the link */
  constructor(link: MessageLink, caller: string) {
    this.#link = link;
    this.#caller = caller;
    this.#stop = link.listen((message) => this.#onMessage(message));
  }

  /** Asks the host for what it tells newcomers. @throws TLSError `TLS_ERR_STORE` */
  hello(): Promise<unknown> {
    return this.#call('hello');
  }

  async time(): Promise<number> {
    return Number(await this.#call('time'));
  }

  listMembers(): Promise<readonly StoredRecord[]> {
    return this.#list('listMembers');
  }

  listEpochs(): Promise<readonly StoredRecord[]> {
    return this.#list('listEpochs');
  }

  listWelcomes(slot: string): Promise<readonly StoredRecord[]> {
    return this.#list('listWelcomes', slot);
  }

  listOrders(): Promise<readonly StoredRecord[]> {
    return this.#list('listOrders');
  }

  async putMember(slot: string, record: Uint8Array, ttl: number): Promise<void> {
    await this.#call('putMember', slot, toBase64(record), ttl);
  }

  async putEpoch(slot: string, record: Uint8Array, ttl: number, ifAbsent: boolean): Promise<void> {
    await this.#call('putEpoch', slot, toBase64(record), ttl, ifAbsent);
  }

  async putWelcome(slot: string, record: Uint8Array, ttl: number): Promise<void> {
    await this.#call('putWelcome', slot, toBase64(record), ttl);
  }

  async putOrder(slot: string, record: Uint8Array, ttl: number): Promise<void> {
    await this.#call('putOrder', slot, toBase64(record), ttl);
  }

  async removeMember(slot: string): Promise<void> {
    await this.#call('removeMember', slot);
  }

  async publish(): Promise<void> {
    await this.#call('publish');
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Hears nothing any more; open calls fail. */
  close(): void {
    this.#stop();
    this.#listeners.clear();
    for (const { reject } of this.#waiting.values()) {
      reject(new TLSError('TLS_ERR_STORE', 'the link to the store of this machine was closed'));
    }
    this.#waiting.clear();
  }

  async #list(call: string, ...args: readonly unknown[]): Promise<readonly StoredRecord[]> {
    const result = await this.#call(call, ...args);
    const pairs = Array.isArray(result) ? (result as readonly (readonly unknown[])[]) : [];
    return pairs.map(([slot, bytes]) => ({ slot: String(slot), bytes: fromBase64(bytes) }));
  }

  #call(call: string, ...args: readonly unknown[]): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      if (this.#waiting.size >= MAX_WAITING) {
        // Nobody answers: the oldest question was given up long ago.
        this.#waiting.delete(this.#waiting.keys().next().value as number);
      }
      this.#waiting.set(id, { resolve, reject });
      try {
        this.#link.send({ mayflyRing: 1, caller: this.#caller, id, call, args });
      } catch (cause) {
        this.#waiting.delete(id);
        reject(new TLSError('TLS_ERR_STORE', 'the store of this machine cannot be reached', { cause }));
      }
    });
  }

  #onMessage(message: unknown): void {
    if (!isRingMessage(message)) {
      return;
    }
    if ('news' in message) {
      for (const listener of this.#listeners) {
        listener();
      }
      return;
    }
    const waiting = message.caller === this.#caller && !('call' in message) ? this.#waiting.get(message.id) : undefined;
    if (waiting === undefined) {
      return;
    }
    this.#waiting.delete(message.id);
    if ('error' in message && message.error !== undefined) {
      waiting.reject(new TLSError('TLS_ERR_STORE', `the store of this machine: ${message.error}`));
    } else {
      waiting.resolve('result' in message ? message.result : undefined);
    }
  }
}
