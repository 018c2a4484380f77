/**
 * The connection to Redis or Valkey: commands, and a channel's messages on a connection of its own.
 *
 * A command that cannot be carried out now fails now: nothing is queued for a store that is away, as its answer would come
 * too late to be of use. The client goes on trying to connect. Only the first attempt is waited for.
 *
 * A server that does not answer, or that has become a replica, is left and connected to anew: after a failover its name may
 * stand for another one, of which a connection that stays open never hears.
 */

import { TLSError } from '../../errors.ts';
import { STORE_TIMEOUT } from '../store.ts';
import { parseRedisUrl } from './address.ts';
import { openClient, type RedisArgument, type RedisClient } from './client.ts';
import { Line } from './line.ts';
import { isOffline, isReplica, withHint } from './trouble.ts';

export type { RedisArgument } from './client.ts';

export interface RedisConnection {
  /**
   * Sends one command whose first key is `key`; byte strings come back as Buffers.
   * @throws Error whatever the client or the server says; TLSError `TLS_ERR_STORE` no answer within `STORE_TIMEOUT`
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

/**
 * Connects in the background: what is asked before the first attempt has an outcome waits for it.
 * @throws TLSError `TLS_ERR_CONFIG` not such a URL
 */
export function connectRedis({ url, ca, onError }: RedisConnectionOptions): RedisConnection {
  const address = parseRedisUrl(url);
  const open = () => openClient(address, ca);
  /** Why there is no connection, as was told last. */
  let trouble: unknown;
  const line = new Line({
    open,
    onError(error) {
      trouble = isOffline(error) && trouble !== undefined ? trouble : withHint(error);
      onError?.(trouble);
    },
  });
  const subscriptions = new Set<Line<RedisClient>>();
  /** Until the first attempt to connect has an outcome: a member's first visit would fail for nothing, and its next is far. */
  let opening: Promise<void> | undefined = line.tried;
  opening.then(() => {
    opening = undefined;
  });
  let leftAt = Number.NEGATIVE_INFINITY;

  /** What came back from one client many times over is a reason to leave it once. */
  const leave = (client: RedisClient, why: unknown) => {
    const now = performance.now();
    if (client !== line.client || now - leftAt < STORE_TIMEOUT) {
      return;
    }
    leftAt = now;
    trouble = why;
    for (const one of [line, ...subscriptions]) {
      one.renew();
    }
  };

  const send: RedisConnection['command'] = async (key, args) => {
    const { client } = line;
    let watchdog: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      watchdog = setTimeout(() => {
        const error = new TLSError('TLS_ERR_STORE', `the store did not answer within ${STORE_TIMEOUT / 1000} s`);
        reject(error);
        leave(client, error);
      }, STORE_TIMEOUT);
      watchdog.unref();
    });
    try {
      return await Promise.race([client.send(key, args), late]);
    } catch (error) {
      const why = isOffline(error) && trouble !== undefined ? trouble : withHint(error);
      if (isReplica(error) && address.scheme === 'single') {
        leave(client, why);
      }
      throw why;
    } finally {
      clearTimeout(watchdog);
    }
  };

  return {
    command: (key, args) => (opening === undefined ? send(key, args) : opening.then(() => send(key, args))),
    subscribe(channel, listener) {
      const onConnected = (client: RedisClient) => client.subscribe(channel, listener);
      const subscription = new Line({ open, onConnected, onError: (error) => onError?.(withHint(error)) });
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
