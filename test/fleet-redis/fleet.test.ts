/** Two Mayfly servers of one fleet: what one remembers the other takes, and the store between them learns nothing. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { MemoryStore } from '../../src/fleet/memory-store.ts';
import type { connectRedis } from '../../src/fleet/redis/connection.ts';
import {
  createIdentityFiles,
  type ExternalSessionCache,
  type Fleet,
  joinFleet,
  nodeProvider,
  readIdentityFile,
} from '../../src/node/fleet.ts';
import * as mayflyTls from '../../src/node/tls.ts';
import { visit } from '../native/support.ts';
import { closed, listen, serverOptions } from '../node/support.ts';
import { skipUnless } from '../support/tools.ts';
import { RedisServer } from './redis-server.ts';

const [fileA, fileB] = createIdentityFiles(nodeProvider, 'test fleet', ['a', 'b']);
const timing = { rotate: '6s', ticketLifetime: '18s' };

interface Host {
  readonly fleet: Fleet;
  readonly server: mayflyTls.Server;
  readonly port: number;
}

async function until(met: () => boolean, what: string): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (met()) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`not within 15 seconds: ${what}`);
}

describe('a fleet over Redis', skipUnless('redis-server'), () => {
  const ids: Uint8Array[] = [];
  const masterSecrets: Buffer[] = [];
  let redis: RedisServer;
  let a: Host;
  let b: Host;

  async function host(identity: string): Promise<Host> {
    const fleet = joinFleet({ url: redis.url, identity, ...timing });
    const server = mayflyTls.createServer({
      ...serverOptions,
      sessions: { ...fleet.sessions, cache: noting(fleet.sessionCache), singleUse: fleet.register },
    });
    server.on('secureConnection', (socket) => {
      socket.on('error', () => {});
      socket.end('x');
    });
    server.on('keylog', (line: Buffer) => {
      const [label, , secret] = line.toString('latin1').trim().split(' ');
      if (label === 'CLIENT_RANDOM') {
        masterSecrets.push(Buffer.from(secret, 'hex'));
      }
    });
    return { fleet, server, port: await listen(server) };
  }

  function noting(cache: ExternalSessionCache): ExternalSessionCache {
    return {
      get: (id) => cache.get(id),
      set(id, value, lifetime) {
        ids.push(id);
        return cache.set(id, value, lifetime);
      },
      delete: (id) => cache.delete(id),
    };
  }

  before(async () => {
    redis = await RedisServer.start();
    a = await host(fileA);
    b = await host(fileB);
    await Promise.all([a.fleet.ready, b.fleet.ready]);
  });

  after(async () => {
    for (const { server, fleet } of [a, b]) {
      await closed(server);
      await fleet.close();
    }
    await redis.stop();
  });

  const byId = { secureOptions: constants.SSL_OP_NO_TICKET };

  test('a session of TLS 1.2 resumes by its ID at the other server, also after a rotation', async () => {
    const first = await visit(a.port, 'TLSv1.2', undefined, byId);
    assert(!first.reused);
    const there = await visit(b.port, 'TLSv1.2', first.session, byId);
    assert(there.reused, 'by ID, at the other');
    const key = Buffer.from(a.fleet.sealingKey()?.name ?? []);
    a.fleet.rotate();
    await until(
      () => [a, b].every(({ fleet }) => Buffer.compare(Buffer.from(fleet.sealingKey()?.name ?? key), key) !== 0),
      'both seal under another key',
    );
    const later = await visit(b.port, 'TLSv1.2', first.session, byId);
    assert(later.reused, 'it is found under the name that the key of before gave it');
  });

  test('a session that is deleted is gone for both', async () => {
    const id = nodeProviderBytes(32);
    await a.fleet.sessionCache.set(id, Uint8Array.of(1, 2, 3), 60);
    assert.deepEqual(await b.fleet.sessionCache.get(id), Uint8Array.of(1, 2, 3));
    await b.fleet.sessionCache.delete(id);
    assert.equal(await a.fleet.sessionCache.get(id), undefined);
  });

  test('tickets of both versions open at the other server, those of TLS 1.3 once in the whole fleet', async () => {
    const old = await visit(a.port, 'TLSv1.2');
    assert((await visit(b.port, 'TLSv1.2', old.session)).reused);
    const first = await visit(a.port, 'TLSv1.3');
    const there = await visit(b.port, 'TLSv1.3', first.session);
    assert(there.reused);
    const again = await visit(a.port, 'TLSv1.3', first.session);
    assert(!again.reused, 'the other server took it already');
    assert.equal(a.server.counters.refusals.used_ticket, 1);
    assert((await visit(a.port, 'TLSv1.3', there.session)).reused, 'the ticket that came after it is good');
  });

  test('of any number of claims of one ticket at once, one is fresh', async () => {
    const ticket = nodeProviderBytes(16);
    const soon = Date.now() + 5_000;
    const claims = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? a : b).fleet.register.claim(ticket, soon));
    const answers = await Promise.all(claims);
    assert.equal(answers.filter((answer) => answer === 'fresh').length, 1);
    assert.equal(answers.filter((answer) => answer === 'used').length, 39);
    const other = nodeProviderBytes(16);
    assert.equal(await a.fleet.register.claim(other, Date.now() + 25 * 3_600_000), 'full', 'no ticket lives so long');
    assert.equal(await a.fleet.register.claim(other, Date.now() - 1), 'full', 'it is over');
    assert.equal(await a.fleet.register.claim(other, soon), 'fresh');
  });

  test('what the store holds under a name is bounded before it is read, and opens nothing when it is junk', async () => {
    const connection = await redis.connect();
    const first = await visit(a.port, 'TLSv1.2', undefined, byId);
    const keys = (await connection.command('x', ['KEYS', '*:session:*'])) as Buffer[];
    assert(keys.length > 0);
    for (const key of keys) {
      await connection.command('x', ['SET', key, Buffer.alloc(2 ** 16 + 1, 3), 'KEEPTTL']);
    }
    assert.equal(await b.fleet.sessionCache.get(ids[ids.length - 1]), undefined, 'too long to be a session');
    assert(!(await visit(b.port, 'TLSv1.2', first.session, byId)).reused);
    for (const key of keys) {
      await connection.command('x', ['SET', key, Buffer.alloc(200, 3)]);
    }
    assert(!(await visit(b.port, 'TLSv1.2', first.session, byId)).reused);
    connection.close();
  });

  test('a dump of the store holds no master secret, no ticket key, no identity and no session ID', async () => {
    await visit(a.port, 'TLSv1.2', undefined, byId);
    await visit(b.port, 'TLSv1.2');
    const connection = await redis.connect();
    const dump = Buffer.concat(await dumpOf(connection));
    connection.close();
    assert(dump.includes('mayfly:{') && dump.includes(':session:') && dump.includes(':used:'), 'it is a whole dump');
    assert(ids.length >= 3 && masterSecrets.length >= 6);
    const secrets = [a, b].flatMap(({ fleet }) => {
      const key = fleet.sealingKey();
      assert(key !== undefined);
      return [Buffer.from(key.secret.expose()), Buffer.from(key.secret12.expose())];
    });
    const seeds = [fileA, fileB].map((text) => Buffer.from(JSON.parse(text).seed, 'base64url'));
    for (const wanted of [...ids.map((id) => Buffer.from(id)), ...masterSecrets, ...secrets, ...seeds]) {
      assert(wanted.length >= 16);
      for (const form of [wanted, wanted.toString('hex'), wanted.toString('base64'), wanted.toString('base64url')]) {
        assert(!dump.includes(form));
      }
    }
  });

  test('a store that is away costs full handshakes, and no connection', async () => {
    const first = await visit(a.port, 'TLSv1.2', undefined, byId);
    redis.signal('SIGSTOP');
    try {
      assert(!(await visit(b.port, 'TLSv1.2', first.session, byId)).reused);
      assert((await visit(b.port, 'TLSv1.2', (await visit(a.port, 'TLSv1.2')).session)).reused, 'keys are at hand');
    } finally {
      redis.signal('SIGCONT');
    }
    await assert.rejects(
      (async () => {
        const gone = joinFleet({ url: 'redis://127.0.0.1:1', identity: fileA, ...timing });
        try {
          await gone.register.claim(nodeProviderBytes(16), Date.now() + 1_000);
        } finally {
          await gone.close();
        }
      })(),
    );
  });

  test('a flush ends what both remember', async () => {
    const first = await visit(a.port, 'TLSv1.2', undefined, byId);
    await b.fleet.flush();
    await until(() => a.fleet.ringStatus().generation === 1, 'the other has heard of it');
    assert.equal(await a.fleet.sessionCache.get(ids[ids.length - 1]), undefined);
    assert(!(await visit(a.port, 'TLSv1.2', first.session, byId)).reused);
  });
});

describe('joining a fleet', () => {
  // A member over a store in memory keeps no process alive.
  const awake = setInterval(() => {}, 1_000);
  after(() => clearInterval(awake));
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-identity-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const url = 'redis://127.0.0.1:1';

  function refused(what: RegExp, options: Parameters<typeof joinFleet>[0]): void {
    assert.throws(
      () => joinFleet(options),
      (error: Error & { code?: string }) => error.code === 'TLS_ERR_CONFIG' && what.test(error.message),
      String(what),
    );
  }

  test('an identity file that others can read is refused', async () => {
    const path = join(folder, 'a.json');
    writeFileSync(path, fileA);
    for (const mode of [0o644, 0o640, 0o604, 0o660]) {
      chmodSync(path, mode);
      refused(new RegExp(`mode 0${mode.toString(8)}`), { url, identity: path });
    }
    for (const mode of [0o600, 0o400]) {
      chmodSync(path, mode);
      await joinFleet({ url, identity: path }).close();
    }
    refused(/does not exist/, { url, identity: join(folder, 'none.json') });
    refused(/cannot be read/, { url, identity: folder });
  });

  test('what cannot be right is refused before anything is opened', () => {
    refused(/of the fleet "test fleet", not of "other"/, { url, identity: fileA, fleetName: 'other' });
    refused(/either the URL/, { identity: fileA });
    refused(/either the URL/, { url, store: () => new MemoryStore(Date.now), identity: fileA });
    refused(/rotate/, { url, identity: fileA, rotate: 'often' });
    refused(/epochLength/, { url, identity: fileA, rotate: '1s' });
    refused(/processes/, { url, identity: fileA, processes: 0 });
    refused(/URL/, { url: 'http://127.0.0.1', identity: fileA });
    refused(/two hex digits/, { url: 'redis://u:%zz@127.0.0.1', identity: fileA });
  });

  test('over a store of one’s own the ring works, and what that has no place for is refused', async () => {
    const store = new MemoryStore(Date.now);
    const fleet = joinFleet({ store: () => store, identity: fileA, ...timing, policies: ['web', 'mail'] });
    await fleet.ready;
    assert.deepEqual(fleet.sealingKey()?.name, fleet.policy('web').sealingKey()?.name);
    assert.notDeepEqual(fleet.sealingKey()?.name, fleet.policy('mail').sealingKey()?.name);
    assert.throws(() => fleet.policy('none'), { code: 'TLS_ERR_CONFIG' });
    assert.throws(() => fleet.sessionCache, { code: 'TLS_ERR_NOT_SUPPORTED' });
    assert.throws(() => fleet.register, { code: 'TLS_ERR_NOT_SUPPORTED' });
    assert.equal(fleet.sessions.cache, undefined);
    await assert.rejects(fleet.evict('nobody'), { code: 'TLS_ERR_CONFIG' });
    const events: string[] = [];
    const other = joinFleet({
      store: () => store,
      identity: fileB,
      ...timing,
      policies: ['web', 'mail'],
      onAlarm: (alarm, holds) => void events.push(`${alarm} ${holds}`),
    });
    await other.ready;
    const { members } = readIdentityFile(nodeProvider, fileB);
    await fleet.evict(members[1].name);
    await until(() => events.length > 0, 'the one that is out hears of it');
    assert.deepEqual(events, ['evicted true']);
    assert.equal(other.sealingKey(), undefined);
    await fleet.close();
    await other.close();
    assert.equal(fleet.sealingKey(), undefined);
  });

  test('several processes with one identity are fine when they are announced, and an alarm when not', async () => {
    const store = new MemoryStore(Date.now);
    const join = (processes: number, alarms: string[]) =>
      joinFleet({
        store: () => store,
        identity: fileA,
        ...timing,
        processes,
        onAlarm: (alarm, holds) => void (holds && alarms.push(alarm)),
      });
    const quiet: string[] = [];
    const loud: string[] = [];
    const fleets = [join(2, quiet), join(2, quiet)];
    await Promise.all(fleets.map(({ ready }) => ready));
    await new Promise((resolve) => setTimeout(resolve, 2_600));
    assert.equal(quiet.length, 0);
    fleets.push(join(1, loud));
    await until(() => loud.includes('identity_shared') && quiet.includes('identity_shared'), 'all are told');
    await Promise.all(fleets.map((fleet) => fleet.close()));
  });
});

function nodeProviderBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  nodeProvider.random(bytes);
  return bytes;
}

/** All keys, and all that lies under them. */
async function dumpOf(connection: ReturnType<typeof connectRedis>): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  let cursor = '0';
  do {
    const answer = (await connection.command('x', ['SCAN', cursor, 'COUNT', '100'])) as [Buffer, Buffer[]];
    cursor = String(answer[0]);
    for (const key of answer[1]) {
      parts.push(key);
      const type = String(await connection.command('x', ['TYPE', key]));
      const value =
        type === 'zset'
          ? await connection.command('x', ['ZRANGE', key, '0', '-1'])
          : await connection.command('x', ['GET', key]);
      parts.push(...(Array.isArray(value) ? (value as Buffer[]) : value === null ? [] : [value as Buffer]));
    }
  } while (cursor !== '0');
  return parts;
}
