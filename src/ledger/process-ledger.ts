/**
 * The ledger of this process, if one was asked for: without it nothing is noted, and nothing is paid for it. What was born
 * before it was started is not in it.
 */

import { KeyLedger, type KeyLedgerOptions } from './key-ledger.ts';

let running: KeyLedger | undefined;

/** Starts the ledger; a second call gives the one that runs, whatever its options. */
export function startKeyLedger(options: KeyLedgerOptions = {}): KeyLedger {
  running ??= new KeyLedger(options).start();
  return running;
}

/** Ends it and forgets all of it. */
export function stopKeyLedger(): void {
  running?.stop();
  running = undefined;
}

/** Undefined while none runs. */
export function keyLedger(): KeyLedger | undefined {
  return running;
}
