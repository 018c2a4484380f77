/**
 * Time as the session layer sees it: two clocks and a timer, passed in, so that every rule about the life of a key
 * can be run with simulated time.
 *
 * Why two clocks: the wall clock can be set back, which would lengthen a key's life; the monotonic clock may stand
 * still while the machine sleeps, which would lengthen it too. A deadline is over when either clock says so.
 */

export interface ClockTimer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the epoch. May jump both ways. */
  now(): number;
  /** Milliseconds since some fixed moment. Never goes back. */
  monotonic(): number;
  /** Calls `callback` once, some time after `ms` milliseconds. The timer keeps no process alive. */
  setTimer(callback: () => void, ms: number): ClockTimer;
}

/** Where both clocks stood at one moment. */
export interface Moment {
  readonly wall: number;
  readonly monotonic: number;
}

export function momentOf(clock: Clock): Moment {
  return { wall: clock.now(), monotonic: clock.monotonic() };
}

/**
 * One timer that is set again and again. It calls `onWake` at the latest after `MAX_WAIT`, due or not: the callee looks
 * at both clocks and sets it again.
 */
export class Alarm {
  readonly #clock: Clock;
  readonly #onWake: () => void;
  #timer: ClockTimer | undefined;

  constructor(clock: Clock, onWake: () => void) {
    this.#clock = clock;
    this.#onWake = onWake;
  }

  /** Replaces what was set before. */
  set(ms: number): void {
    this.cancel();
    const wait = Math.min(Math.max(Math.ceil(ms), 1), MAX_WAIT);
    this.#timer = this.#clock.setTimer(() => {
      this.#timer = undefined;
      this.#onWake();
    }, wait);
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

/**
 * Milliseconds. Bounds how long a jump of the wall clock or a sleep of the machine goes unnoticed in an idle process,
 * and stays far below 2^31 ms, beyond which Node's timers fire at once.
 */
export const MAX_WAIT = 60_000;
