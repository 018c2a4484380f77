/** What `/ledger.json` tells of the ledger: the ring's secrets, the process's own, and each connection's when asked for. */

import type { SecretOwner } from '../../ledger/channels.ts';
import type { LedgerEntry } from '../../ledger/key-ledger.ts';
import type { KeyTree } from '../../ledger/key-tree.ts';
import { keyLedger } from '../../ledger/process-ledger.ts';
import type { TLSSocket } from '../../node/tls.ts';
import type { Connections } from '../serve/connections.ts';

export interface LedgerView {
  /** Sources of ticket keys. */
  readonly rings: readonly KeyTree[];
  /** Of no connection: what came from outside, and a shared ring's. */
  readonly process: KeyTree | undefined;
  /** How many of each connection's secrets are alive, how many have ended. The newest last. */
  readonly connections: readonly ConnectionAccount[];
}

export interface ConnectionAccount {
  readonly owner: SecretOwner;
  /** As in `/status.json`, while it is open: ask for its tree with `?connection=ID`. */
  readonly id?: number;
  readonly alive: number;
  readonly ended: number;
  readonly forgotten: number;
}

export interface LedgerQuery {
  /** The ID of an open connection. */
  readonly connection?: number;
}

/** The tree of one connection, or all but the trees of connections; undefined where there is no such connection. */
export function takeLedger(connections: Connections, { connection }: LedgerQuery): KeyTree | LedgerView | undefined {
  if (connection === undefined) {
    return ledgerView(connections);
  }
  for (const { id, socket } of connections.open) {
    if (id === connection) {
      return socket.keyLedger();
    }
  }
  return undefined;
}

function ledgerView(connections: Connections): LedgerView {
  const ledger = keyLedger();
  const accounts = ledger?.accounts ?? [];
  const ids = new Map([...connections.open].map(({ id, socket }) => [socket.secretOwner?.id, id]));
  const known = accounts.flatMap(({ owner, ...sums }) => (owner === undefined ? [] : [{ owner, ...sums }]));
  return {
    rings: known.flatMap(({ owner }) => (owner.kind === 'ring' ? (ledger?.tree(owner) ?? []) : [])),
    process: ledger?.tree(undefined),
    connections: known
      .filter(({ owner }) => owner.kind === 'connection')
      .sort((a, b) => a.owner.id - b.owner.id)
      .map((account) => {
        const id = ids.get(account.owner.id);
        return { ...account, ...(id === undefined ? {} : { id }) };
      }),
  };
}

/** Keys for application data that a connection made so far, and those of them that are in force. */
export function trafficKeysOf({ secretOwner }: TLSSocket): { made: number; inForce: number } {
  const ledger = keyLedger();
  let made = 0;
  let inForce = 0;
  for (const entry of secretOwner === undefined ? [] : (ledger?.entriesOf(secretOwner) ?? [])) {
    if (entry.kind === 'aeadKey' && protectsData(entry)) {
      made += 1;
      inForce += entry.endedAt === undefined ? 1 : 0;
    }
  }
  return { made, inForce };
}

/** From the record key by way of the write key to what that was made from, as far as the ledger remembers. */
function protectsData({ parents }: LedgerEntry): boolean {
  const parent = parents.at(-1);
  if (parent?.kind === 'writeKey') {
    return protectsData(parent);
  }
  return parent !== undefined && DATA_SECRETS.has(parent.kind);
}

/** TLS 1.2's write keys protect the Finished messages too. */
const DATA_SECRETS = new Set([
  'CLIENT_TRAFFIC_SECRET',
  'SERVER_TRAFFIC_SECRET',
  'CLIENT_EARLY_TRAFFIC_SECRET',
  'clientWriteKey',
  'serverWriteKey',
]);
