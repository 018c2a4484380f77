/**
 * Interim responses on their way to the client: 102, 103, 104 and whatever comes to be defined, with their fields.
 *
 * RFC 9110 §15.2: a proxy passes them on, but not to HTTP/1.0. 100 is none of these: who asked for it has seen to it; and 101
 * ends HTTP on a connection. RFC 9113 §8.1: in HTTP/2 they are header blocks of their own.
 */

import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Exchange } from '../exchange.ts';
import { responseHeaders } from './hop-headers.ts';

export function passInterim({ request, response }: Exchange, status: number, headers: IncomingHttpHeaders): void {
  if (status < 102 || request.httpVersion === '1.0' || response.headersSent) {
    return;
  }
  const fields = responseHeaders(headers, false);
  // RFC 9110 §8.6: there is no body whose length they could tell.
  delete fields['content-length'];
  if (request.httpVersionMajor >= 2) {
    passToHttp2(response, status, fields);
    return;
  }
  // RFC 9112 §9.3.2: it is not its turn while an earlier request has no answer. The client does well without, and one that
  // does not read must not make them pile up.
  const { socket } = response;
  if (socket?.writable === true && !socket.writableNeedDrain) {
    socket.write(headOf(status, fields), 'latin1');
  }
}

function passToHttp2(response: ServerResponse, status: number, fields: OutgoingHttpHeaders): void {
  try {
    (response as unknown as Http2Response).stream.additionalHeaders({ ...fields, ':status': status });
  } catch {
    // The stream is over, or a field is none of HTTP/2. The answer will show.
  }
}

function headOf(status: number, fields: OutgoingHttpHeaders): string {
  let head = `HTTP/1.1 ${status} ${REASONS[status] ?? ''}\r\n`;
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [String(value)]) {
      head += VALUE.test(one) ? `${name}: ${one}\r\n` : '';
    }
  }
  return `${head}\r\n`;
}

interface Http2Response {
  readonly stream: { additionalHeaders(headers: OutgoingHttpHeaders): void };
}

const REASONS: Readonly<Record<number, string>> = {
  102: 'Processing',
  103: 'Early Hints',
  104: 'Upload Resumption Supported',
};
/** RFC 9110 §5.5. */
const VALUE = /^[\t -~\x80-\xff]*$/;
