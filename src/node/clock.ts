/**
 * The machine's clocks and timers, for the session layer. Its timers keep no process alive.
 *
 * Node's monotonic clock stands still while the machine sleeps (CLOCK_MONOTONIC), the time since it was booted does not
 * (CLOCK_BOOTTIME): by what the second has gained on the first, the machine slept. Without it a wall clock that is set back
 * by just as much would have a key live on for as long as that.
 */

import os from 'node:os';
import type { Clock } from '../session/clock.ts';

/**
 * Milliseconds that never go back, those included for which the machine slept; of a sleep it tells within a second of being
 * awake, and of less than two seconds nothing.
 * @param running milliseconds, monotonic, of the time awake
 * @param sinceBoot milliseconds since the machine was booted; not a number where that cannot be told
 */
export function withSleep(running: () => number, sinceBoot: () => number): () => number {
  let lookedAt = running();
  const ahead = sinceBoot() - lookedAt;
  let slept = 0;
  return () => {
    const awake = running();
    if (awake - lookedAt >= LOOK_INTERVAL) {
      lookedAt = awake;
      const gained = sinceBoot() - awake - ahead;
      slept = gained > slept + COARSE ? gained : slept;
    }
    return awake + slept;
  };
}

export const systemClock: Clock = {
  now: Date.now,
  monotonic: withSleep(() => performance.now(), sinceBoot),
  setTimer(callback, ms) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

function sinceBoot(): number {
  try {
    return os.uptime() * 1000;
  } catch {
    return Number.NaN;
  }
}

/** Milliseconds: a look costs as much as reading a small file, and keys are asked for with each handshake. */
const LOOK_INTERVAL = 1_000;
/** Milliseconds: some systems tell the time since boot in whole seconds. */
const COARSE = 2_000;
