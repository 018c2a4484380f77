/**
 * One request on its way to the upstream server and back. The answer streams, somewhat ahead of the client; one that is there
 * at once leaves in one write, head and body together.
 */

import type { IncomingHttpHeaders } from 'node:http';
import { answerHeaders, flushHead, type Head, isBodiless, reasonOf, writeHeadOf } from './answer-head.ts';
import { passInterim } from './informational.ts';
import type { Controller, UpstreamHandler } from './lane.ts';
import { PacedAnswer, type PacedAnswerOptions } from './paced-answer.ts';
import { isClientStall } from './request-body.ts';
import { passTrailers } from './trailers.ts';

export interface ForwardingOptions extends PacedAnswerOptions {
  /** HTTP/1.1: whether the client is told to close. */
  readonly closes: () => boolean;
  /**
   * There will be no answer, and none has begun. `wasIdle`: the request went on a connection that had been idle, which the
   * upstream server may just have closed.
   */
  readonly onFailure: (error: Error, wasIdle: boolean) => void;
}

export class Forwarding extends PacedAnswer implements UpstreamHandler {
  readonly #closes: () => boolean;
  readonly #onFailure: ForwardingOptions['onFailure'];
  /** The answer is its head alone. */
  #bodiless = false;
  /** Not written yet: more may come in this turn. */
  #head: Head | undefined;
  #first: Buffer | undefined;
  /** Interim responses: the request is known to have arrived. */
  #interim = 0;
  /** Of this hop: what `Connection` of the answer names. */
  #connection: string | undefined;
  /** Milliseconds, by the clock of `performance`. */
  #sentAt = 0;

  constructor(options: ForwardingOptions) {
    super(options);
    this.#closes = options.closes;
    this.#onFailure = options.onFailure;
  }

  onRequestStart(controller: Controller): void {
    this.controller = controller;
    if (this.over) {
      controller.abort(new Error('the client is gone'));
    } else if (this.books !== undefined) {
      this.#sentAt = performance.now();
    }
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders, message?: string): void {
    if (this.over) {
      return;
    }
    if (status < 200) {
      if (++this.#interim <= MAX_INTERIM) {
        passInterim(this.exchange, status, headers);
      } else {
        controller.abort(new Error('it sent interim responses without end'));
      }
      return;
    }
    this.books?.answered(performance.now() - this.#sentAt);
    const coding = headers['transfer-encoding'];
    if (coding !== undefined && String(coding).toLowerCase() !== 'chunked') {
      // RFC 9112 §6.1: we asked for no other, and would call a body plain that is not.
      controller.abort(new Error('it sent a transfer coding that was not asked for'));
      return;
    }
    this.#bodiless = isBodiless(this.exchange.request.method, status);
    this.#connection = headers.connection;
    const outgoing = answerHeaders(this.exchange, status, headers);
    const isHttp1 = this.exchange.request.httpVersionMajor < 2;
    if (isHttp1) {
      outgoing.connection = this.#closes() ? 'close' : 'keep-alive';
    }
    this.#head = { status, reason: isHttp1 ? reasonOf(message) : undefined, headers: outgoing };
    process.nextTick(writeHead, this);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#head !== undefined && this.#first === undefined) {
      this.#first = chunk;
      return;
    }
    this.silentFor = 0;
    this.writeHead();
    this.write(controller, chunk);
  }

  onResponseEnd(trailers: IncomingHttpHeaders = {}): void {
    this.controller = undefined;
    this.isPaused = false;
    const first = this.#first;
    this.#first = undefined;
    if (!this.#beginAnswer()) {
      return;
    }
    if (this.delivery !== undefined) {
      this.delivery.end(() => this.#end(trailers));
      return;
    }
    this.#end(trailers, first);
    if (this.exchange.response.writableLength > 0) {
      this.pace.add(this);
    }
  }

  onResponseError(error: Error, wasIdle: boolean): void {
    this.controller = undefined;
    if (this.over) {
      return;
    }
    if (this.#head !== undefined && this.#bodiless) {
      // Such an answer ends with its head, whatever comes after it.
      this.onResponseEnd();
      return;
    }
    this.#head = undefined;
    this.#first = undefined;
    if (this.answered) {
      this.breakOff(isClientStall(error) ? error.by : 'upstream', error);
    } else {
      this.#onFailure(error, wasIdle && this.#interim === 0);
    }
  }

  protected override forget(): void {
    this.#head = undefined;
    this.#first = undefined;
  }

  /** What has come of the answer leaves: nothing more came in that turn. */
  writeHead(): void {
    if (this.#head === undefined) {
      return;
    }
    const first = this.#first;
    this.#first = undefined;
    if (!this.#beginAnswer()) {
      return;
    }
    if (this.#bodiless) {
      this.over = true;
      this.exchange.response.end();
      return;
    }
    this.pace.add(this);
    if (first === undefined) {
      flushHead(this.exchange);
    } else {
      this.write(this.controller, first);
    }
  }

  #end(trailers: IncomingHttpHeaders, last?: Buffer): void {
    this.over = true;
    if (!this.#bodiless) {
      passTrailers(this.exchange, trailers, this.#connection);
    }
    this.exchange.response.end(last);
  }

  /** False when the client is gone, or cannot be told this. */
  #beginAnswer(): boolean {
    const { response } = this.exchange;
    const head = this.#head;
    this.#head = undefined;
    if (this.over) {
      return false;
    }
    if (head === undefined) {
      return true;
    }
    this.answered = true;
    try {
      writeHeadOf(response, head);
      return true;
    } catch (error) {
      // A status that Node's HTTP does not pass on.
      this.over = true;
      this.controller?.abort(error as Error);
      this.#onFailure(error as Error, false);
      return false;
    }
  }
}

function writeHead(forwarding: Forwarding): void {
  forwarding.writeHead();
}

/** Each keeps the upstream server from being silent, and may wait in memory for a client that does not read. */
const MAX_INTERIM = 100;
