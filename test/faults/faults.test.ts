/**
 * A fleet's store fails in every way that a real Redis does, while clients come and go: no connection may fail for it, and
 * sessions go on being resumed. Two server processes stand behind HAProxy in TCP mode, so half of the tickets come to the
 * process that did not make them. All faults happen side by side, each to a Redis and a ring of its own; and in the end a
 * server process itself is killed.
 *
 *     MAYFLY_FAULTS=long    more clients with hardly a pause, and each fault three times: two minutes
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { RedisServer } from '../fleet-redis/redis-server.ts';
import { skipUnless } from '../support/tools.ts';
import { ServerFleet } from './fleet.ts';
import { delay, type Figures, Load, ratio } from './load.ts';
import type { ProcessStatus } from './server.ts';
import { failover, full, killed, paused, type StoreFault } from './store-faults.ts';

const LONG = process.env.MAYFLY_FAULTS === 'long';
/** Milliseconds: as short as the configuration allows. */
const EPOCH = 6_000;
const LOAD = { ...(LONG ? { clients: 8, pause: 5 } : { clients: 4, pause: 200 }), youth: EPOCH / 2 };
const TIMES = LONG ? 3 : 1;
const SERVER_FAULT = 'a server process is killed';

const makers: Readonly<Record<string, () => Promise<StoreFault>>> = {
  'is killed and started again': killed,
  'is paused for longer than an epoch': paused,
  'is full and takes no writes': () => full('noeviction'),
  'is full and throws out records': () => full('allkeys-lru'),
  'fails over to a replica that lacks the last writes': failover,
};

const setting = { ...skipUnless('redis-server', 'haproxy'), concurrency: true, timeout: 900_000 };

describe('a fleet under load', setting, () => {
  describe('connections do not fail, and go on resuming, when the store', { concurrency: true }, () => {
    const faults = new Map<string, StoreFault>();
    let fleet: ServerFleet;
    before(async () => {
      await Promise.all(
        Object.entries(makers).map(async ([what, make]) => {
          faults.set(what, await make());
        }),
      );
      const sites = [...faults].map(([name, { redis }]) => ({ name, redis }));
      fleet = await ServerFleet.start(sites, EPOCH);
    });
    after(async () => {
      await fleet?.stop();
      await Promise.all([...faults.values()].map((fault) => fault.stop()));
    });

    for (const what of Object.keys(makers)) {
      test(what, async (t) => {
        const fault = faults.get(what) as StoreFault;
        await fleet.until(what, 'a key to begin with', hasSealingKey);
        await using load = new Load('before', { ...LOAD, port: fleet.ports.get(what) as number });
        await load.connections(10);
        for (let time = 0; time < TIMES; time++) {
          load.enter('fault');
          await fault.begin();
          await delay(1.05 * EPOCH);
          if (fault.stopsNews) {
            await fleet.until(what, 'the ring goes on by the ratchet', ({ ring }) => ring.ratchetDepth > 0);
            await load.connections(5);
          }
          const story = await fault.end();
          load.enter('return');
          await fleet.until(what, 'the ring goes on as before', isWell);
          load.enter('after');
          await load.connections(10);
          t.diagnostic(`${fault.name}: ${story}`);
        }
        await load.stop();
        for (const line of load.lines) {
          t.diagnostic(line);
        }
        for (const [phase, { failures }] of load.phases) {
          assert.deepEqual(failures, [], phase);
        }
        for (const [phase, least] of Object.entries({ before: 0.8, fault: fault.leastResumed, after: 0.8 })) {
          const resumed = ratio(load.phases.get(phase) as Figures);
          assert(resumed >= least, `${phase}: only ${resumed} of the connections resumed`);
        }
      });
    }
  });

  describe('a server process that is killed and started anew', () => {
    let redis: RedisServer;
    let fleet: ServerFleet;
    before(async () => {
      redis = await RedisServer.start();
      fleet = await ServerFleet.start([{ name: SERVER_FAULT, redis: redis.url }], EPOCH);
    });
    after(async () => {
      await fleet?.stop();
      await redis?.stop();
    });

    test('joins the ring and resumes the tickets of others', async (t) => {
      await fleet.until(SERVER_FAULT, 'a key to begin with', hasSealingKey);
      await using load = new Load('before', { ...LOAD, port: fleet.ports.get(SERVER_FAULT) as number });
      for (let time = 0; time < TIMES; time++) {
        await load.connections(10);
        load.enter('killed');
        await fleet.kill(1);
        await load.connections(10);
        load.enter('return');
        await fleet.startAnew(1);
        await fleet.until(SERVER_FAULT, 'it has joined', isWell);
        load.enter('after');
        await load.connections(10);
        const [, anew] = await fleet.status(SERVER_FAULT);
        t.diagnostic(`the new process resumed ${anew.resumed} sessions, and made ${anew.full} handshakes in full`);
        assert(anew.resumed > 0, 'sessions of others');
      }
      await load.stop();
      for (const line of load.lines) {
        t.diagnostic(line);
      }
      const failures = [...load.phases.values()].flatMap((figures) => figures.failures);
      assert(failures.length <= TIMES * LOAD.clients, `more than the connections that were open: ${failures}`);
      assert.deepEqual(load.phases.get('return')?.failures, []);
      assert(ratio(load.phases.get('after') as Figures) > 0.8);
    });
  });
});

/** With room for a ticket of TLS 1.2 to live: in the epoch in which a ring begins there may be next to none. */
function hasSealingKey({ ring: { keys, lastVisit } }: ProcessStatus[string]): boolean {
  const now = lastVisit?.time ?? 0;
  return keys.some(
    ({ state, sealFrom, sealUntil }) => state === 'sealing' && sealUntil - sealFrom > EPOCH / 3 && now > sealFrom,
  );
}

function isWell({ ring: { alarms, members, ratchetDepth, sealingKey } }: ProcessStatus[string]): boolean {
  return alarms.length === 0 && ratchetDepth === 0 && sealingKey !== undefined && members.length === 1;
}
