/**
 * One request on its way to the upstream server and back. The answer streams at the client's pace; one that is there at once
 * leaves in one write, head and body together.
 */

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Exchange } from './exchange.ts';
import { responseHeaders } from './hop-headers.ts';
import type { Controller, UpstreamHandler } from './upstream-pool.ts';

export interface ForwardingOptions {
  readonly exchange: Exchange;
  /** HTTP/1.1: whether the client is told to close. */
  readonly closes: () => boolean;
  /**
   * There will be no answer, and none has begun. `wasIdle`: the request went on a connection that had been idle, which the
   * upstream server may just have closed.
   */
  readonly onFailure: (error: Error, wasIdle: boolean) => void;
  /** Milliseconds without a byte taken by the client before it counts as gone. */
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
  readonly #timeout: number;
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
      this.#passHints(status, headers.link);
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
    this.writeHead();
    this.#write(controller, chunk);
  }

  onResponseEnd(): void {
    this.#controller = undefined;
    const first = this.#first;
    this.#first = undefined;
    if (this.#beginAnswer()) {
      this.#over = true;
      this.#exchange.response.end(first);
    }
  }

  onResponseError(error: Error, wasIdle: boolean): void {
    this.#controller = undefined;
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
      this.#onFailure(error, wasIdle);
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
    } else if (first === undefined) {
      this.#exchange.response.flushHeaders();
    } else {
      this.#write(this.#controller, first);
    }
  }

  /**
   * RFC 9110 §15.2: interim responses are to be passed on. 100 is none of ours: who asked for it has seen to it. Of the
   * others only 103 has a meaning today, and only its Link (RFC 8297 §2).
   */
  #passHints(status: number, links: string | readonly string[] | undefined): void {
    const { request, response } = this.#exchange;
    if (status !== 103 || links === undefined || request.httpVersion === '1.0') {
      return;
    }
    try {
      response.writeEarlyHints({ link: (typeof links === 'string' ? [links] : [...links]).flatMap(eachLink) });
    } catch {
      // Not such as Node's HTTP passes on. The answer has them too.
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
    this.#over = true;
    this.#head = undefined;
    this.#first = undefined;
    if (!whole) {
      this.#controller?.abort(new Error('the client is gone'));
    }
  }
}

function writeHead(forwarding: Forwarding): void {
  forwarding.writeHead();
}

/** A field may hold several; only their beginnings have `<` after a comma. */
function eachLink(links: string): string[] {
  return links.split(/,\s*(?=<)/);
}

/** RFC 9112 §4, as Node checks it. */
const REASON = /^[\t -~\x80-\xff]*$/;
