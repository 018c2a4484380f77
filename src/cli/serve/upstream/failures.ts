/** Why the upstream server did not answer: as the books name it, and as the client is told. RFC 9110 §15.6. */

import { errorCode, messageOf } from '../../problem.ts';
import { answer, type Exchange } from '../exchange.ts';
import { isClientStall } from './request-body.ts';

/** As the status page and the metrics name it. */
export function failureCode(error: unknown): string {
  const code = errorCode(error) ?? 'UPSTREAM';
  // The other side closed: without an error of the system's.
  return code === 'UND_ERR_SOCKET' ? 'ECONNRESET' : code;
}

/** Of the answer that a client gets for it. */
export function statusOfFailure(code: string): 502 | 503 | 504 {
  return BUSY.has(code) ? 503 : TIMEOUTS.has(code) ? 504 : 502;
}

/** The upstream server had closed the connection, or did it just then. */
export function isHangUp(error: unknown): boolean {
  return HANG_UPS.has(failureCode(error));
}

/** Answers for it. Returns what goes into the books; undefined: it was the client's own fault. */
export function answerFailure(exchange: Exchange, host: string, error: unknown): string | undefined {
  const isHttp1 = exchange.request.httpVersionMajor < 2;
  if (isClientStall(error)) {
    answer(exchange, 408, 'The rest of the request did not come.', isHttp1 ? { connection: 'close' } : {});
    return undefined;
  }
  const code = failureCode(error);
  const status = statusOfFailure(code);
  if (status === 503) {
    answer(exchange, status, `The upstream server ${host} is busy.`, { 'retry-after': RETRY_AFTER });
  } else if (status === 504) {
    answer(exchange, status, `The upstream server ${host} did not answer in time.`);
  } else {
    answer(exchange, status, `The upstream server ${host} did not answer (${reason(code, error)}).`);
  }
  return code;
}

function reason(code: string, error: unknown): string {
  return REASONS[code] ?? (code === 'UPSTREAM' ? messageOf(error) : code);
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'it hung up',
};
const BUSY: ReadonlySet<string> = new Set(['QUEUE_FULL', 'QUEUE_TIMEOUT']);
/** Seconds. */
const RETRY_AFTER = '5';
const TIMEOUTS: ReadonlySet<string> = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);
const HANG_UPS: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);
