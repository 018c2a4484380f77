/** The head of an answer as the client gets it. RFC 9112 §4, §6; RFC 9110 §8.6. */

import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Exchange } from '../exchange.ts';
import { responseHeaders } from './hop-headers.ts';
import { announcedTrailers, takesTrailers } from './trailers.ts';

export interface Head {
  readonly status: number;
  readonly reason: string | undefined;
  readonly headers: OutgoingHttpHeaders;
}

/** Without `Connection`. */
export function answerHeaders(
  { request }: Exchange,
  status: number,
  headers: IncomingHttpHeaders,
): OutgoingHttpHeaders {
  const framed = request.httpVersionMajor < 2 && request.httpVersion !== '1.0' && status !== 204 && status !== 304;
  const outgoing = responseHeaders(headers, framed);
  if (status === 204) {
    // RFC 9110 §8.6: not even 0.
    delete outgoing['content-length'];
  }
  const inChunks = headers['transfer-encoding'] !== undefined;
  if (headers.trailer !== undefined && inChunks && !isBodiless(request.method, status) && takesTrailers(request)) {
    const announced = announcedTrailers(headers);
    if (announced !== undefined) {
      outgoing.trailer = announced;
    }
  }
  return outgoing;
}

/** As far as Node's HTTP passes it on; HTTP/2 has none. */
export function reasonOf(message: string | undefined): string | undefined {
  return message !== undefined && REASON.test(message) ? message : undefined;
}

/** Whether the answer is its head alone. */
export function isBodiless(method: string | undefined, status: number): boolean {
  return status === 204 || status === 304 || method === 'HEAD';
}

/** Throws for a status that Node's HTTP does not pass on. */
export function writeHeadOf(response: ServerResponse, { status, reason, headers }: Head): void {
  if (reason === undefined) {
    response.writeHead(status, headers);
  } else {
    response.writeHead(status, reason, headers);
  }
}

/** Without a body for now. */
export function flushHead({ request, response }: Exchange): void {
  if (request.httpVersionMajor >= 2) {
    response.flushHeaders();
  } else {
    // As HTTP/1.1 has it (RFC 9112 §2.2): Node's flushHeaders writes values as UTF-8, which would encode them twice.
    response.write('', 'latin1');
  }
}

/** RFC 9112 §4, as Node checks it. */
const REASON = /^[\t -~\x80-\xff]*$/;
