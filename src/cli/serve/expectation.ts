/**
 * Forwards a request whose client waits for `100 Continue` before it sends the body: the upstream server decides, by 100 or
 * by a final status. undici sends a head with the first piece of the body, so Node's own HTTP client does it; such requests
 * are rare and large.
 *
 * RFC 9110 §10.1.1.
 */

import type { IncomingMessage } from 'node:http';
import { plainRequest } from '../../node/plain.ts';
import type { Exchange } from './exchange.ts';
import { bodyOf } from './request-body.ts';
import type { Controller, UpstreamHandler, UpstreamRequest } from './upstream-pool.ts';

export interface Expecting {
  readonly exchange: Exchange;
  readonly upstream: URL;
  readonly request: Omit<UpstreamRequest, 'body'>;
  readonly handler: UpstreamHandler;
  /** Milliseconds without a byte from the upstream server, or to it. */
  readonly timeout: number;
  /** The body is asked for. */
  readonly onContinue: () => void;
}

export function forwardExpecting({ exchange, upstream, request, handler, timeout, onContinue }: Expecting): void {
  const isFramed = exchange.request.headers['content-length'] !== undefined;
  const outgoing = plainRequest({
    // Of its own: a request with a body cannot be tried again on another connection.
    agent: false,
    hostname: upstream.hostname.replace(/^\[|\]$/g, ''),
    port: upstream.port || 80,
    method: request.method,
    path: request.path,
    headers: [...request.headers, 'expect', '100-continue', ...(isFramed ? [] : ['transfer-encoding', 'chunked'])],
    timeout,
  });
  let isOver = false;
  let incoming: IncomingMessage | undefined;
  let isAsked = false;
  const finish = (error?: Error): void => {
    clearTimeout(patience);
    if (isOver) {
      return;
    }
    isOver = true;
    if (error === undefined) {
      handler.onResponseEnd();
    } else {
      handler.onResponseError(error, false);
    }
  };
  const controller: Controller = {
    pause: () => incoming?.pause(),
    resume: () => incoming?.resume(),
    abort(reason) {
      finish(reason);
      outgoing.destroy();
    },
  };
  const proceed = (): void => {
    clearTimeout(patience);
    if (isAsked || isOver) {
      return;
    }
    isAsked = true;
    onContinue();
    exchange.response.writeContinue();
    const body = bodyOf(exchange);
    body.pipe(outgoing);
    outgoing.once('close', () => body.destroy());
  };
  // Not every server knows 100, and a client may not wait for ever.
  const patience = setTimeout(proceed, Math.min(PATIENCE, timeout / 2));
  outgoing.once('continue', proceed);
  outgoing.on('information', ({ statusCode, headers }) => {
    if (!isOver && statusCode > 100) {
      handler.onResponseStart(controller, statusCode, headers);
    }
  });
  outgoing.once('response', (response) => {
    clearTimeout(patience);
    if (isOver) {
      response.destroy();
      return;
    }
    incoming = response;
    handler.onResponseStart(controller, response.statusCode ?? 0, response.headers, response.statusMessage);
    response.on('data', (chunk: Buffer) => isOver || handler.onResponseData(controller, chunk));
    response.once('error', finish);
    response.once('close', () => {
      finish(response.complete ? undefined : hangUp());
      outgoing.destroy();
    });
  });
  outgoing.on('error', finish);
  outgoing.once('timeout', () => {
    const timedOut = new Error('the upstream server takes too long');
    controller.abort(Object.assign(timedOut, { code: 'UND_ERR_HEADERS_TIMEOUT' }));
  });
  outgoing.once('close', () => {
    if (incoming === undefined) {
      finish(hangUp());
    }
  });
  handler.onRequestStart(controller);
  if (!isOver) {
    outgoing.flushHeaders();
  }
}

function hangUp(): Error {
  return Object.assign(new Error('the upstream server hung up'), { code: 'ECONNRESET' });
}

/** Milliseconds that a server has to answer an expectation. As long as curl waits. */
const PATIENCE = 1000;
