/** One request and its response, of HTTP/1.1 or HTTP/2: what the handlers of `serve` see. */

import type { IncomingMessage, ServerResponse } from 'node:http';

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
  const kept = Object.entries(headers).filter(([name]) => !/^content-/i.test(name) || /^content-range$/i.test(name));
  response.writeHead(status, {
    ...Object.fromEntries(kept),
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
