/** The cost of the ledger, on a full handshake of both ends: while nobody listens, and while it is kept. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface LedgerCost {
  /** That were born in one handshake, at both ends. */
  readonly secrets: number;
  readonly silent: HandshakeCost;
  readonly listening: HandshakeCost;
}

export interface HandshakeCost {
  /** Allocated on the heap, KiB. */
  readonly kib: number;
  /** CPU time. */
  readonly micros: number;
}

export async function measureLedger(): Promise<LedgerCost> {
  const worker = fileURLToPath(new URL('./ledger-worker.js', import.meta.url));
  // MiB: more than a round allocates.
  const flags = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256'];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, worker]);
  return JSON.parse(stdout) as LedgerCost;
}
