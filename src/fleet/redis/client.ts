/** The library's clients, made alike: one for a single server, one for a cluster, one that asks sentinels for the master. */

import { createRequire } from 'node:module';
import type { RedisClientOptions } from '@redis/client';
import { STORE_TIMEOUT } from '../store.ts';
import type { RedisAddress } from './address.ts';
import { type Client, pauseAfter } from './line.ts';

export type RedisArgument = string | Buffer;

export interface RedisClient extends Client {
  /** Fails now when it is not connected. */
  send(key: string, args: readonly RedisArgument[]): Promise<unknown>;
}

type RedisSocketOptions = NonNullable<RedisClientOptions['socket']>;

export function openClient(address: RedisAddress, ca: string | undefined): RedisClient {
  const { scheme, hosts, path, username, password, sentinelPassword } = address;
  const socket = {
    connectTimeout: STORE_TIMEOUT,
    // Also for who accepts connections and then says nothing. One that is in use is never silent for as long: it is pinged.
    socketTimeout: 2 * STORE_TIMEOUT,
    reconnectStrategy: pauseAfter,
    ...(address.tls ? { tls: true as const, ...(ca === undefined ? {} : { ca }) } : {}),
  } as RedisSocketOptions;
  const { RESP_TYPES, createClient, createCluster, createSentinel } = loadClient();
  const commandOptions = { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } };
  const ways = {
    socket,
    disableOfflineQueue: true,
    pingInterval: STORE_TIMEOUT,
    // Commands that nobody needs, and that a narrow ACL refuses.
    disableClientInfo: true,
    maintNotifications: 'disabled' as const,
  };
  const common = { ...ways, username, password };
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
      sentinelClientOptions: { ...ways, password: sentinelPassword } as object,
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
