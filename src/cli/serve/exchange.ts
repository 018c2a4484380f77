/** One request and its response, of HTTP/1.1 or HTTP/2: what the handlers of `serve` see. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { plainResponse } from '../../node/plain.ts';

/** With HTTP/2 these are of the classes of `node:http2`, which have all that is used here under the same names. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Answers with a short page of text; nothing when the response has already begun. */
export function answer(
  { request, response }: Exchange,
  status: number,
  text: string,
  headers: Record<string, string> = {},
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body = `${status} ${text}\n`;
  const kept = Object.entries(headers).filter(([name]) => !OF_OTHER_BODY.test(name));
  response.writeHead(status, {
    ...Object.fromEntries(kept),
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Said below of ours. */
const OF_OTHER_BODY = /^(?:content-(?!range$)|x-content-type-options$)/i;

/** A request to upgrade, and its answer if it is none; undefined when an earlier one on the connection still has no answer. */
export function upgradeExchange(request: IncomingMessage, socket: Duplex): Exchange | undefined {
  socket.on('error', () => socket.destroy());
  const response = plainResponse(request);
  try {
    response.assignSocket(socket as Socket);
  } catch {
    return undefined;
  }
  socket.on('drain', () => response.emit('drain'));
  response.once('finish', () => endSoon(socket));
  return { request, response };
}

/** When what is written has left; a peer that does not take it is given up. */
export function endSoon(socket: Duplex): void {
  if (socket.destroyed) {
    return;
  }
  const linger = setTimeout(() => socket.destroy(), LINGER);
  socket.once('close', () => clearTimeout(linger));
  if (socket.writableFinished) {
    socket.destroy();
    return;
  }
  socket.once('finish', () => socket.destroy());
  socket.end();
}

/** Milliseconds that a half-closed connection may stay so. */
export const LINGER = 30_000;
