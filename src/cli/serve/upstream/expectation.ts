/**
 * Forwards a request whose client waits for `100 Continue` before it sends the body: the upstream server decides, by 100 or
 * by a final status. undici sends a head with the first piece of the body, so Node's own HTTP client does it; such requests
 * are rare and large.
 *
 * RFC 9110 §10.1.1.
 */

import type { ClientRequest } from 'node:http';
import type { Exchange } from '../exchange.ts';
import { type OwnOptions, sendAlone } from './own-connection.ts';
import type { Pace } from './pace.ts';
import { bodyOf, clientStall } from './request-body.ts';
import type { WireExtras } from './request-wire.ts';

export interface Expecting extends OwnOptions {
  readonly exchange: Exchange;
  readonly pace: Pace;
  readonly extras: WireExtras | undefined;
  /** The body is asked for. */
  readonly onContinue: () => void;
}

export function forwardExpecting({ exchange, request, extras, pace, onContinue, ...own }: Expecting): void {
  const { headers } = exchange.request;
  const trailers = extras?.trailers;
  const isFramed = headers['content-length'] !== undefined && trailers === undefined;
  const { timeout } = own;
  let patience: NodeJS.Timeout | undefined;
  /** Once the body is asked for. */
  let sending: ClientRequest | undefined;
  let isSettled = false;
  const proceed = (outgoing: ClientRequest, abort: (reason: Error) => void): void => {
    clearTimeout(patience);
    if (sending !== undefined || isSettled) {
      return;
    }
    sending = outgoing;
    onContinue();
    exchange.response.writeContinue();
    const body = bodyOf(exchange, { pace, client: request.client, inChunks: false });
    body.once('error', abort);
    if (trailers !== undefined) {
      body.once('end', () => outgoing.addTrailers(trailers() as [string, string][]));
    }
    body.pipe(outgoing);
    outgoing.once('close', () => body.destroy());
  };
  sendAlone(
    {
      ...own,
      request: {
        ...request,
        headers: [
          ...request.headers,
          'expect',
          '100-continue',
          ...(isFramed ? [] : ['transfer-encoding', 'chunked']),
          'connection',
          extras?.takesTrailers === true ? 'close, TE' : 'close',
        ],
      },
    },
    {
      onOpen(outgoing, abort) {
        // Not every server knows 100, and a client may not wait for ever.
        patience = setTimeout(() => proceed(outgoing, abort), Math.min(PATIENCE, timeout / 2));
        outgoing.once('continue', () => proceed(outgoing, abort));
        outgoing.flushHeaders();
      },
      onSettled() {
        isSettled = true;
        clearTimeout(patience);
      },
      onSilence: () =>
        sending?.writableNeedDrain === false && !exchange.request.complete ? clientStall('client_stalled') : undefined,
    },
  );
}

/** Milliseconds that a server has to answer an expectation. As long as curl waits. */
const PATIENCE = 1000;
