/**
 * One request on its way to the upstream server and back: what undici calls. The answer streams at the client's pace; one
 * that is there at once leaves in one write, head and body together.
 */

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { PassThrough } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { Exchange } from './exchange.ts';
import { responseHeaders } from './hop-headers.ts';

type Controller = Dispatcher.DispatchController;

export interface ForwardingOptions {
  readonly exchange: Exchange;
  /** HTTP/1.1: whether the client is told to close. */
  readonly closes: () => boolean;
  /** There will be no answer, and none has begun. */
  readonly onFailure: (error: Error) => void;
}

interface Head {
  readonly status: number;
  /** HTTP/2 has none, and Node's HTTP does not pass on every one. */
  readonly reason: string | undefined;
  readonly headers: OutgoingHttpHeaders;
}

export class Forwarding implements Dispatcher.DispatchHandler {
  readonly #exchange: Exchange;
  readonly #closes: () => boolean;
  readonly #onFailure: (error: Error) => void;
  #controller: Controller | undefined;
  #answered = false;
  /** The client is gone, or has its answer. */
  #over = false;
  /** Not written yet: more may come in this turn. */
  #head: Head | undefined;
  #first: Buffer | undefined;
  #listensToDrain = false;

  constructor({ exchange, closes, onFailure }: ForwardingOptions) {
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

  onResponseStart(_controller: Controller, status: number, headers: IncomingHttpHeaders, message?: string): void {
    // Interim responses (1xx) belong to this hop.
    if (status < 200 || this.#over) {
      return;
    }
    const { request } = this.#exchange;
    const isHttp1 = request.httpVersionMajor < 2;
    const framed = isHttp1 && request.httpVersion !== '1.0' && status !== 204 && status !== 304;
    const outgoing = responseHeaders(headers, framed);
    if (isHttp1) {
      outgoing.connection = this.#closes() ? 'close' : 'keep-alive';
    }
    this.#answered = true;
    const reason = isHttp1 && message !== undefined && REASON.test(message) ? message : undefined;
    this.#head = { status, reason, headers: outgoing };
    process.nextTick(writeHead, this);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#head !== undefined && this.#first === undefined) {
      this.#first = chunk;
      return;
    }
    this.writeHead();
    this.#write(controller, chunk);
  }

  onResponseEnd(): void {
    const { response } = this.#exchange;
    const first = this.#first;
    this.#first = undefined;
    if (this.#beginAnswer()) {
      response.end(first);
    }
  }

  onResponseError(_controller: Controller, error: Error): void {
    if (this.#over) {
      return;
    }
    if (this.#answered) {
      // With an error: without one HTTP/2 would end the stream as if the answer were whole.
      this.#exchange.response.destroy(error);
    } else {
      this.#onFailure(error);
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
    if (first === undefined) {
      this.#exchange.response.flushHeaders();
    } else {
      this.#write(this.#controller as Controller, first);
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
      this.#onFailure(error as Error);
      return false;
    }
  }

  #write(controller: Controller, chunk: Buffer): void {
    const { response } = this.#exchange;
    if (this.#over || response.write(chunk)) {
      return;
    }
    controller.pause();
    if (!this.#listensToDrain) {
      this.#listensToDrain = true;
      response.on('drain', () => controller.resume());
    }
  }

  #clientGone(): void {
    const whole = this.#exchange.response.writableEnded;
    this.#over = true;
    this.#head = undefined;
    this.#first = undefined;
    if (!whole) {
      this.#controller?.abort(new Error('the client is gone'));
    }
  }
}

/**
 * The body of a request, to be given away: when the upstream server answers before it has all of it, what is left is read
 * and dropped, so that the client comes to read the answer.
 */
export function bodyOf({ request }: Exchange): PassThrough {
  const body = new PassThrough();
  // Who takes it learns of its end by other ways.
  body.on('error', () => {});
  body.once('close', () => {
    request.unpipe(body);
    request.resume();
  });
  return request.pipe(body);
}

/** RFC 9112 §6: by its framing. HTTP/2 says with the headers that nothing follows. */
export function hasBody({ request }: Exchange): boolean {
  const { headers } = request;
  if (request.httpVersionMajor >= 2) {
    return (request as { stream?: { endAfterHeaders?: boolean } }).stream?.endAfterHeaders !== true;
  }
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) !== 0);
}

function writeHead(forwarding: Forwarding): void {
  forwarding.writeHead();
}

/** RFC 9112 §4, as Node checks it. */
const REASON = /^[\t -~\x80-\xff]*$/;
