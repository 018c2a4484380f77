/**
 * Times one synchronous operation: batches of some milliseconds, and the mean of the quickest batch, since what
 * disturbs a batch only ever adds to it.
 */

/** µs per call. `ms` is the time for all batches together. */
export function microsPerCall(operation: () => void, ms = 120): number {
  const end = performance.now() + ms;
  let size = 1;
  let took = batch(operation, size);
  while (took < BATCH_MS && performance.now() < end) {
    size *= 2;
    took = batch(operation, size);
  }
  let best = took / size;
  while (performance.now() < end) {
    best = Math.min(best, batch(operation, size) / size);
  }
  return 1000 * best;
}

function batch(operation: () => void, size: number): number {
  const begin = performance.now();
  for (let i = 0; i < size; i++) {
    operation();
  }
  return performance.now() - begin;
}

const BATCH_MS = 3;
