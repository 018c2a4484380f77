/**
 * Which headers cross a proxy, and what it adds of its own.
 *
 * RFC 9110 §7.6.1: those of one hop do not. RFC 9110 §5.3: of fields that come several times, lists are joined.
 */

import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';

import { clientCertificate } from './client-certificate.ts';

export interface RequestFacts {
  /** Where the client said it wants to go. */
  readonly host: string | undefined;
  /** The port that clients connect to. */
  readonly port: number | undefined;
  /** Only then its length is told; without one the body gets a frame of its own. */
  readonly hasBody: boolean;
  /** RFC 9110 §10.1.4: the client takes trailers. */
  readonly takesTrailers: boolean;
  /** Those that will follow the body, which then has no length. */
  readonly trailers: string | undefined;
}

/** The headers for the upstream server, names and values in turn: what the client said of itself is replaced by what we know. */
export function requestHeaders(request: IncomingMessage, facts: RequestFacts): string[] {
  const { host, port, hasBody, takesTrailers, trailers } = facts;
  const { headers } = request;
  const named = namedBy(headers.connection);
  const isSized = hasBody && trailers === undefined;
  const found: string[] = [];
  for (const name in headers) {
    const value = headers[name];
    const stays = HOP_BY_HOP.has(name) || REPLACED.has(name) || name[0] === ':' || named?.has(name) === true;
    if (stays || value === undefined || (name === 'content-length' && !isSized) || isDisguised(name)) {
      continue;
    }
    if (typeof value === 'string') {
      found.push(name, value);
    } else {
      for (const one of value) {
        found.push(name, one);
      }
    }
  }
  if (host !== undefined) {
    found.push('host', host, 'x-forwarded-host', host);
  }
  if (takesTrailers) {
    found.push('te', 'trailers');
  }
  if (trailers !== undefined) {
    found.push('trailer', trailers);
  }
  // A client cannot be believed about its own address: the chain starts here.
  found.push('x-forwarded-for', request.socket.remoteAddress ?? '');
  found.push('x-forwarded-proto', 'https', 'x-forwarded-port', String(port ?? 443));
  const certificate = clientCertificate(request);
  if (certificate !== undefined) {
    found.push('client-cert', certificate);
  }
  return found;
}

/** The headers for the client. `framed`: HTTP/1.1, where Node's HTTP frames the body anew by Transfer-Encoding. */
export function responseHeaders(headers: IncomingHttpHeaders, framed: boolean): OutgoingHttpHeaders {
  const named = namedBy(headers.connection);
  const found: OutgoingHttpHeaders = {};
  for (const name in headers) {
    const value = headers[name];
    if (HOP_BY_HOP.has(name) && !(framed && name === 'transfer-encoding')) {
      continue;
    }
    if (value !== undefined && named?.has(name) !== true) {
      found[name] = typeof value === 'string' || name === 'set-cookie' ? value : joined(name, value);
    }
  }
  return found;
}

/** Whether a field must not come after the body, as it must not cross in the header (`connection`: as said there). */
export function isOfThisHop(name: string, connection: string | undefined): boolean {
  return HOP_BY_HOP.has(name) || REPLACED.has(name) || namedBy(connection)?.has(name) === true || isDisguised(name);
}

/** Servers after CGI's manner (RFC 3875 §4.1.18) cannot tell `X_Forwarded_For` from `X-Forwarded-For`. */
function isDisguised(name: string): boolean {
  if (!name.includes('_')) {
    return false;
  }
  const plain = name.replaceAll('_', '-');
  return REPLACED.has(plain) || HOP_BY_HOP.has(plain) || NEVER_NAMED.includes(plain);
}

/** What Connection says belongs to this hop, without what it must not take away. */
function namedBy(connection: string | readonly string[] | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') {
    return undefined;
  }
  const named = new Set(
    String(connection)
      .split(',')
      .map((token) => token.trim().toLowerCase()),
  );
  for (const name of NEVER_NAMED) {
    named.delete(name);
  }
  return named;
}

/** Fields that are no lists come once: the first counts, as for Node's own clients. */
function joined(name: string, values: readonly string[]): string {
  return SINGLE.has(name) ? values[0] : values.join(', ');
}

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** RFC 8470 §5.1: that a request came early must not be kept from the upstream server. */
const NEVER_NAMED = ['transfer-encoding', 'content-length', 'host', 'early-data'];
/**
 * By what we know ourselves, or by nothing: only who ends TLS can say these things of a client, and upstream servers believe
 * them (RFC 9440 §4 on the certificate). Expect was answered by our own server, or is asked for anew.
 */
const REPLACED: ReadonlySet<string> = new Set([
  'host',
  'forwarded',
  'expect',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-protocol',
  'x-forwarded-scheme',
  'x-forwarded-ssl',
  'x-forwarded-port',
  'x-forwarded-host',
  'x-forwarded-server',
  'x-forwarded-prefix',
  'x-forwarded-client-cert',
  'x-real-ip',
  'x-client-ip',
  'client-ip',
  'true-client-ip',
  'client-cert',
  'client-cert-chain',
]);
const SINGLE: ReadonlySet<string> = new Set([
  'age',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'from',
  'last-modified',
  'location',
  'max-forwards',
  'referer',
  'retry-after',
  'server',
  'strict-transport-security',
  'user-agent',
]);
