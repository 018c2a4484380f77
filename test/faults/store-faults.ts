/** Ways in which a real Redis fails: how each begins and ends. */

import assert from 'node:assert/strict';
import type { RedisConnection } from '../../src/fleet/redis/connection.ts';
import { RedisServer } from '../fleet-redis/redis-server.ts';
import { delay } from './load.ts';
import { Switch } from './switch.ts';

export interface StoreFault {
  readonly name: string;
  /** URL of the store for the servers. */
  readonly redis: string;
  /** How many of the connections must resume meanwhile, from 0 to 1. */
  readonly leastResumed: number;
  /** Nothing new can reach the members: sooner or later they must go on by the ratchet. */
  readonly stopsNews: boolean;
  begin(): Promise<void>;
  /** @returns what there is to tell of it */
  end(): Promise<string>;
  stop(): Promise<void>;
}

/** Nothing is kept on disk: it comes back empty. */
export async function killed(): Promise<StoreFault> {
  const server = await RedisServer.start();
  return {
    name: 'killed, and started again, empty',
    redis: server.url,
    leastResumed: 0.8,
    stopsNews: true,
    begin: () => server.kill(),
    async end() {
      await server.restart();
      return 'all records are gone';
    },
    stop: () => server.stop(),
  };
}

/** Connections stay open, and no answer comes. */
export async function paused(): Promise<StoreFault> {
  const server = await RedisServer.start();
  return {
    name: 'paused by SIGSTOP for longer than an epoch',
    redis: server.url,
    leastResumed: 0.8,
    stopsNews: true,
    async begin() {
      server.signal('SIGSTOP');
    },
    async end() {
      server.signal('SIGCONT');
      return 'no answer for all the time';
    },
    stop: () => server.stop(),
  };
}

/** Others fill its memory: it takes no more writes, or throws out whatever has not been used for longest. */
export async function full(policy: 'noeviction' | 'allkeys-lru'): Promise<StoreFault> {
  const server = await RedisServer.start('--maxmemory-policy', policy);
  const control = await server.connect();
  let filling: NodeJS.Timeout | undefined;
  let refused = 0;
  let number = 0;
  const fill = () => {
    control.command('x', ['SET', `junk${number++}`, JUNK]).catch(() => {
      refused++;
    });
  };
  return {
    name: `full, ${policy}`,
    redis: server.url,
    // Members whose records are thrown out lose sight of each other, and may make a key each.
    leastResumed: policy === 'noeviction' ? 0.8 : 0.25,
    stopsNews: policy === 'noeviction',
    async begin() {
      const used = await figure(control, 'memory', 'used_memory');
      await control.command('x', ['CONFIG', 'SET', 'maxmemory', String(used + ROOM)]);
      filling = setInterval(fill, 20);
      if (policy === 'noeviction') {
        // Else the small writes of the ring would fit into what its expired records leave.
        await control.command('x', ['CONFIG', 'SET', 'maxmemory', '1']);
      }
    },
    async end() {
      clearInterval(filling);
      const evicted = await figure(control, 'stats', 'evicted_keys');
      const ours = (await control.command('x', ['KEYS', 'mayfly*'])) as readonly unknown[];
      await control.command('x', ['CONFIG', 'SET', 'maxmemory', '0']);
      assert((policy === 'noeviction' ? refused : evicted) > 0, 'it was full');
      return `${refused} writes of the one who filled it were refused, ${evicted} keys evicted, ${ours.length} of ours left`;
    },
    async stop() {
      clearInterval(filling);
      control.close();
      await server.stop();
    },
  };
}

/** The master dies, and its asynchronous replica has not heard of the newest epoch. Clients are switched to the replica. */
export async function failover(): Promise<StoreFault> {
  const servers = [await RedisServer.start()];
  const replication = await Switch.start(servers[0].port);
  const clients = await Switch.start(servers[0].port);
  const replica = await RedisServer.start('--replicaof', '127.0.0.1', String(replication.port));
  const controls = [await servers[0].connect(), await replica.connect()];
  // For a second time, what was the replica is the master, and a new server takes its place.
  servers.push(replica);
  const epochs = async (control: RedisConnection) => {
    const keys = ((await control.command('x', ['KEYS', 'mayfly*:epoch:*'])) as readonly unknown[]).map(String);
    return new Set(keys);
  };
  let lost: readonly string[] = [];
  return {
    name: 'failing over to an asynchronous replica that lacks the last writes',
    redis: `redis://127.0.0.1:${clients.port}`,
    leastResumed: 0.8,
    stopsNews: false,
    async begin() {
      const [master, slave] = controls.slice(-2);
      replication.to(undefined);
      for (lost = []; lost.length === 0; await delay(50)) {
        const known = await epochs(slave);
        lost = [...(await epochs(master))].filter((key) => !known.has(key));
      }
      clients.to(undefined);
      await servers[servers.length - 2].kill();
      await delay(1_000);
      await slave.command('x', ['REPLICAOF', 'NO', 'ONE']);
      clients.to(servers[servers.length - 1].port);
    },
    async end() {
      replication.to(servers[servers.length - 1].port);
      const next = await RedisServer.start('--replicaof', '127.0.0.1', String(replication.port));
      servers.push(next);
      controls.push(await next.connect());
      return `${lost.length} epoch record(s) lost with the master`;
    },
    async stop() {
      for (const control of controls) {
        control.close();
      }
      clients.stop();
      replication.stop();
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

async function figure(control: RedisConnection, section: string, name: string): Promise<number> {
  const info = String(await control.command('x', ['INFO', section]));
  return Number(new RegExp(`${name}:(\\d+)`).exec(info)?.[1]);
}

/** Bytes: so large that few fit, and the ring's records are thrown out with them. */
const JUNK = Buffer.alloc(40_000, 'x');
const ROOM = 100_000;
