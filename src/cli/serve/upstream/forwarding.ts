/**
 * One request on its way to the upstream server and back. The answer streams at the client's pace; one that is there at once
 * leaves in one write, head and body together.
 */

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Exchange } from '../exchange.ts';
import { responseHeaders } from './hop-headers.ts';
import { passInterim } from './informational.ts';
import type { Controller, UpstreamHandler } from './lane.ts';
import { announcedTrailers, crossingTrailers, takesTrailers } from './trailers.ts';

export interface ForwardingOptions {
  readonly exchange: Exchange;
  /** HTTP/1.1: whether the client is told to close. */
  readonly closes: () => boolean;
  /**
   * There will be no answer, and none has begun. `wasIdle`: the request went on a connection that had been idle, which the
   * upstream server may just have closed.
   */
  readonly onFailure: (error: Error, wasIdle: boolean) => void;
  /** Milliseconds without a byte taken by the client, or one that comes from the upstream server, before it counts as gone. */
  readonly timeout: number;
}

interface Head {
  readonly status: number;
  /** HTTP/2 has none, and Node's HTTP does not pass on every one. */
  readonly reason: string | undefined;
  readonly headers: OutgoingHttpHeaders;
}

export class Forwarding implements UpstreamHandler {
  readonly #exchange: Exchange;
  readonly #closes: () => boolean;
  readonly #onFailure: ForwardingOptions['onFailure'];
  #controller: Controller | undefined;
  #answered = false;
  /** The answer is its head alone. */
  #bodiless = false;
  /** The client is gone, or has its answer. */
  #over = false;
  /** Not written yet: more may come in this turn. */
  #head: Head | undefined;
  #first: Buffer | undefined;
  #listensToDrain = false;
  /** The request is known to have arrived. */
  #hasInterim = false;
  /** Of this hop: what `Connection` of the answer names. */
  #connection: string | undefined;
  readonly #timeout: number;
  /** Runs while there is more to come of an answer. */
  #silence: NodeJS.Timeout | undefined;
  /** Runs while the client is to read. */
  #stalled: NodeJS.Timeout | undefined;
  #leftToRead = 0;

  constructor({ exchange, closes, onFailure, timeout }: ForwardingOptions) {
    this.#timeout = timeout;
    this.#exchange = exchange;
    this.#closes = closes;
    this.#onFailure = onFailure;
    exchange.response.once('close', () => this.#clientGone());
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    if (this.#over) {
      controller.abort(new Error('the client is gone'));
    }
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders, message?: string): void {
    if (this.#over) {
      return;
    }
    if (status < 200) {
      this.#hasInterim = true;
      passInterim(this.#exchange, status, headers);
      return;
    }
    const coding = headers['transfer-encoding'];
    if (coding !== undefined && String(coding).toLowerCase() !== 'chunked') {
      // RFC 9112 §6.1: we asked for no other, and would call a body plain that is not.
      controller.abort(new Error('it sent a transfer coding that was not asked for'));
      return;
    }
    const { request } = this.#exchange;
    const isHttp1 = request.httpVersionMajor < 2;
    this.#bodiless = status === 204 || status === 304 || request.method === 'HEAD';
    const framed = isHttp1 && request.httpVersion !== '1.0' && status !== 204 && status !== 304;
    const outgoing = responseHeaders(headers, framed);
    if (status === 204) {
      // RFC 9110 §8.6: not even 0.
      delete outgoing['content-length'];
    }
    this.#connection = headers.connection;
    if (headers.trailer !== undefined && coding !== undefined && !this.#bodiless && takesTrailers(request)) {
      const announced = announcedTrailers(headers);
      if (announced !== undefined) {
        outgoing.trailer = announced;
      }
    }
    if (isHttp1) {
      outgoing.connection = this.#closes() ? 'close' : 'keep-alive';
    }
    const reason = isHttp1 && message !== undefined && REASON.test(message) ? message : undefined;
    this.#head = { status, reason, headers: outgoing };
    process.nextTick(writeHead, this);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#head !== undefined && this.#first === undefined) {
      this.#first = chunk;
      return;
    }
    this.#silence?.refresh();
    this.writeHead();
    this.#write(controller, chunk);
  }

  onResponseEnd(trailers: IncomingHttpHeaders = {}): void {
    this.#controller = undefined;
    clearTimeout(this.#silence);
    const first = this.#first;
    this.#first = undefined;
    if (this.#beginAnswer()) {
      this.#over = true;
      this.#addTrailers(trailers);
      this.#exchange.response.end(first);
    }
  }

  onResponseError(error: Error, wasIdle: boolean): void {
    this.#controller = undefined;
    clearTimeout(this.#silence);
    if (this.#over) {
      return;
    }
    if (this.#head !== undefined && this.#bodiless) {
      // Such an answer ends with its head, whatever comes after it.
      this.onResponseEnd();
      return;
    }
    this.#head = undefined;
    this.#first = undefined;
    if (this.#answered) {
      // With an error: without one HTTP/2 would end the stream as if the answer were whole.
      this.#exchange.response.destroy(error);
    } else {
      this.#onFailure(error, wasIdle && !this.#hasInterim);
    }
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
      this.#over = true;
      this.#exchange.response.end();
      return;
    }
    this.#silence = setTimeout(upstreamIsSilent, this.#timeout, this);
    if (first === undefined) {
      flushHead(this.#exchange);
    } else {
      this.#write(this.#controller, first);
    }
  }

  /** No byte has come for as long as one may take. */
  breakOff(): void {
    if (this.#stalled === undefined) {
      this.#controller?.abort(new Error('the upstream server does not go on'));
    } else {
      // It is the client that does not read.
      this.#silence?.refresh();
    }
  }

  #addTrailers(trailers: IncomingHttpHeaders): void {
    const { request, response } = this.#exchange;
    const crossing = crossingTrailers(trailers, this.#connection);
    if (crossing !== undefined && !this.#bodiless && takesTrailers(request)) {
      // Node's HTTP/1.1 leaves them out where the body is not in chunks.
      response.addTrailers(crossing);
    }
  }

  /** False when the client is gone, or cannot be told this. */
  #beginAnswer(): boolean {
    const { response } = this.#exchange;
    const head = this.#head;
    this.#head = undefined;
    if (this.#over) {
      return false;
    }
    if (head === undefined) {
      return true;
    }
    this.#answered = true;
    try {
      if (head.reason === undefined) {
        response.writeHead(head.status, head.headers);
      } else {
        response.writeHead(head.status, head.reason, head.headers);
      }
      return true;
    } catch (error) {
      // A status that Node's HTTP does not pass on.
      this.#over = true;
      this.#controller?.abort(error as Error);
      this.#onFailure(error as Error, false);
      return false;
    }
  }

  #write(controller: Controller | undefined, chunk: Buffer): void {
    const { response } = this.#exchange;
    if (this.#over || response.write(chunk)) {
      return;
    }
    controller?.pause();
    this.#leftToRead = response.writableLength;
    this.#stalled ??= setTimeout(() => this.#clientStalls(), this.#timeout);
    if (!this.#listensToDrain) {
      this.#listensToDrain = true;
      response.on('drain', () => {
        this.#endStall();
        this.#controller?.resume();
      });
    }
  }

  /** A client that never reads must not hold a connection to the upstream server for ever. */
  #clientStalls(): void {
    const { response } = this.#exchange;
    if (response.writableLength === this.#leftToRead) {
      response.destroy(new Error('the client does not read'));
      return;
    }
    this.#leftToRead = response.writableLength;
    this.#stalled?.refresh();
  }

  #endStall(): void {
    clearTimeout(this.#stalled);
    this.#stalled = undefined;
  }

  #clientGone(): void {
    const whole = this.#exchange.response.writableEnded;
    this.#endStall();
    clearTimeout(this.#silence);
    this.#over = true;
    this.#head = undefined;
    this.#first = undefined;
    if (!whole) {
      this.#controller?.abort(new Error('the client is gone'));
    }
  }
}

function flushHead({ request, response }: Exchange): void {
  if (request.httpVersionMajor >= 2) {
    response.flushHeaders();
  } else {
    // As HTTP/1.1 has it (RFC 9112 §2.2): Node's flushHeaders writes values as UTF-8, which would encode them twice.
    response.write('', 'latin1');
  }
}

function upstreamIsSilent(forwarding: Forwarding): void {
  forwarding.breakOff();
}

function writeHead(forwarding: Forwarding): void {
  forwarding.writeHead();
}

/** RFC 9112 §4, as Node checks it. */
const REASON = /^[\t -~\x80-\xff]*$/;
