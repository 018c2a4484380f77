/**
 * Where a request wants to go, read strictly: what two servers in a row understand differently lets a client reach what one
 * of them meant to keep from it.
 *
 *   request-target = origin-form / absolute-form / asterisk-form
 *
 * RFC 9112 §3.2 (Host), §3.2.2 (absolute-form: its authority counts, not Host), §6.1 (transfer codings that we do not know).
 */

import type { IncomingMessage } from 'node:http';
import { answer, type Exchange } from './exchange.ts';

export interface Target {
  readonly path: string;
  /** Undefined in HTTP/1.0 alone. */
  readonly host: string | undefined;
}

export interface Refusal {
  readonly status: 204 | 400 | 501 | 505;
  readonly text: string;
}

/** `base`: the path of the upstream URL, which the request is not to leave. */
export function targetOf(request: IncomingMessage, base: string): Target | Refusal {
  const { headers, url = '/' } = request;
  if (request.httpVersionMajor !== 1 && headers[':method'] === undefined) {
    // Node takes 0.9 and 2.0 in a request line too. What follows from a version must be true of the connection.
    return { status: 505, text: 'Only HTTP/1.0 and HTTP/1.1 are written like this.' };
  }
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    return { status: 501, text: 'Of transfer codings only chunked is understood.' };
  }
  if (request.httpVersionMajor < 2 && hasTwoHosts(request.rawHeaders)) {
    return refused('There is more than one Host');
  }
  const authority = headers[':authority'];
  let host = typeof authority === 'string' ? authority : headers.host;
  let path = url;
  if (url[0] !== '/') {
    if (url === '*' && request.method === 'OPTIONS') {
      // RFC 9110 §9.3.7: of the server as a whole, which is this one: nothing more than that it is there.
      return { status: 204, text: '' };
    }
    const absolute = ABSOLUTE.exec(url);
    if (absolute === null) {
      return refused('This is no path');
    }
    host = absolute[1];
    path = absolute[2][0] === '/' ? absolute[2] : `/${absolute[2]}`;
  }
  if (host !== undefined && !HOST.test(host)) {
    return refused('This is no host');
  }
  if (path.includes('#')) {
    return refused('A fragment is not for servers');
  }
  return base !== '/' && leaves(path) ? refused('This path leaves its folder') : { path, host };
}

/** The path of the upstream URL goes before the request's. */
export function pathUnder(base: string, path: string): string {
  if (base === '/') {
    return path;
  }
  return path === '/' ? base : (base.endsWith('/') ? base.slice(0, -1) : base) + path;
}

/** Before the request goes anywhere. */
export function refuse(exchange: Exchange, { status, text }: Refusal): void {
  if (status === 204) {
    exchange.response.writeHead(204).end();
    return;
  }
  // Where its body ends may be in doubt: nothing more is read.
  const isHttp1 = exchange.request.headers[':method'] === undefined;
  answer(exchange, status, text, isHttp1 ? { connection: 'close' } : {});
}

export function isRefusal(target: Target | Refusal): target is Refusal {
  return 'status' in target;
}

function refused(text: string): Refusal {
  return { status: 400, text: `${text}.` };
}

function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name.length === 4 && name.toLowerCase() === 'host') {
      count++;
    }
  }
  return count > 1;
}

/** Whether one of its segments is `..`, however it is written: the upstream server may resolve it, also one of Windows. */
function leaves(path: string): boolean {
  const end = path.indexOf('?');
  const segments = (end < 0 ? path : path.slice(0, end)).split(/[/\\]|%2f|%5c/i);
  return segments.some((segment) => /^(\.|%2e){2}(;|$)/i.test(segment));
}

const ABSOLUTE = /^https?:\/\/([^/?#@]+)([/?].*|)$/is;
/** RFC 9110 §4.2.1, RFC 3986 §3.2: no user, no path. HTTP allows it to be empty. */
const HOST = /^(?:[\w.~!$&'()*+,;=%-]*|\[[\da-f:.]+\])(?::\d*)?$/i;
