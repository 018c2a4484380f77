/**
 * How slow clients may be, and how much is kept for those that are. Against clients that read their answers, or send their
 * bodies, as slowly as they can, so that all connections to the upstream server are theirs:
 *
 *   nothing moves on its connection for `patience`                 cut off
 *   less than `MINIMUM` moves in `window`, others want a place     cut off, the one that has been slow for longest first
 *   none is so slow yet, or ever, others want a place              cut off, the slowest of the client that keeps most waiting
 *   answers in memory                                              `ahead` of each, `memory` of all
 *
 * That an answer stands still may be for others of its connection, which come first: for that alone nobody is cut off without
 * need. And a kernel takes more only once a third of its buffer is free, so that of a client which reads steadily nothing may be
 * seen for a while: `window` is long, and a client that keeps no more than `FEW` waiting has all of it.
 *
 * One timer looks at all of them, now and then: requests that are over soon cost nothing.
 */

import { type Place, Roster } from '../../../node/roster.ts';
import { FEW } from './shares.ts';

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
  /** Bytes moved from one look to the next, while the upstream server waits for this client; undefined: it does not, or not for long. */
  movedWhileAwaited(): number | undefined;
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

  /** Others want the place of one, of this client's or of all. False: there is none to give way. */
  makeRoom(of: string | undefined): boolean {
    for (const one of this.#slow) {
      if (of === undefined || one.client === of) {
        this.#cutOff(one);
        return true;
      }
    }
    return of === undefined && this.#relieve();
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
    let isThereRoom = true;
    for (const of of this.#options.wanted()) {
      if (of !== undefined) {
        this.makeRoom(of);
      } else if (isThereRoom) {
        isThereRoom = this.makeRoom(of);
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
      this.#cutOff(one);
    }
  }

  /** Of the client for which the upstream server waits in most places, the slowest goes: however many clients are at it, others come in. */
  #relieve(): boolean {
    const awaited = [...this.#paced].filter((one) => one.movedWhileAwaited() !== undefined);
    const counts = new Map<string, number>();
    for (const { client } of awaited) {
      counts.set(client, (counts.get(client) ?? 0) + 1);
    }
    const most = Math.max(0, ...counts.values());
    if (most <= FEW) {
      return false;
    }
    const theirs = awaited.filter(({ client }) => counts.get(client) === most);
    this.#cutOff(theirs.reduce((a, b) => (Number(b.movedWhileAwaited()) < Number(a.movedWhileAwaited()) ? b : a)));
    return true;
  }

  #cutOff(one: Paced): void {
    this.delete(one);
    one.cutOff();
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
  /** More had to come of the client when we looked, the time before as well. */
  isAwaited = false;
  readonly #window: number;
  #total = 0;
  #wasAwaited = false;
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
      this.isAwaited = false;
      this.#wasAwaited = false;
      this.#inWindow = 0;
      this.#looks = 0;
      return;
    }
    this.isAwaited = this.#wasAwaited;
    this.#wasAwaited = true;
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
