/** The machine's clocks and timers, for the session layer. Its timers keep no process alive. */

import type { Clock } from '../session/clock.ts';

export const systemClock: Clock = {
  now: Date.now,
  monotonic: () => performance.now(),
  setTimer(callback, ms) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
