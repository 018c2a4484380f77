/**
 * How slow clients may be, and how much is kept for those that are. Against clients that read their answers, or send their
 * bodies, as slowly as they can, so that all connections to the upstream server are theirs:
 *
 *   nothing moves on its connection for `patience`                 cut off
 *   less than `MINIMUM` moves in `window`, others want a place     cut off, the one that has been slow for longest first
 *   answers in memory                                              `ahead` of each, `memory` of all
 *
 * That an answer stands still may be for others of its connection, which come first: for that alone nobody is cut off without
 * need. And a kernel takes more only once a third of its buffer is free, so that of a client which reads steadily nothing may be
 * seen for a while: `window` is long.
 *
 * One timer looks at all of them, now and then: requests that are over soon cost nothing.
 */

import { type Place, Roster } from '../../../node/roster.ts';

export interface PaceOptions {
  /** Milliseconds that an upstream server may be silent: looks are close enough together to see it. */
  readonly silence: number;
  /** Milliseconds without a byte taken or sent by a client. */
  readonly patience: number;
  /** Milliseconds in which a client that is waited for is to move `MINIMUM`. */
  readonly window: number;
  /** Bytes of an answer that are read before its client takes them. */
  readonly ahead: number;
  /** Bytes of all answers that wait for their clients. */
  readonly memory: number;
  /** For each connection to the upstream server that is wanted: of which client it should be, or undefined. */
  readonly wanted: () => Iterable<string | undefined>;
}

/** A request whose client may make the upstream server wait. */
export interface Paced {
  readonly client: string;
  /** Kept by the pace, while it looks at it. */
  place?: Place<Paced> | undefined;
  /** `pace.period` has passed. */
  look(): void;
  /** Bytes that wait for the client. */
  readonly held: number;
  /** Since when nothing has moved, in looks; 0: it goes on. */
  readonly stillFor: number;
  /** For being slow: others want its place, or its memory. */
  cutOff(): void;
}

export class Pace {
  /** Milliseconds between two looks. */
  readonly period: number;
  readonly #options: PaceOptions;
  readonly #patience: number;
  readonly #window: number;
  readonly #paced = new Roster<Paced>();
  /** In the order in which they came to be slow. */
  readonly #slow = new Set<Paced>();
  #timer: NodeJS.Timeout | undefined;
  /** In the sockets of clients, at the last look. */
  #inSockets = 0;
  #ahead = 0;

  constructor(options: PaceOptions) {
    const { silence, patience, window } = options;
    this.#options = options;
    this.period = Math.max(1, Math.min(silence / 4, patience / 4, window / 4, LONGEST_PERIOD));
    this.#patience = Math.ceil(patience / this.period);
    this.#window = Math.ceil(window / this.period);
  }

  /** Bytes that wait for clients. */
  get held(): number {
    return this.#ahead + this.#inSockets;
  }

  get memory(): number {
    return this.#options.memory;
  }

  add(one: Paced): void {
    if (one.place?.member === undefined) {
      one.place = this.#paced.enter(one);
    }
    if (this.#timer === undefined) {
      this.#timer = setInterval(() => this.#lookAtAll(), this.period);
      this.#timer.unref();
    }
  }

  delete(one: Paced): void {
    this.#paced.leave(one.place);
    this.#slow.delete(one);
  }

  /** Whether a client is given up of which nothing has moved for so many looks. */
  isTooLong(looks: number): boolean {
    return looks > this.#patience;
  }

  /** So many bytes are kept for a client, less when negative. */
  keep(bytes: number): void {
    this.#ahead += bytes;
  }

  /** Whether more of an answer may be read of which this is there. */
  mayRead(ahead: number): boolean {
    return ahead < this.#options.ahead && this.held < this.#options.memory;
  }

  progress(): Progress {
    return new Progress(this.#window);
  }

  setSlow(one: Paced, isSlow: boolean): void {
    if (isSlow) {
      this.#slow.add(one);
    } else {
      this.#slow.delete(one);
    }
  }

  /** Others want the place of one, of this client's or of all. */
  makeRoom(of: string | undefined): void {
    for (const one of this.#slow) {
      if (of === undefined || one.client === of) {
        this.delete(one);
        one.cutOff();
        return;
      }
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#paced.clear();
    this.#slow.clear();
    this.#inSockets = 0;
  }

  #lookAtAll(): void {
    let held = 0;
    for (const one of this.#paced) {
      one.look();
      held += one.held;
    }
    this.#inSockets = held - this.#ahead;
    if (held > this.#options.memory) {
      this.#free(held);
    }
    if (this.#slow.size > 0) {
      for (const of of this.#options.wanted()) {
        this.makeRoom(of);
      }
    }
    if (this.#paced.size === 0) {
      this.close();
    }
  }

  /** More is kept than may be: those go that have not moved for longest. */
  #free(held: number): void {
    let left = held;
    const still = [...this.#paced].filter((one) => one.stillFor > 0 && one.held > 0);
    for (const one of still.sort((a, b) => b.stillFor - a.stillFor)) {
      if (left <= this.#options.memory) {
        return;
      }
      left -= one.held;
      this.delete(one);
      one.cutOff();
    }
  }
}

/** What one client has moved, as it is seen at each look. */
export class Progress {
  /** Looks without a byte. */
  stillFor = 0;
  /** Bytes at the last look. */
  moved = 0;
  /** It moved less in a window than it should have. */
  isSlow = false;
  readonly #window: number;
  #total = 0;
  #inWindow = 0;
  #looks = 0;

  /** `window`: in looks. */
  constructor(window: number) {
    this.#window = window;
  }

  /** `total`: bytes moved so far. `isAwaited`: more must come of the client. */
  look(total: number, isAwaited: boolean): void {
    this.moved = Math.max(0, total - this.#total);
    this.#total = total;
    if (!isAwaited) {
      this.stillFor = 0;
      this.isSlow = false;
      this.#inWindow = 0;
      this.#looks = 0;
      return;
    }
    this.stillFor = this.moved > 0 ? 0 : this.stillFor + 1;
    this.#inWindow += this.moved;
    if (++this.#looks >= this.#window) {
      this.isSlow = this.#inWindow < MINIMUM;
      this.#inWindow = 0;
      this.#looks = 0;
    }
  }
}

/** Milliseconds. */
const LONGEST_PERIOD = 5_000;
/** Bytes: with the usual window, a tenth of what the slowest of telephones bring about. */
const MINIMUM = 16_384;
