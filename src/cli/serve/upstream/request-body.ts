/** The body of a request on its way to the upstream server. */

import { PassThrough } from 'node:stream';
import type { Exchange } from '../exchange.ts';

export interface BodyOptions {
  /** Milliseconds that the client may let pass without a byte of it. */
  readonly timeout: number;
  /** It must not be given a length, even where all of it is here: trailers follow. */
  readonly inChunks: boolean;
}

/**
 * The body of a request, to be given away: when the upstream server answers before it has all of it, what is left is read
 * and dropped, so that the client comes to read the answer. It breaks with `isClientStall` when the client stops in the
 * middle of it, which would hold a connection to the upstream server for ever.
 */
export function bodyOf({ request }: Exchange, { timeout, inChunks }: BodyOptions): PassThrough {
  // undici asks a stream that has ended how long it is, unless it is one of objects.
  const body = new PassThrough(inChunks ? { readableObjectMode: true, readableHighWaterMark: 1 } : {});
  const patience = setTimeout(() => {
    if (body.writableNeedDrain) {
      patience.refresh();
    } else {
      body.destroy(clientStall());
    }
  }, timeout);
  request.on('data', () => patience.refresh());
  request.once('end', () => clearTimeout(patience));
  // Who takes it learns of its end by other ways.
  body.on('error', () => {});
  body.once('close', () => {
    clearTimeout(patience);
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

export function clientStall(): Error {
  return Object.assign(new Error('the client does not send its body'), { code: CLIENT_STALL });
}

export function isClientStall(error: unknown): boolean {
  return (error as { code?: unknown }).code === CLIENT_STALL;
}

const CLIENT_STALL = 'CLIENT_STALL';
