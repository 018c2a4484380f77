/** Each kind of URL with the kind of Redis that it is for: a fleet agrees on its keys there, and all of its names work. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { describeRedisUrl } from '../../src/fleet/redis/address.ts';
import { connectRedis } from '../../src/fleet/redis/connection.ts';
import { Line } from '../../src/fleet/redis/line.ts';
import { createIdentityFiles, type Fleet, joinFleet, nodeProvider } from '../../src/node/fleet.ts';
import { mayfly, temporaryFolder } from '../cli/support.ts';
import { trust } from '../node/support.ts';
import { skipUnless } from '../support/tools.ts';
import { type Deployment, PASSWORD, redisCluster, redisWithSentinel, redisWithTls } from './deployments.ts';

const identities = createIdentityFiles(nodeProvider, 'test fleet', ['a', 'b']);
const timing = { rotate: '6s', ticketLifetime: '6s' };

async function until(met: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (await met()) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`not within 15 seconds: ${what}`);
}

function bytes(length: number): Uint8Array {
  const random = new Uint8Array(length);
  nodeProvider.random(random);
  return random;
}

/** On a busy machine an answer may take longer than a handshake would wait for it. */
async function patiently(ask: () => Promise<void>): Promise<void> {
  await until(async () => {
    try {
      await ask();
      return true;
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'TLS_ERR_STORE', String(error));
      return false;
    }
  }, 'answers of the store');
}

/** Two members: a common key, an order that reaches the other, sessions by ID, used tickets. */
async function withFleet(url: string, then?: (fleets: readonly Fleet[]) => Promise<void>): Promise<void> {
  const fleets = identities.map((identity) => joinFleet({ url, identity, ...timing, ca: trust.ca }));
  try {
    await Promise.all(fleets.map(({ ready }) => ready));
    const [a, b] = fleets;
    await until(() => {
      const key = a.sealingKey();
      return key !== undefined && b.openingKey(key.name) !== undefined;
    }, 'what one seals the other opens');
    const id = bytes(32);
    await patiently(async () => {
      await a.sessionCache.set(id, Uint8Array.of(1, 2, 3), 6);
      assert.deepEqual(await b.sessionCache.get(id), Uint8Array.of(1, 2, 3));
    });
    // Under a second key each session has two names, which are asked for, and deleted, at once.
    a.rotate();
    await until(() => b.status().length > 1, 'a second key');
    await patiently(async () => {
      await b.sessionCache.delete(id);
      assert.equal(await a.sessionCache.get(id), undefined);
    });
    await patiently(async () => {
      const ticket = bytes(16);
      const soon = Date.now() + 5_000;
      const claims = await Promise.all([a.register.claim(ticket, soon), b.register.claim(ticket, soon)]);
      assert.deepEqual([...claims].sort(), ['fresh', 'used']);
    });
    await b.flush();
    await until(() => a.ringStatus().generation === 1, 'the order is heard of');
    await then?.(fleets);
  } finally {
    await Promise.all(fleets.map((fleet) => fleet.close()));
  }
}

async function withDeployment<D extends Deployment>(make: () => Promise<D>, then: (deployment: D) => Promise<void>) {
  const deployment = await make();
  try {
    assert(!describeRedisUrl(deployment.url).includes('p%40'), 'what names it in the status has no password');
    await then(deployment);
  } finally {
    await deployment.stop();
  }
}

// A fleet forms by waiting, not by work: all three at once.
describe('a fleet', { concurrency: true, ...skipUnless('redis-server', 'redis-cli') }, () => {
  test('over rediss:// with a password: also by a command that is told of it by its environment', async (t) => {
    await withDeployment(redisWithTls, async ({ url, wrongPassword }) => {
      const folder = temporaryFolder(t);
      const [ca, identity] = ['ca.pem', 'a.identity'].map((name) => join(folder, name));
      writeFileSync(ca, trust.ca);
      writeFileSync(identity, identities[0], { mode: 0o600 });
      await withFleet(url, async ([a]) => {
        const flags = ['--identity', identity, '--fleet-ca', ca, '--rotate', '6s', '--lifetime', '6s', '--json'];
        const { stdout, stderr } = await mayfly(['ring', 'status', ...flags], { MAYFLY_FLEET_URL: url });
        assert(stdout.includes(a.ringStatus().ringId), stderr);
        for (const secret of [PASSWORD, encodeURIComponent(PASSWORD)]) {
          assert(!stdout.includes(secret) && !stderr.includes(secret));
        }
      });
      await refused({ url: wrongPassword, ca: trust.ca }, /WRONGPASS/);
      await refused({ url }, /certificate/);
    });
  });

  test('behind sentinels goes on when the master is lost: they name another', async () => {
    await withDeployment(redisWithSentinel, async ({ url, master }) => {
      await withFleet(url, async ([a, b]) => {
        await until(() => a.sealingKey() !== undefined && b.sealingKey() !== undefined, 'both seal again');
        await master.stop('SIGKILL');
        const failed = a.ringStatus().failedVisits;
        const id = bytes(32);
        const works = async (): Promise<boolean> => {
          await a.sessionCache.set(id, Uint8Array.of(9), 6);
          return (await b.sessionCache.get(id)) !== undefined;
        };
        await until(() => works().catch(() => false), 'the new master serves');
        await b.flush();
        await until(() => a.ringStatus().generation === 2, `an order is heard of, after ${failed} failed visits`);
      });
    });
  });

  test('over a cluster of three masters', async () => {
    await withDeployment(redisCluster, ({ url }) => withFleet(url));
  });

  test('that is given one node of a cluster, or a single server for one, is told which URL it needs', async () => {
    await withDeployment(redisCluster, async ({ url }) => {
      const [, login, hosts] = /^redis\+cluster:\/\/(.*@)(.*)$/.exec(url) as RegExpExecArray;
      const answers = hosts.split(',').map(async (host) => {
        const connection = connectRedis({ url: `redis://${login}${host}` });
        const answer = await connection.command('x', ['SET', 'x', '1']).then(String, String);
        connection.close();
        return answer;
      });
      const refusals = (await Promise.all(answers)).filter((answer) => answer !== 'OK');
      assert.equal(refusals.length, 2);
      for (const refusal of refusals) {
        assert.match(refusal, /MOVED .*: it is a node of a cluster, whose URL is redis\+cluster:\/\//);
      }
    });
    await withDeployment(redisWithTls, async ({ url }) => {
      await refused(
        { url: url.replace(/^rediss/, 'rediss+cluster').replace(/\/3$/, ''), ca: trust.ca },
        /it is no cluster/,
      );
    });
  });
});

describe('a connection to a store', () => {
  test('that could not be made is made anew until it can, and then never again', async () => {
    const made: string[] = [];
    const errors: unknown[] = [];
    let connected = 0;
    const line = new Line({
      open: () => {
        const name = `client ${made.length}`;
        made.push(name);
        return {
          connect: async () => {
            if (made.length < 3) {
              throw new Error(`${name} gives up`);
            }
          },
          destroy: () => {},
          on: () => {},
          subscribe: async () => {},
        };
      },
      onConnected: () => connected++,
      onError: (error) => void errors.push(error),
    });
    await line.tried;
    assert.deepEqual([connected, errors.length], [0, 1]);
    await until(() => connected === 1, 'the third connects');
    assert.deepEqual([made.length, errors.length], [3, 2]);
    line.end();
  });

  test('to a cluster that is not there yet fails now, and is tried again until it is closed', async () => {
    const errors: unknown[] = [];
    const early = connectRedis({ url: 'redis+cluster://127.0.0.1:1', onError: (error) => void errors.push(error) });
    await assert.rejects(early.command('x', ['PING']));
    const before = errors.length;
    await until(() => errors.length > 2 * before, 'it goes on trying');
    early.close();
  });
});

/** Nothing is answered, and what is told of it says why. */
async function refused(options: { readonly url: string; readonly ca?: string }, why: RegExp): Promise<void> {
  const told: string[] = [];
  const connection = connectRedis({ ...options, onError: (error) => void told.push(String(error)) });
  await assert.rejects(connection.command('x', ['PING']));
  await until(() => told.some((text) => why.test(text)), `told ${why}: ${told.join('; ')}`);
  connection.close();
}
