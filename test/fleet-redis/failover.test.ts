/** A store's name that stands for another server from one moment on, while connections to the one before stay open. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { connectRedis, type RedisConnection } from '../../src/fleet/redis/connection.ts';
import { RedisStore } from '../../src/fleet/redis/redis-store.ts';
import { createIdentityFiles, type Fleet, joinFleet, nodeProvider } from '../../src/node/fleet.ts';
import { type Owner, temporaryFolder } from '../cli/support.ts';
import { freePort, run, ToolProcess } from '../support/process.ts';
import { projectRoot } from '../support/project.ts';
import { skipUnless } from '../support/tools.ts';
import { answering, RedisServer } from './redis-server.ts';
import { StoreName } from './store-name.ts';

async function until(met: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let attempt = 0; attempt < 1_200; attempt++) {
    if (await met()) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`not within 30 seconds: ${what}`);
}

async function twoServers(t: Owner) {
  const servers = await Promise.all([RedisServer.start(), RedisServer.start()]);
  const name = await StoreName.of(servers[0].port);
  const connection = connectRedis({ url: name.url });
  t.after(async () => {
    connection.close();
    name.close();
    await Promise.all(servers.map((server) => server.stop()));
  });
  await answering(connection);
  return { servers, name, connection };
}

const write = (connection: RedisConnection) => connection.command('x', ['SET', 'x', '1']).then(String, String);

describe('a connection to a store', { concurrency: true, ...skipUnless('redis-server') }, () => {
  test('that became a replica is left for the server that its name stands for now', async (t) => {
    const { servers, name, connection } = await twoServers(t);
    const [before, after] = servers;
    const control = await before.connect();
    t.after(() => control.close());
    name.port = after.port;
    await control.command('x', ['REPLICAOF', '127.0.0.1', String(after.port)]);
    assert.match(await write(connection), /READONLY .*: it is a replica, and the fleet needs the master/);
    await until(async () => (await write(connection)) === 'OK', 'it writes at the new one');
    const there = await after.connect();
    t.after(() => there.close());
    assert.equal(String(await there.command('x', ['GET', 'x'])), '1');
  });

  test('that is gone without a word is given up after five seconds, and its name looked up anew', async (t) => {
    const { servers, name, connection } = await twoServers(t);
    let messages = 0;
    connection.subscribe('news', () => messages++);
    name.port = undefined;
    assert.match(await write(connection), /did not answer within 5 s/);
    assert.match(await write(connection), /did not answer within 5 s/, 'who asks before there is another is told why');
    name.port = servers[1].port;
    await until(async () => (await write(connection)) === 'OK', 'it writes at the new one');
    await until(async () => {
      const there = await servers[1].connect();
      await there.command('x', ['PUBLISH', 'news', '']);
      there.close();
      return messages > 0;
    }, 'it is subscribed there as well');
  });
});

describe('a fleet', { concurrency: true, ...skipUnless('redis-server', 'redis-cli') }, () => {
  const timing = { rotate: '6s', ticketLifetime: '6s' };
  const join2 = (url: string, errors: string[] = []): readonly Fleet[] =>
    createIdentityFiles(nodeProvider, 'test fleet', ['a', 'b']).map((identity) =>
      joinFleet({ url, identity, ...timing, onStoreError: (error) => void errors.push(String(error)) }),
    );
  const agree = ([a, b]: readonly Fleet[]) =>
    until(() => {
      const [one, other] = [a.ringStatus(), b.ringStatus()];
      return one.ratchetDepth === 0 && one.sealingKey !== undefined && one.sealingKey === other.sealingKey;
    }, 'both seal under one fresh key');

  test('whose store fails over to a replica that has missed the last writes agrees anew', async (t) => {
    const { servers, name } = await twoServers(t);
    const fleets = join2(name.url);
    t.after(() => Promise.all(fleets.map((fleet) => fleet.close())));
    await agree(fleets);
    // The replica knows an order that was lost, and nothing of what came since.
    await fleets[0].flush();
    await until(() => fleets[1].ringStatus().generation === 1, 'the order is heard of');
    const control = await servers[0].connect();
    t.after(() => control.close());
    name.port = servers[1].port;
    await control.command('x', ['REPLICAOF', '127.0.0.1', String(servers[1].port)]);
    const there = await servers[1].connect();
    t.after(() => there.close());
    const { ringId } = fleets[0].ringStatus();
    const count = async (what: string) => Number(await there.command('x', ['ZCARD', `mayfly:{${ringId}}:${what}`]));
    await until(async () => (await count('orders')) > 0, 'the order is put back');
    await until(() => fleets.every((fleet) => fleet.ringStatus().members.length === 1), 'they see each other there');
    await agree(fleets);
  });

  test('has all that it needs by the access list of the manual, and asks for no more', async (t) => {
    const manual = readFileSync(join(projectRoot, 'docs', 'fleet.md'), 'utf8');
    const line = /^user mayfly on .*$/m.exec(manual)?.[0];
    assert(line?.includes('>PASSWORD ~mayfly:* '));
    const list = join(temporaryFolder(t), 'users.acl');
    writeFileSync(list, `user default off\n${line}\nuser admin on >ADMIN ~* &* +@all\n`);
    const port = await freePort();
    const server = new ToolProcess('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--aclfile', list]);
    t.after(() => server.stop('SIGKILL'));
    await server.until('Ready to accept connections');
    const errors: string[] = [];
    const fleets = join2(`redis://mayfly:PASSWORD@127.0.0.1:${port}`, errors);
    t.after(() => Promise.all(fleets.map((fleet) => fleet.close())));
    await agree(fleets);
    const id = new Uint8Array(32).fill(1);
    await fleets[0].sessionCache.set(id, Uint8Array.of(1), 6);
    await fleets[1].sessionCache.get(id);
    await fleets[1].sessionCache.delete(id);
    await fleets[0].register.claim(id.subarray(0, 16), Date.now() + 5_000);
    await fleets[0].flush();
    await until(() => fleets[1].ringStatus().generation === 1, 'the order is heard of');
    assert.deepEqual(errors, []);
    const env = { REDISCLI_AUTH: 'ADMIN' };
    const log = await run('redis-cli', ['-p', String(port), '--user', 'admin', 'ACL', 'LOG'], { env });
    assert.equal(log.text.trim(), '', 'nothing was refused');
  });

  test('goes on when everything is deleted from its store, and tickets that were used once may be used again', async (t) => {
    const server = await RedisServer.start();
    t.after(() => server.stop());
    const fleets = join2(server.url);
    t.after(() => Promise.all(fleets.map((fleet) => fleet.close())));
    await agree(fleets);
    const ticket = new Uint8Array(16).fill(2);
    const claim = (fleet: Fleet) => fleet.register.claim(ticket, Date.now() + 60_000);
    assert.equal(await claim(fleets[0]), 'fresh');
    assert.equal(await claim(fleets[1]), 'used');
    const control = await server.connect();
    t.after(() => control.close());
    await control.command('x', ['FLUSHALL']);
    assert.equal(await claim(fleets[1]), 'fresh');
    assert(fleets.every((fleet) => fleet.sealingKey() !== undefined));
    await until(async () => Number(await control.command('x', ['DBSIZE'])) >= 4, 'members write what is needed');
    await agree(fleets);
  });
});

test('a record is written in one round trip, and what is gone is taken out while nobody waits', async () => {
  const sent: string[] = [];
  let answer: () => void = () => {};
  const redis: RedisConnection = {
    command(_key, [name]) {
      sent.push(String(name));
      if (name === 'ZREM') {
        return Promise.reject(new Error('READONLY'));
      }
      return name === 'ZREVRANGE' ? Promise.resolve(['0a']) : new Promise((resolve) => (answer = () => resolve(null)));
    },
    subscribe: () => () => {},
    close() {},
  };
  const store = new RedisStore(redis, new Uint8Array(32));
  void store.putMember('0a', Uint8Array.of(1), 1_000);
  assert.deepEqual(sent.splice(0), ['SET', 'ZADD', 'PEXPIRE'], 'the record first, and none waits for another');
  const listed = store.listMembers();
  await new Promise((resolve) => setImmediate(resolve));
  answer();
  assert.deepEqual(await listed, []);
  assert.deepEqual(sent, ['ZREVRANGE', 'GETRANGE', 'ZREM']);
});
