/** What the ring needs of a store holds for the one on Redis as for the one in memory; and a ring runs over both. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { toHex } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { ringConfiguration, ringId } from '../../src/fleet/configuration.ts';
import { createIdentityFiles, readIdentityFile } from '../../src/fleet/identity.ts';
import { Member } from '../../src/fleet/member.ts';
import { MemoryStore } from '../../src/fleet/memory-store.ts';
import { connectRedis, type RedisConnection } from '../../src/fleet/redis/connection.ts';
import { RedisStore } from '../../src/fleet/redis/redis-store.ts';
import { Ring } from '../../src/fleet/ring.ts';
import { ticketKeyUses } from '../../src/fleet/ring-keys.ts';
import { MAX_ORDER_RECORD_LENGTH, type RingStore } from '../../src/fleet/store.ts';
import { systemClock } from '../../src/node/clock.ts';
import { skipUnless } from '../support/tools.ts';
import { RedisServer } from './redis-server.ts';

const TTL = 60_000;
let nextRing = 1;

function anyRingId(): Uint8Array {
  const id = new Uint8Array(32);
  new DataView(id.buffer).setUint32(0, nextRing++);
  return id;
}

async function until(met: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (await met()) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`not within ten seconds: ${what}`);
}

function theRules(newStore: (ringId?: Uint8Array) => Promise<RingStore>): void {
  test('records are found under their slots, members by all', async () => {
    const store = await newStore();
    await store.putMember('0a', Uint8Array.of(1), TTL);
    await store.putMember('0b', Uint8Array.of(2, 0, 255), TTL);
    await store.putOrder('0c', Uint8Array.of(3), TTL);
    const members = [...(await store.listMembers())].sort((a, b) => (a.slot < b.slot ? -1 : 1));
    assert.deepEqual(members, [
      { slot: '0a', bytes: Uint8Array.of(1) },
      { slot: '0b', bytes: Uint8Array.of(2, 0, 255) },
    ]);
    assert.deepEqual(await store.listOrders(), [{ slot: '0c', bytes: Uint8Array.of(3) }]);
    assert.deepEqual(await store.listEpochs(), []);
  });

  test('a member’s record takes the place of the one before, and can be taken away', async () => {
    const store = await newStore();
    await store.putMember('0a', Uint8Array.of(1), TTL);
    await store.putMember('0a', Uint8Array.of(2), TTL);
    assert.deepEqual(await store.listMembers(), [{ slot: '0a', bytes: Uint8Array.of(2) }]);
    await store.removeMember('0a');
    assert.deepEqual(await store.listMembers(), []);
  });

  test('an epoch’s slot keeps what came first when asked to, and what came last when not', async () => {
    const store = await newStore();
    await store.putEpoch('1.2.3', Uint8Array.of(1), TTL, true);
    await store.putEpoch('1.2.3', Uint8Array.of(2), TTL, true);
    assert.deepEqual(await store.listEpochs(), [{ slot: '1.2.3', bytes: Uint8Array.of(1) }]);
    await store.putEpoch('1.2.3', Uint8Array.of(3), TTL, false);
    assert.deepEqual(await store.listEpochs(), [{ slot: '1.2.3', bytes: Uint8Array.of(3) }]);
  });

  test('a welcome is found by its slot alone', async () => {
    const store = await newStore();
    await store.putWelcome('0d', Uint8Array.of(4), TTL);
    assert.deepEqual(await store.listWelcomes('0d'), [{ slot: '0d', bytes: Uint8Array.of(4) }]);
    assert.deepEqual(await store.listWelcomes('0e'), []);
  });

  test('what has lived its time is gone', async () => {
    const store = await newStore();
    await store.putMember('0a', Uint8Array.of(1), 30);
    await store.putMember('0b', Uint8Array.of(1), TTL);
    await until(async () => (await store.listMembers()).length === 1, 'the first ends');
    assert.equal((await store.listMembers())[0].slot, '0b');
  });

  test('hints reach those who listen, until they stop', async () => {
    const store = await newStore();
    let hints = 0;
    const stop = store.subscribe(() => {
      hints++;
    });
    await until(async () => {
      await store.publish();
      return hints > 0;
    }, 'a hint');
    stop();
    const before = hints;
    await store.publish();
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(hints, before);
  });

  test('a ring of two members over it agrees on a key and opens with it', async () => {
    const names = ['a', 'b'];
    const files = createIdentityFiles(nodeProvider, 'test fleet', names).map((text) =>
      readIdentityFile(nodeProvider, text),
    );
    const configuration = ringConfiguration({
      fleetName: 'test fleet',
      allowList: files[0].members.map(({ publicKey }) => publicKey),
      epochLength: 6_000,
      ticketLifetime: 6_000,
    });
    const store = await newStore(ringId(nodeProvider, configuration));
    const rings = files.map(
      ({ identity, name }) =>
        new Ring({
          provider: nodeProvider,
          configuration,
          identity,
          name,
          uses: ticketKeyUses('default'),
          store,
          clock: systemClock,
        }),
    );
    const keys = rings.map((ring) => ring.ticketKeys('default'));
    await until(() => keys.every((source) => source.sealingKey() !== undefined), 'both seal');
    const sealing = keys[0].sealingKey();
    assert(sealing !== undefined && keys[1].openingKey(sealing.name) !== undefined, 'the other opens what one seals');
    for (const ring of rings) {
      await ring.close();
    }
    assert.equal(keys[0].sealingKey(), undefined);
    assert.deepEqual(await store.listMembers(), []);
  });
}

test('an order is found for as long as it lies there, though nobody renews it', async () => {
  const lives: number[] = [];
  const redis: RedisConnection = {
    async command(_key, args) {
      const at = args.indexOf(args[0] === 'SET' ? 'PX' : 'PEXPIRE');
      if (at !== -1) {
        lives.push(Number(args[at + (args[0] === 'SET' ? 1 : 2)]));
      }
    },
    subscribe: () => () => {},
    close() {},
  };
  const [file] = createIdentityFiles(nodeProvider, 'f', ['a']).map((text) => readIdentityFile(nodeProvider, text));
  const allowList = file.members.map(({ publicKey }) => publicKey);
  const configuration = ringConfiguration({ fleetName: 'f', allowList, dangerouslyClassicalKem: true });
  const member = new Member({ provider: nodeProvider, configuration, identity: file.identity, uses: [] });
  const now = { wall: Date.now(), monotonic: 0 };
  member.start(now);
  for (const action of member.flush(now)) {
    if (action.kind === 'put_order') {
      await new RedisStore(redis, member.ringId).putOrder(action.slot, action.record, action.ttl);
    }
  }
  const [record, index] = lives;
  assert(index >= record, `the index ends after ${index} ms, the record after ${record}`);
});

describe('a store in memory', () => theRules(async () => new MemoryStore(Date.now)));

describe('a store on Redis', skipUnless('redis-server'), () => {
  let server: RedisServer;
  let redis: RedisConnection;
  before(async () => {
    server = await RedisServer.start();
    redis = await server.connect();
  });
  after(async () => {
    redis.close();
    await server.stop();
  });

  theRules(async (id = anyRingId()) => new RedisStore(redis, id));

  test('tells its own time', async () => {
    const store = new RedisStore(redis, anyRingId());
    assert(Math.abs((await store.time()) - Date.now()) < 60_000);
    for (const answer of [['8700000000000', '0'], ['-1', '0'], ['x'], 'now', null]) {
      const liar = new RedisStore({ ...redis, command: async () => answer }, anyRingId());
      await assert.rejects(liar.time(), { code: 'TLS_ERR_STORE' });
    }
  });

  test('keeps rings apart', async () => {
    const one = new RedisStore(redis, anyRingId());
    const other = new RedisStore(redis, anyRingId());
    await one.putMember('0a', Uint8Array.of(1), TTL);
    assert.deepEqual(await other.listMembers(), []);
  });

  test('reads no more of a record than its kind may have, and no more records than there may be', async () => {
    const id = anyRingId();
    const store = new RedisStore(redis, id);
    const prefix = `mayfly:{${toHex(id)}}`;
    const huge = Buffer.alloc(1_000_000, 1);
    await redis.command(prefix, ['SET', `${prefix}:order:ff`, huge]);
    await redis.command(prefix, ['ZADD', `${prefix}:orders`, '9e15', 'ff', '9e15', 'not a slot!']);
    const junk = Array.from({ length: 500 }, (_, i) => ['1', i.toString(16)]).flat();
    await redis.command(prefix, ['ZADD', `${prefix}:orders`, ...junk]);
    const orders = await store.listOrders();
    assert.deepEqual(
      orders.map(({ slot, bytes }) => [slot, bytes.length]),
      [['ff', MAX_ORDER_RECORD_LENGTH + 1]],
    );
  });

  test('fetches an epoch record once, and another one in its place again', async () => {
    const store = new RedisStore(redis, anyRingId());
    const sent = async () =>
      Number(/total_net_output_bytes:(\d+)/.exec(String(await redis.command('x', ['INFO'])))?.[1]);
    const record = new Uint8Array(300_000).fill(1);
    await store.putEpoch('1.2.3', record, TTL, false);
    const before = await sent();
    assert.deepEqual(await store.listEpochs(), [{ slot: '1.2.3', bytes: record }]);
    const first = (await sent()) - before;
    assert(first > record.length);
    assert.deepEqual(await store.listEpochs(), [{ slot: '1.2.3', bytes: record }]);
    assert((await sent()) - before - first < record.length / 10, 'only its end was looked at');
    record[record.length - 1] = 2;
    await store.putEpoch('1.2.3', record, TTL, false);
    assert.deepEqual(await store.listEpochs(), [{ slot: '1.2.3', bytes: record }]);
  });

  test('a server that cannot be reached makes calls fail, now', async () => {
    const errors: unknown[] = [];
    const nowhere = connectRedis({ url: 'redis://127.0.0.1:1', onError: (error) => void errors.push(error) });
    await assert.rejects(new RedisStore(nowhere, anyRingId()).time());
    await until(() => errors.length > 0, 'an error is told');
    nowhere.close();
  });
});

test('URLs that name no store are refused, and the password in them is not repeated', () => {
  for (const url of [
    'http://127.0.0.1',
    'redis://',
    'redis://u:hunter2@',
    'redis://u:hunter2@host:0',
    'redis://u:hunter2@host/x',
    'redis://u:hunter2@a,b',
    'redis+sentinel://u:hunter2@a',
    'redis://u:hunter2@host:99999',
    'redis://host?sentinelPassword=hunter2',
    'redis+sentinel://host/name?sentinelPassword=hunter2%zz',
    'redis+sentinel://host/name?password=hunter2',
  ]) {
    assert.throws(
      () => connectRedis({ url }),
      (error: Error & { code?: string }) => error.code === 'TLS_ERR_CONFIG' && !error.message.includes('hunter2'),
      url,
    );
  }
});
