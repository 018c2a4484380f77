/**
 * What is still alive when the process exits is erased then: rings, kept sessions, the keys of open connections.
 *
 * By one listener of `process`'s 'exit', which comes with `process.exit()`, with an event loop that runs empty and with an
 * uncaught exception. A signal that nobody listens to ends a process without it: a library that listened would keep the
 * process alive, so that is for the application (docs/memory.md). What is held here is held weakly, but for open sockets,
 * which the system holds anyway: weak references would cost each connection a microsecond.
 */

import { type Place, Roster } from './roster.ts';

export interface KeyHolder {
  /** Synchronous, and without a word to the peer. */
  eraseKeys(): void;
}

interface Entry {
  readonly holder: WeakRef<object>;
  readonly erase: (holder: never) => void;
}

const entries = new Set<Entry>();
const open = new Roster<KeyHolder>();
/** Entries whose holder has gone without a word are looked for when there are this many. */
let sweepAt = 256;
let listens = false;

/**
 * Calls `erase(holder)` when the process exits, unless the holder is gone or the function that comes back was called before.
 * `erase` must be synchronous and must not refer to the holder but by its argument.
 */
export function eraseAtExit<H extends object>(holder: H, erase: (holder: H) => void): () => void {
  listen();
  if (entries.size >= sweepAt) {
    sweep();
  }
  const entry: Entry = { holder: new WeakRef(holder), erase };
  entries.add(entry);
  return () => {
    entries.delete(entry);
  };
}

/** For what surely tells of its end: `eraseKeys` is called when the process exits, unless `closed` was called before. */
export function opened(holder: KeyHolder): Place<KeyHolder> {
  listen();
  return open.enter(holder);
}

export function closed(place: Place<KeyHolder> | undefined): void {
  open.leave(place);
}

function listen(): void {
  if (!listens) {
    listens = true;
    process.on('exit', eraseAll);
  }
}

function eraseAll(): void {
  for (const holder of open) {
    attempt(() => holder.eraseKeys());
  }
  open.clear();
  for (const { holder, erase } of entries) {
    const alive = holder.deref();
    if (alive !== undefined) {
      attempt(() => erase(alive as never));
    }
  }
  entries.clear();
}

/** One that fails must not keep the others alive; there is nobody left to tell. */
function attempt(erase: () => void): void {
  try {
    erase();
  } catch {}
}

function sweep(): void {
  for (const entry of entries) {
    if (entry.holder.deref() === undefined) {
      entries.delete(entry);
    }
  }
  sweepAt = Math.max(256, 2 * entries.size);
}
