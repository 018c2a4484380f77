/** An answer at the pace of its client: written as it comes, ahead of the client up to a bound, and given up where nothing moves. */

import type { Place } from '../../../node/roster.ts';
import type { Exchange } from '../exchange.ts';
import type { BrokenBy, UpstreamBooks } from './books.ts';
import { Delivery } from './delivery.ts';
import type { Controller } from './lane.ts';
import type { Pace, Paced } from './pace.ts';

export interface PacedAnswerOptions {
  readonly exchange: Exchange;
  readonly client: string;
  /** Milliseconds without a byte from the upstream server, within an answer, before it counts as gone. */
  readonly timeout: number;
  readonly pace: Pace;
  /** Absent where nobody looks. */
  readonly books: UpstreamBooks | undefined;
}

export abstract class PacedAnswer implements Paced {
  readonly client: string;
  place: Place<Paced> | undefined;
  protected readonly exchange: Exchange;
  protected readonly pace: Pace;
  protected readonly books: UpstreamBooks | undefined;
  protected controller: Controller | undefined;
  protected answered = false;
  /** The client is gone, or has its answer. */
  protected over = false;
  /** From when the client is first seen to be slower than the upstream server. */
  protected delivery: Delivery | undefined;
  /** The upstream server is held back, for the client. */
  protected isPaused = false;
  /** Looks since the last byte of the upstream server. */
  protected silentFor = 0;
  readonly #timeout: number;
  #isGone = false;
  #brokenBy: BrokenBy = 'client_left';

  protected constructor({ exchange, client, timeout, pace, books }: PacedAnswerOptions) {
    this.exchange = exchange;
    this.client = client;
    this.#timeout = timeout;
    this.pace = pace;
    this.books = books;
    exchange.response.once('close', () => this.clientGone());
    if (this.#isBehind) {
      pace.add(this);
    }
  }

  /** What is not written yet will not be. */
  protected abstract forget(): void;

  /** HTTP/1.1: an earlier answer is not over. Node tells nothing to those behind it when the connection is closed. */
  get #isBehind(): boolean {
    return this.exchange.response.socket === null;
  }

  get held(): number {
    return this.delivery?.held ?? this.exchange.response.writableLength;
  }

  get stillFor(): number {
    return this.delivery?.stillFor ?? 0;
  }

  movedWhileAwaited(): number | undefined {
    return this.isPaused ? this.delivery?.movedWhileAwaited() : undefined;
  }

  look(): void {
    if (this.#isBehind && this.exchange.request.socket.destroyed) {
      this.clientGone();
      return;
    }
    this.delivery ??= this.#deliver(false);
    this.delivery.look();
    this.pace.setSlow(this, this.isPaused && this.delivery.isSlow);
    if (this.delivery.isStalled) {
      this.breakOff('client_stalled', new Error('the client does not read'));
    } else if (this.answered && !this.isPaused && ++this.silentFor * this.pace.period > this.#timeout) {
      this.controller?.abort(new Error('the upstream server does not go on'));
    }
  }

  cutOff(): void {
    this.breakOff('client_slow', new Error('the client is too slow for so many'));
  }

  protected breakOff(by: BrokenBy, error: Error): void {
    this.#brokenBy = by;
    // With an error: without one HTTP/2 would end the stream as if the answer were whole.
    this.exchange.response.destroy(error);
    if (this.#isBehind) {
      this.clientGone();
    }
  }

  protected write(controller: Controller | undefined, chunk: Buffer): void {
    if (this.over) {
      return;
    }
    const { response } = this.exchange;
    if (this.delivery === undefined) {
      if (!response.write(chunk)) {
        this.delivery = this.#deliver(true);
      }
      return;
    }
    if (!this.delivery.write(chunk) && !this.isPaused) {
      this.isPaused = true;
      controller?.pause();
    }
  }

  #deliver(isHeld: boolean): Delivery {
    return new Delivery({
      exchange: this.exchange,
      pace: this.pace,
      isHeld,
      onRoom: () => {
        if (this.isPaused) {
          this.isPaused = false;
          this.silentFor = 0;
          this.controller?.resume();
        }
      },
    });
  }

  protected clientGone(): void {
    if (this.#isGone) {
      return;
    }
    this.#isGone = true;
    const { writableEnded, writableFinished } = this.exchange.response;
    this.pace.delete(this);
    this.delivery?.drop();
    this.over = true;
    this.forget();
    // A stream of HTTP/2 that is cut off before its head counts as finished.
    if (!writableEnded || !writableFinished) {
      this.books?.brokenBy(this.#brokenBy);
    }
    if (!writableEnded) {
      this.controller?.abort(new Error('the client is gone'));
    }
  }
}
