/**
 * Trailer fields, in both directions: which may cross, and who takes them.
 *
 *   chunked-body = *chunk last-chunk trailer-section CRLF
 *
 * RFC 9110 §6.5.1: a field may come after the body only where its definition allows that, which those of framing, routing,
 * authentication, conditions, caching and the format of the content do not; §10.1.4: TE says that trailers are taken; §6.6.2:
 * Trailer announces them. RFC 9113 §8.1: in HTTP/2 each message may have them.
 */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Exchange } from '../exchange.ts';
import { isOfThisHop } from './hop-headers.ts';

export type Field = readonly [name: string, value: string];

/** Whether the client takes trailers. Every client of HTTP/2 must be able to pass over them. */
export function takesTrailers({ httpVersion, httpVersionMajor, headers }: IncomingMessage): boolean {
  return httpVersionMajor >= 2 || (httpVersion === '1.1' && asksForTrailers(headers));
}

export function asksForTrailers({ te }: IncomingHttpHeaders): boolean {
  return te !== undefined && TRAILERS.test(String(te));
}

/** The value of `Trailer` without the names that may not be there; undefined when none is left. */
export function announcedTrailers({ trailer, connection }: IncomingHttpHeaders): string | undefined {
  if (trailer === undefined) {
    return undefined;
  }
  const names = String(trailer)
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => TOKEN.test(name) && mayTrail(name, connection));
  return names.length === 0 ? undefined : names.join(', ');
}

/** The trailers of a request whose body has ended: only those that its header announced. */
export function trailersOf({ trailers }: IncomingMessage, announced: string): readonly Field[] {
  const names = new Set(announced.split(', '));
  return Object.entries(trailers).filter((field): field is [string, string] => {
    const [name, value] = field;
    return value !== undefined && names.has(name) && VALUE.test(value);
  });
}

/** Those of an answer go to its client, if it takes them. */
export function passTrailers(
  { request, response }: Exchange,
  trailers: IncomingHttpHeaders,
  connection: string | undefined,
): void {
  const crossing = crossingTrailers(trailers, connection);
  if (crossing !== undefined && takesTrailers(request)) {
    // Node's HTTP/1.1 leaves them out where the body is not in chunks.
    response.addTrailers(crossing);
  }
}

/** The trailers of an answer that may go to the client; undefined when there are none. */
function crossingTrailers(
  trailers: IncomingHttpHeaders,
  connection: string | undefined,
): Record<string, string> | undefined {
  let found: Record<string, string> | undefined;
  for (const name in trailers) {
    const value = trailers[name];
    const text = typeof value === 'string' ? value : (value ?? []).join(', ');
    if (TOKEN.test(name) && VALUE.test(text) && mayTrail(name, connection)) {
      found ??= {};
      found[name] = text;
    }
  }
  return found;
}

function mayTrail(name: string, connection: string | undefined): boolean {
  return !NEVER_TRAILING.has(name) && !/^(?:if-|access-control-)/.test(name) && !isOfThisHop(name, connection);
}

const TRAILERS = /(?:^|,)\s*trailers\s*(?:,|$)/i;
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;
const VALUE = /^[\t -~\x80-\xff]*$/;
const NEVER_TRAILING: ReadonlySet<string> = new Set([
  // How long the message is, and where it goes.
  'content-length',
  'host',
  'early-data',
  // Who asks.
  'authorization',
  'authentication-info',
  'proxy-authentication-info',
  'www-authenticate',
  'cookie',
  'set-cookie',
  'origin',
  // How the request is to be taken, and the answer.
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'age',
  'cache-control',
  'date',
  'expires',
  'location',
  'max-forwards',
  'pragma',
  'range',
  'retry-after',
  'vary',
  'warning',
  // What the body is.
  'accept-ranges',
  'content-encoding',
  'content-disposition',
  'content-language',
  'content-location',
  'content-range',
  'content-security-policy',
  'content-type',
  'last-modified',
  'strict-transport-security',
  'x-content-type-options',
  'x-frame-options',
]);
