/**
 * An answer on its way to a client that does not take it as fast as it comes: what the client has no room for is kept here, up
 * to a bound, so that the upstream server has said all and is free while the client still reads.
 */

import type { Exchange } from '../exchange.ts';
import type { Pace, Progress } from './pace.ts';

export interface DeliveryOptions {
  readonly exchange: Exchange;
  readonly pace: Pace;
  /** The client has no room now. */
  readonly isHeld: boolean;
  /** More may be read. */
  readonly onRoom: () => void;
}

export class Delivery {
  readonly #exchange: Exchange;
  readonly #pace: Pace;
  readonly #onRoom: () => void;
  readonly #progress: Progress;
  /** In order. */
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** Bytes given to the response, those that it held before this with them. */
  #given: number;
  #isHeld: boolean;
  #isFast = true;
  /** Bytes on its connection, both ways. */
  #traffic = 0;
  /** Looks since anything moved on it. */
  #deadFor = 0;
  #onEnd: (() => void) | undefined;

  constructor({ exchange, pace, isHeld, onRoom }: DeliveryOptions) {
    const { response } = exchange;
    this.#exchange = exchange;
    this.#pace = pace;
    this.#onRoom = onRoom;
    this.#progress = pace.progress();
    this.#given = response.writableLength;
    this.#isHeld = isHeld;
    response.on('drain', () => this.#goOn());
  }

  get held(): number {
    return this.#keptBytes + this.#exchange.response.writableLength;
  }

  get stillFor(): number {
    return this.#progress.stillFor;
  }

  /** Its connection is as good as dead. */
  get isStalled(): boolean {
    return this.#pace.isTooLong(this.#deadFor);
  }

  get isSlow(): boolean {
    return this.#progress.isSlow;
  }

  /** False: no more is to be read, for now. */
  write(chunk: Buffer): boolean {
    if (!this.#isHeld) {
      this.#give(chunk);
      return true;
    }
    this.#kept.push(chunk);
    this.#count(chunk.length);
    return this.#kept.length < MAX_PIECES && this.#pace.mayRead(this.#keptBytes);
  }

  /** Calls `onEnd` when all has been given to the response. */
  end(onEnd: () => void): void {
    if (this.#kept.length === 0) {
      onEnd();
    } else {
      this.#onEnd = onEnd;
    }
  }

  /** The client is gone. */
  drop(): void {
    this.#kept = [];
    this.#count(-this.#keptBytes);
    this.#onEnd = undefined;
  }

  movedWhileAwaited(): number | undefined {
    return this.#progress.isAwaited ? this.#progress.moved : undefined;
  }

  look(): void {
    const { writableLength } = this.#exchange.response;
    this.#progress.look(this.#given - writableLength, writableLength > 0 || this.#kept.length > 0);
    this.#isFast = this.#progress.moved >= FAST;
    const traffic = trafficOf(this.#exchange);
    this.#deadFor = this.#progress.stillFor === 0 || traffic !== this.#traffic ? 0 : this.#deadFor + 1;
    this.#traffic = traffic;
  }

  #goOn(): void {
    this.#isHeld = false;
    while (!this.#isHeld && this.#kept.length > 0) {
      const [first] = this.#kept;
      // Of one large piece nobody could see that it goes on.
      if (first.length > SMALL_PIECE && !this.#isFast) {
        this.#kept[0] = first.subarray(SMALL_PIECE);
        this.#count(-SMALL_PIECE);
        this.#give(first.subarray(0, SMALL_PIECE));
      } else {
        this.#kept.shift();
        this.#count(-first.length);
        this.#give(first);
      }
    }
    if (this.#kept.length > 0) {
      return;
    }
    if (this.#onEnd === undefined) {
      this.#onRoom();
    } else {
      this.#onEnd();
      this.#onEnd = undefined;
    }
  }

  #give(chunk: Buffer): void {
    this.#given += chunk.length;
    this.#isHeld = !this.#exchange.response.write(chunk);
  }

  #count(bytes: number): void {
    this.#keptBytes += bytes;
    this.#pace.keep(bytes);
  }
}

/** Also of the other requests on it: while these go on, this one may only be behind them. */
function trafficOf({ request }: Exchange): number {
  try {
    const { bytesRead, bytesWritten } = request.socket;
    return bytesRead + bytesWritten;
  } catch {
    // HTTP/2 has no socket any more when it is about to tell of the end.
    return 0;
  }
}

/** An upstream server that sends single bytes in chunks must not have each of them kept as an object. */
const MAX_PIECES = 1_024;
/** Bytes. */
const SMALL_PIECE = 16_384;
/** Bytes between two looks of which a client is slower that needs small pieces. */
const FAST = 131_072;
