/**
 * The ledger: an entry for every secret of this process from its birth on, kept from the diagnostics channels. It knows
 * IDs, kinds, lengths, times and counts; it holds no secret, no bytes and no fingerprint, with which a guess of a weak PSK
 * could be tested.
 *
 *     entry = id, kind, length, parents, owner, born, uses, ended and why
 *
 * It is bounded. Where it has to forget, what has ended goes first, the oldest end first; what was made from a forgotten
 * secret takes over its parents, so that lines of descent stay whole though they lose steps.
 */

import { Chain, Link } from './chain.ts';
import {
  type SecretBorn,
  type SecretEnded,
  type SecretOwner,
  type SecretUses,
  secretBorn,
  secretEnded,
} from './channels.ts';
import { type KeyTree, treeOf } from './key-tree.ts';

export interface KeyLedgerOptions {
  /** Entries in all. Default 20,000, which take some 10 MB. Stops many connections from filling the memory. */
  readonly maxEntries?: number;
  /** Entries of one connection. Default 400. Stops one that lives for weeks and renews its keys from crowding out the others. */
  readonly maxEntriesPerOwner?: number;
  /** Milliseconds. Default `Date.now`. */
  readonly now?: () => number;
}

/** What is known of one secret. */
export interface LedgerEntry {
  readonly id: number;
  /** Which birth of all it was that the ledger heard of. */
  readonly order: number;
  /** In the RFC's terms; traffic secrets by their names in RFC 9850. */
  readonly kind: string;
  /** Bytes. */
  readonly length: number;
  /** What it was made from, as far as the ledger remembers; of several the last weighs most. */
  readonly parents: readonly LedgerEntry[];
  /** Undefined for what belongs to the process: what came from outside, or a fleet's keys. */
  readonly owner: SecretOwner | undefined;
  /** On the ledger's clock, as `endedAt`. */
  readonly bornAt: number;
  /** Counts on while the secret is used. */
  readonly uses: SecretUses | undefined;
  /** Undefined while it lives. */
  readonly endedAt: number | undefined;
  readonly why: string | undefined;
}

export interface OwnerAccount {
  readonly owner: SecretOwner | undefined;
  readonly alive: number;
  readonly ended: number;
  /** Entries that had to make room. */
  readonly forgotten: number;
}

export class KeyLedger {
  readonly #maxEntries: number;
  readonly #maxPerOwner: number;
  readonly #now: () => number;
  readonly #entries = new Map<number, Entry>();
  /** In the order of their births. */
  readonly #alive = new Chain<Entry>();
  /** In the order of their ends. */
  readonly #ended = new Chain<Entry>();
  readonly #accounts = new Map<number, Account>();
  #births = 0;
  #listening = false;

  constructor(options: KeyLedgerOptions = {}) {
    this.#maxEntries = options.maxEntries ?? 20_000;
    this.#maxPerOwner = options.maxEntriesPerOwner ?? 400;
    this.#now = options.now ?? Date.now;
  }

  /** Keeps books from now on. What was born before stays unknown. Idempotent. */
  start(): this {
    if (!this.#listening) {
      this.#listening = true;
      secretBorn.subscribe(this.#onBorn);
      secretEnded.subscribe(this.#onEnded);
    }
    return this;
  }

  /** Hears nothing any more; what it knows stays. Idempotent. */
  stop(): void {
    this.#listening = false;
    secretBorn.unsubscribe(this.#onBorn);
    secretEnded.unsubscribe(this.#onEnded);
  }

  /** All entries in the order of birth. */
  get entries(): Iterable<LedgerEntry> {
    return this.#entries.values();
  }

  get size(): number {
    return this.#entries.size;
  }

  entry(id: number): LedgerEntry | undefined {
    return this.#entries.get(id);
  }

  /** Of all owners that have an entry; that of `undefined` is the process's own. */
  get accounts(): readonly OwnerAccount[] {
    return [...this.#accounts.values()].map(({ owner, alive, ended, forgotten }) => ({
      owner,
      alive: alive.size,
      ended: ended.size,
      forgotten,
    }));
  }

  /** Entries of one owner in the order of birth. */
  entriesOf(owner: SecretOwner | undefined): readonly LedgerEntry[] {
    const account = this.#accounts.get(keyOf(owner));
    return account === undefined ? [] : [...account.alive, ...account.ended].sort((a, b) => a.order - b.order);
  }

  /** Which of an owner's secrets grew from which; undefined when nothing is known of it. */
  tree(owner: SecretOwner | undefined): KeyTree | undefined {
    const account = this.#accounts.get(keyOf(owner));
    if (account === undefined) {
      return undefined;
    }
    const { alive, ended, forgotten } = account;
    return treeOf({ owner, entries: this.entriesOf(owner), alive: alive.size, ended: ended.size, forgotten });
  }

  readonly #onBorn = (message: unknown) => {
    const { id, kind, length, parents, owner, uses } = message as SecretBorn;
    const known = this.#known(parents);
    const entry = new Entry(id, kind, length, uses, owner ?? known.at(-1)?.owner, this.#now(), ++this.#births);
    entry.descendFrom(known);
    this.#entries.set(id, entry);
    const account = this.#account(entry.owner);
    this.#alive.add(entry.inAll);
    account.alive.add(entry.inAccount);
    // The process's own has no bound but that of all.
    if (entry.owner !== undefined && account.alive.size + account.ended.size > this.#maxPerOwner) {
      this.#forget(account.ended.first ?? account.alive.first);
    }
    if (this.#entries.size > this.#maxEntries) {
      this.#forget(this.#ended.first ?? this.#alive.first);
    }
  };

  readonly #onEnded = (message: unknown) => {
    const { id, why } = message as SecretEnded;
    const entry = this.#entries.get(id);
    if (entry !== undefined && entry.endedAt === undefined) {
      this.#unlink(entry);
      entry.endedAt = this.#now();
      entry.why = why;
      this.#ended.add(entry.inAll);
      this.#account(entry.owner).ended.add(entry.inAccount);
    }
  };

  #known(parents: readonly number[]): readonly Entry[] {
    let known: Entry[] | undefined;
    for (const id of parents) {
      const parent = this.#entries.get(id);
      if (parent !== undefined) {
        known ??= [];
        known.push(parent);
      }
    }
    return known ?? NONE;
  }

  #account(owner: SecretOwner | undefined): Account {
    const key = keyOf(owner);
    let account = this.#accounts.get(key);
    if (account === undefined) {
      account = { owner, alive: new Chain(), ended: new Chain(), forgotten: 0 };
      this.#accounts.set(key, account);
    }
    return account;
  }

  #forget(entry: Entry | undefined): void {
    if (entry === undefined) {
      return;
    }
    entry.leave();
    this.#entries.delete(entry.id);
    this.#unlink(entry);
    const account = this.#account(entry.owner);
    account.forgotten += 1;
    if (account.alive.size + account.ended.size === 0) {
      this.#accounts.delete(keyOf(entry.owner));
    }
  }

  #unlink(entry: Entry): void {
    const { alive, ended } = this.#account(entry.owner);
    const isAlive = entry.endedAt === undefined;
    (isAlive ? this.#alive : this.#ended).remove(entry.inAll);
    (isAlive ? alive : ended).remove(entry.inAccount);
  }
}

interface Account {
  readonly owner: SecretOwner | undefined;
  readonly alive: Chain<Entry>;
  readonly ended: Chain<Entry>;
  forgotten: number;
}

class Entry implements LedgerEntry {
  readonly id: number;
  readonly kind: string;
  readonly length: number;
  readonly owner: SecretOwner | undefined;
  readonly bornAt: number;
  readonly uses: SecretUses | undefined;
  readonly order: number;
  parents: readonly Entry[] = NONE;
  endedAt: number | undefined = undefined;
  why: string | undefined = undefined;
  /** Most secrets have none or one. */
  #child: Entry | undefined = undefined;
  #otherChildren: Set<Entry> | undefined = undefined;

  /** Where it is among all that live, or all that have ended, and among those of its owner. */
  readonly inAll: Link<Entry>;
  readonly inAccount: Link<Entry>;

  constructor(
    id: number,
    kind: string,
    length: number,
    uses: SecretUses | undefined,
    owner: SecretOwner | undefined,
    bornAt: number,
    order: number,
  ) {
    this.id = id;
    this.kind = kind;
    this.length = length;
    this.uses = uses;
    this.owner = owner;
    this.bornAt = bornAt;
    this.order = order;
    this.inAll = new Link<Entry>(this);
    this.inAccount = new Link<Entry>(this);
  }

  descendFrom(parents: readonly Entry[]): void {
    this.parents = parents;
    for (const parent of parents) {
      parent.#adopt(this);
    }
  }

  /** Is forgotten: its own parents take its place, in the order in which they weigh. */
  leave(): void {
    for (const parent of this.parents) {
      parent.#disown(this);
    }
    const children = [...(this.#child === undefined ? NONE : [this.#child]), ...(this.#otherChildren ?? NONE)];
    for (const child of children) {
      child.descendFrom([...new Set(child.parents.flatMap((parent) => (parent === this ? this.parents : [parent])))]);
    }
  }

  #adopt(child: Entry): void {
    if (this.#child === undefined && this.#otherChildren?.has(child) !== true) {
      this.#child = child;
    }
    if (this.#child === child) {
      return;
    }
    this.#otherChildren ??= new Set();
    this.#otherChildren.add(child);
  }

  #disown(child: Entry): void {
    if (this.#child === child) {
      this.#child = undefined;
      return;
    }
    this.#otherChildren?.delete(child);
  }
}

const NONE: readonly Entry[] = [];

function keyOf(owner: SecretOwner | undefined): number {
  return owner?.id ?? 0;
}
