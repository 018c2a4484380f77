/**
 * Where a store is, by URL: a single server, a cluster, or whoever the sentinels say is the master.
 *
 *     redis://[user:password@]host[:port]/[db]        rediss:// with TLS; valkey:// and valkeys:// mean the same
 *     redis+cluster://host:port,host:port             rediss+cluster://
 *     redis+sentinel://host:port,host:port/name       rediss+sentinel://; ?sentinelPassword=… if the sentinels have one
 */

import { TLSError } from '../../errors.ts';

export interface RedisAddress {
  readonly scheme: 'single' | 'cluster' | 'sentinel';
  readonly tls: boolean;
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly path: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly sentinelPassword: string | undefined;
}

/**
 * The URL itself is not repeated in errors: it may hold a password.
 * @throws TLSError `TLS_ERR_CONFIG` not such a URL
 */
export function parseRedisUrl(url: string): RedisAddress {
  const match =
    /^(redis|rediss|valkey|valkeys)(\+cluster|\+sentinel)?:\/\/(?:([^@/]*)@)?([^/?#]+)(?:\/([^/?#]*))?(?:\?sentinelPassword=([^&#]+))?$/.exec(
      url,
    );
  if (match === null) {
    throw bad(
      'expected redis://HOST[:PORT], rediss://…, redis+cluster://HOST:PORT,… or redis+sentinel://HOST:PORT,…/NAME[?sentinelPassword=…]',
    );
  }
  const [, protocol, kind = '', login = '', hosts, path = '', sentinelPassword] = match;
  const scheme = kind === '+cluster' ? 'cluster' : kind === '+sentinel' ? 'sentinel' : 'single';
  const [username, password] = login.includes(':') ? splitOnce(login, ':') : [undefined, login || undefined];
  if (scheme === 'single' && !/^\d{0,4}$/.test(path)) {
    throw bad('the database after the slash must be a number');
  }
  if (scheme === 'sentinel' && path === '') {
    throw bad('a sentinel URL ends with /NAME, the name of the master');
  }
  if (scheme !== 'sentinel' && sentinelPassword !== undefined) {
    throw bad('sentinelPassword is for redis+sentinel:// alone');
  }
  const defaultPort = scheme === 'sentinel' ? 26379 : 6379;
  const list = hosts.split(',').map((text) => parseHost(text, defaultPort));
  if (scheme === 'single' && list.length > 1) {
    throw bad('several hosts need redis+cluster:// or redis+sentinel://');
  }
  return {
    scheme,
    tls: protocol.endsWith('s') && protocol !== 'redis',
    hosts: list,
    path: decoded(path),
    username: username === undefined || username === '' ? undefined : decoded(username),
    password: password === undefined ? undefined : decoded(password),
    sentinelPassword: sentinelPassword === undefined ? undefined : decoded(sentinelPassword),
  };
}

/**
 * Whom a URL names, without its password; opens nothing.
 * @throws TLSError `TLS_ERR_CONFIG` not such a URL
 */
export function describeRedisUrl(url: string): string {
  const { scheme, tls, hosts, path } = parseRedisUrl(url);
  const list = hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
  return `${tls ? 'rediss' : 'redis'}${scheme === 'single' ? '' : `+${scheme}`}://${list}${path === '' ? '' : `/${path}`}`;
}

function parseHost(text: string, defaultPort: number): { host: string; port: number } {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[2] ?? defaultPort);
  if (match === null || port < 1 || port > 65_535) {
    throw bad('a host is NAME, ADDRESS or [IPV6], with an optional :PORT');
  }
  return { host: match[1].replace(/^\[|\]$/g, ''), port };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw bad('a % must be followed by two hex digits');
  }
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + 1)];
}

function bad(detail: string): TLSError {
  return new TLSError('TLS_ERR_CONFIG', `the store's URL cannot be read: ${detail}`);
}
