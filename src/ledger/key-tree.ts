/**
 * The tree of one owner's secrets, as plain values for JSON and for those who draw it: which grew from which.
 *
 * A secret that was made from several hangs below the last of them, which weighs most; `parents` names all. Secrets of
 * somebody else from which these were made (a session's PSK, a ticket key) stand as roots, without what lies behind them.
 */

import type { SecretOwner, SecretUses } from './channels.ts';
import type { LedgerEntry } from './key-ledger.ts';

export interface KeyTree {
  /** Undefined for what belongs to the process. */
  readonly owner: SecretOwner | undefined;
  readonly alive: number;
  readonly ended: number;
  /** Secrets of which the ledger had to forget: they are not below. */
  readonly forgotten: number;
  /** The roots, in the order of birth. */
  readonly secrets: readonly KeyNode[];
}

export interface KeyNode {
  readonly id: number;
  readonly kind: string;
  /** Bytes. */
  readonly length: number;
  /** IDs. */
  readonly parents: readonly number[];
  /** Where it is not the tree's: whose secret it is; null for the process's own. */
  readonly owner?: SecretOwner | null;
  /** On the ledger's clock: milliseconds since the epoch by default. */
  readonly bornAt: number;
  readonly uses?: SecretUses;
  /** Absent while it lives. */
  readonly endedAt?: number;
  readonly why?: string;
  /** In the order of birth. */
  readonly children: readonly KeyNode[];
}

export interface TreeSource {
  readonly owner: SecretOwner | undefined;
  /** In the order of birth. */
  readonly entries: readonly LedgerEntry[];
  readonly alive: number;
  readonly ended: number;
  readonly forgotten: number;
}

export function treeOf({ owner, entries, alive, ended, forgotten }: TreeSource): KeyTree {
  const own = new Set(entries);
  const below = new Map<LedgerEntry, LedgerEntry[]>();
  const roots = new Set<LedgerEntry>();
  for (const entry of entries) {
    const parent = entry.parents.at(-1);
    if (parent === undefined) {
      roots.add(entry);
      continue;
    }
    const siblings = below.get(parent);
    if (siblings === undefined) {
      below.set(parent, [entry]);
    } else {
      siblings.push(entry);
    }
    if (!own.has(parent)) {
      roots.add(parent);
    }
  }
  const draw = (entry: LedgerEntry): KeyNode => ({
    id: entry.id,
    kind: entry.kind,
    length: entry.length,
    parents: entry.parents.map(({ id }) => id),
    ...(own.has(entry) ? {} : { owner: entry.owner ?? null }),
    bornAt: entry.bornAt,
    ...(entry.uses === undefined ? {} : { uses: { ...entry.uses } }),
    ...(entry.endedAt === undefined ? {} : { endedAt: entry.endedAt, why: entry.why }),
    children: (below.get(entry) ?? []).map(draw),
  });
  return {
    owner,
    alive,
    ended,
    forgotten,
    secrets: [...roots].sort((a, b) => a.order - b.order).map(draw),
  };
}
