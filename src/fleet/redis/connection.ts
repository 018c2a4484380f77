/**
 * One connection to Redis or Valkey, by URL: a single server, a cluster, or whoever the sentinels say is the master.
 *
 *     redis://[user:password@]host[:port]/[db]        rediss:// with TLS; valkey:// and valkeys:// mean the same
 *     redis+cluster://host:port,host:port             rediss+cluster://
 *     redis+sentinel://host:port,host:port/name       rediss+sentinel://
 *
 * A command that cannot be carried out now fails now: nothing is queued for a store that is away, as its answer would come
 * too late to be of use. The client goes on trying to connect. Only the first attempt is waited for.
 */

import { createClient, createCluster, createSentinel, RESP_TYPES, type RedisClientOptions } from '@redis/client';
import { TLSError } from '../../errors.ts';
import { STORE_TIMEOUT } from '../store.ts';

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
}

type RedisSocketOptions = NonNullable<RedisClientOptions['socket']>;

/** What all three clients of the library have in common, as far as it is used here. */
interface Client {
  connect(): Promise<unknown>;
  destroy(): void | Promise<void>;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  subscribe(channel: string, listener: () => void): Promise<unknown>;
}

/**
 * Connects in the background: what is asked before the first attempt has an outcome waits for it.
 * @throws TLSError `TLS_ERR_CONFIG` not such a URL
 */
export function connectRedis(options: RedisConnectionOptions): RedisConnection {
  const address = parseAddress(options.url);
  const onError = options.onError ?? (() => {});
  const { client, send } = openClient(address, options.ca);
  const subscribers = new Set<Client>();
  const ended = new WeakSet<Client>();

  const connect = (one: Client, then: () => unknown): void => {
    one.on('error', onError);
    // One that is destroyed while it connects stays connected: it is destroyed once more.
    one
      .connect()
      .then(() => (ended.has(one) ? destroy(one) : then()))
      .catch((error) => (ended.has(one) ? undefined : onError(error)));
  };
  const end = (one: Client): void => {
    ended.add(one);
    destroy(one);
  };
  /** Until the first attempt to connect has an outcome: a member's first visit would fail for nothing, and its next is far. */
  let opening: Promise<void> | undefined = new Promise((resolve) => {
    client.on('error', () => resolve());
    connect(client, resolve);
  });
  opening.then(() => {
    opening = undefined;
  });

  return {
    command: (key, args) => (opening === undefined ? send(key, args) : opening.then(() => send(key, args))),
    subscribe(channel, listener) {
      const { client: subscriber } = openClient(address, options.ca);
      subscribers.add(subscriber);
      connect(subscriber, () => subscriber.subscribe(channel, listener));
      return () => {
        subscribers.delete(subscriber);
        end(subscriber);
      };
    },
    close() {
      for (const one of [client, ...subscribers]) {
        end(one);
      }
      subscribers.clear();
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

/** A client that was never connected cannot be destroyed either. */
function destroy(client: Client): void {
  try {
    Promise.resolve(client.destroy()).catch(() => {});
  } catch {
    // It is closed already.
  }
}

function openClient(
  address: Address,
  ca: string | undefined,
): { readonly client: Client; readonly send: RedisConnection['command'] } {
  const { scheme, hosts, path, username, password } = address;
  const socket = {
    connectTimeout: STORE_TIMEOUT,
    reconnectStrategy: (retries: number) => Math.min(50 * 2 ** Math.min(retries, 6), MAX_PAUSE),
    ...(address.tls ? { tls: true as const, ...(ca === undefined ? {} : { ca }) } : {}),
  } as RedisSocketOptions;
  const commandOptions = { timeout: STORE_TIMEOUT, typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } };
  const common = { username, password, socket, disableOfflineQueue: true };
  if (scheme === 'cluster') {
    const rootNodes = hosts.map(({ host, port }) => ({ socket: { ...socket, host, port } as RedisSocketOptions }));
    const client = createCluster({ rootNodes, defaults: common, commandOptions });
    return {
      client: client as unknown as Client,
      send: (key, args) => client.sendCommand(key, false, [...args], commandOptions),
    };
  }
  if (scheme === 'sentinel') {
    const client = createSentinel({
      name: path,
      sentinelRootNodes: [...hosts],
      nodeClientOptions: common as object,
      sentinelClientOptions: { socket } as object,
      commandOptions,
    });
    return {
      client: client as unknown as Client,
      send: (_key, args) => client.sendCommand(false, [...args], commandOptions),
    };
  }
  const [{ host, port }] = hosts;
  const client = createClient({
    ...common,
    socket: { ...socket, host, port } as RedisSocketOptions,
    database: path === '' ? 0 : Number(path),
    commandOptions,
  });
  return {
    client: client as unknown as Client,
    send: (_key, args) => client.sendCommand([...args], commandOptions),
  };
}

/** The URL itself is not repeated in errors: it may hold a password. */
function parseAddress(url: string): Address {
  const match =
    /^(redis|rediss|valkey|valkeys)(\+cluster|\+sentinel)?:\/\/(?:([^@/]*)@)?([^/?#]+)(?:\/([^/?#]*))?$/.exec(url);
  if (match === null) {
    throw bad(
      'expected redis://HOST[:PORT], rediss://…, redis+cluster://HOST:PORT,… or redis+sentinel://HOST:PORT,…/NAME',
    );
  }
  const [, protocol, kind = '', login = '', hosts, path = ''] = match;
  const scheme = kind === '+cluster' ? 'cluster' : kind === '+sentinel' ? 'sentinel' : 'single';
  const [username, password] = login.includes(':') ? splitOnce(login, ':') : [undefined, login || undefined];
  if (scheme === 'single' && !/^\d{0,4}$/.test(path)) {
    throw bad('the database after the slash must be a number');
  }
  if (scheme === 'sentinel' && path === '') {
    throw bad('a sentinel URL ends with /NAME, the name of the master');
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

/** Milliseconds between two attempts to connect, at most. */
const MAX_PAUSE = 2_000;
