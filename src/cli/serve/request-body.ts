/** The body of a request on its way to the upstream server. */

import { PassThrough } from 'node:stream';
import type { Exchange } from './exchange.ts';

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
