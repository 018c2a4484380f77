/**
 * One connection to Redis or Valkey, by URL: a single server, a cluster, or whoever the sentinels say is the master.
 *
 *     redis://[user:password@]host[:port]/[db]        rediss:// with TLS; valkey:// and valkeys:// mean the same
 *     redis+cluster://host:port,host:port             rediss+cluster://
 *     redis+sentinel://host:port,host:port/name       rediss+sentinel://; ?sentinelPassword=… if the sentinels have one
 *
 * A command that cannot be carried out now fails now: nothing is queued for a store that is away, as its answer would come
 * too late to be of use. The client goes on trying to connect. Only the first attempt is waited for.
 */

import { createRequire } from 'node:module';
import type { RedisClientOptions } from '@redis/client';
import { TLSError } from '../../errors.ts';
import { STORE_TIMEOUT } from '../store.ts';
import { type Client, Line, pauseAfter } from './line.ts';

export type RedisArgument = string | Buffer;

export interface RedisConnection {
  /**
   * Sends one command whose first key is `key`; byte strings come back as Buffers.
   * @throws Error whatever the client or the server says, at the latest after `STORE_TIMEOUT`
   */
  command(key: string, args: readonly RedisArgument[]): Promise<unknown>;
  /** Calls `listener` at each message of the channel, on a connection of its own, until the returned function is called. */
  subscribe(channel: string, listener: () => void): () => void;
  close(): void;
}

export interface RedisConnectionOptions {
  readonly url: string;
  /** For `rediss:` URLs: PEM of the CAs that the server's certificate may come from. Default: Node's own. */
  readonly ca?: string;
  /** Told of failures that no command reports: the connection was lost, or cannot be made. Must not throw. */
  readonly onError?: (error: unknown) => void;
}

interface Address {
  readonly scheme: 'single' | 'cluster' | 'sentinel';
  readonly tls: boolean;
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly path: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly sentinelPassword: string | undefined;
}

type RedisSocketOptions = NonNullable<RedisClientOptions['socket']>;

/**
 * Connects in the background: what is asked before the first attempt has an outcome waits for it.
 * @throws TLSError `TLS_ERR_CONFIG` not such a URL
 */
export function connectRedis(options: RedisConnectionOptions): RedisConnection {
  const address = parseAddress(options.url);
  const { ca, onError = () => {} } = options;
  const open = () => openClient(address, ca);
  const line = new Line({ open, onError });
  const subscriptions = new Set<Line<RedisClient>>();
  /** Until the first attempt to connect has an outcome: a member's first visit would fail for nothing, and its next is far. */
  let opening: Promise<void> | undefined = line.tried;
  opening.then(() => {
    opening = undefined;
  });
  const send: RedisConnection['command'] = (key, args) => line.client.send(key, args);

  return {
    command: (key, args) => (opening === undefined ? send(key, args) : opening.then(() => send(key, args))),
    subscribe(channel, listener) {
      const onConnected = (client: RedisClient) => client.subscribe(channel, listener);
      const subscription = new Line({ open, onConnected, onError });
      subscriptions.add(subscription);
      return () => {
        subscriptions.delete(subscription);
        subscription.end();
      };
    },
    close() {
      for (const one of [line, ...subscriptions]) {
        one.end();
      }
      subscriptions.clear();
    },
  };
}

/**
 * Whom a URL names, without its password; opens nothing.
 * @throws TLSError `TLS_ERR_CONFIG` not such a URL
 */
export function describeRedisUrl(url: string): string {
  const { scheme, tls, hosts, path } = parseAddress(url);
  const list = hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
  return `${tls ? 'rediss' : 'redis'}${scheme === 'single' ? '' : `+${scheme}`}://${list}${path === '' ? '' : `/${path}`}`;
}

interface RedisClient extends Client {
  send(key: string, args: readonly RedisArgument[]): Promise<unknown>;
}

function openClient(address: Address, ca: string | undefined): RedisClient {
  const { scheme, hosts, path, username, password, sentinelPassword } = address;
  const socket = {
    connectTimeout: STORE_TIMEOUT,
    reconnectStrategy: pauseAfter,
    ...(address.tls ? { tls: true as const, ...(ca === undefined ? {} : { ca }) } : {}),
  } as RedisSocketOptions;
  const { RESP_TYPES, createClient, createCluster, createSentinel } = loadClient();
  const commandOptions = { timeout: STORE_TIMEOUT, typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } };
  const common = { username, password, socket, disableOfflineQueue: true };
  if (scheme === 'cluster') {
    const rootNodes = hosts.map(({ host, port }) => ({ socket: { ...socket, host, port } as RedisSocketOptions }));
    const client = createCluster({ rootNodes, defaults: common, commandOptions });
    return withSend(client, (key, args) => client.sendCommand(key, false, [...args], commandOptions));
  }
  if (scheme === 'sentinel') {
    const client = createSentinel({
      name: path,
      sentinelRootNodes: [...hosts],
      nodeClientOptions: common as object,
      sentinelClientOptions: { socket, password: sentinelPassword } as object,
      commandOptions,
    });
    return withSend(client, (_key, args) => client.sendCommand(false, [...args], commandOptions));
  }
  const [{ host, port }] = hosts;
  const client = createClient({
    ...common,
    socket: { ...socket, host, port } as RedisSocketOptions,
    database: path === '' ? 0 : Number(path),
    commandOptions,
  });
  return withSend(client, (_key, args) => client.sendCommand([...args], commandOptions));
}

/** When a store is connected to, and not before: its hundreds of files would be paid for by all who have none. */
function loadClient(): typeof import('@redis/client') {
  return createRequire(import.meta.url)('@redis/client');
}

/** The three clients' types have little in common, though what is used of them is the same. */
function withSend(client: object, send: RedisClient['send']): RedisClient {
  const { connect, destroy, on, subscribe } = client as Client;
  return {
    connect: () => connect.call(client),
    destroy: () => destroy.call(client),
    on: (event, listener) => on.call(client, event, listener),
    subscribe: (channel, listener) => subscribe.call(client, channel, listener),
    // Some throw at once when they are not connected.
    send: async (key, args) => send(key, args),
  };
}

/** The URL itself is not repeated in errors: it may hold a password. */
function parseAddress(url: string): Address {
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
