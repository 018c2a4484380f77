/** nginx and HAProxy of Debian, two of each with an agent of their own, in one ring with epochs of six seconds. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect } from 'node:tls';
import type { AgentAlarm } from '../../src/node/agent/agent-events.ts';
import { childrenOf, isAlive, processOf, titleOf } from '../../src/node/agent/processes.ts';
import { ask } from '../../src/node/agent/runtime-socket.ts';
import { isWritten, mappingsOf, readMemory } from '../autopsy/process-memory.ts';
import { sleep } from '../cli/support.ts';
import type { Version } from '../node/support.ts';
import type { ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import { type Host, World } from './support.ts';
import { fullSession, resumes } from './visits.ts';

const versions: readonly Version[] = ['TLSv1.2', 'TLSv1.3'];

describe('two hosts with nginx, two with HAProxy', skipUnless('nginx', 'haproxy'), () => {
  const cleanUps: (() => unknown)[] = [];
  const owner = { after: (cleanUp: () => unknown) => cleanUps.unshift(cleanUp) };
  let nginx: readonly Awaited<ReturnType<World['nginx']>>[];
  let haproxy: readonly Awaited<ReturnType<World['haproxy']>>[];
  let servers: ToolProcess[];
  let pairs: readonly (readonly [Host, Host])[];
  let hosts: readonly Host[];

  before(async () => {
    const world = new World(owner);
    nginx = await Promise.all([world.nginx('nginx-a'), world.nginx('nginx-b')]);
    haproxy = await Promise.all([world.haproxy('haproxy-a'), world.haproxy('haproxy-b')]);
    servers = haproxy.map(({ start }) => start());
    pairs = [nginx, haproxy].map((both) => [both[0].host, both[1].host] as const);
    hosts = pairs.flat();
    await Promise.all(hosts.map(({ agent }) => agent.ready));
    await sameKey();
  });

  after(async () => {
    for (const cleanUp of cleanUps) {
      await cleanUp();
    }
  });

  async function sameKey(): Promise<string> {
    for (;;) {
      await Promise.all(hosts.map((host) => host.until('seals', () => host.sealing !== undefined)));
      const [first, ...others] = hosts.map(({ sealing }) => sealing);
      if (others.every((key) => key === first)) {
        return first as string;
      }
      await sleep(20);
    }
  }

  /** A ticket of each version from the first host of each pair. */
  const tickets = () =>
    Promise.all(pairs.map(([a]) => Promise.all(versions.map((version) => fullSession(a.port, version)))));

  async function allResume(made: readonly (readonly Buffer[])[], expected: boolean, which: 0 | 1): Promise<void> {
    for (const [i, pair] of pairs.entries()) {
      for (const [j, version] of versions.entries()) {
        assert.equal(await resumes(pair[which].port, version, made[i][j]), expected, `${pair[which].name} ${version}`);
      }
    }
  }

  /**
   * A machine that is busy with other things may take longer than an epoch or a key's life, and then a check shows nothing:
   * it is made again when another key seals afterwards than before.
   */
  async function inOneEpoch(check: () => void | Promise<void>): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const before = await sameKey();
      try {
        await check();
        return;
      } catch (error) {
        if (attempt === 4 || (await sameKey()) === before) {
          throw error;
        }
      }
    }
  }

  /** What seals now, by product. */
  async function liveKeys(): Promise<Map<string, Buffer>> {
    const key = await sameKey();
    const lines = readFileSync(join(hosts[2].folder, 'ticket-keys'), 'latin1').split('\n');
    return new Map([
      ['nginx', readFileSync(join(hosts[0].folder, `${key}.key`))],
      ['haproxy', Buffer.from(lines[1], 'base64')],
    ]);
  }

  let first: readonly (readonly Buffer[])[];
  let firstIds: readonly string[];
  let firstKeys: readonly (readonly [string, Buffer])[];

  it('a ticket of one host resumes at the other, and at no other product', async () => {
    await inOneEpoch(async () => {
      first = await tickets();
      await allResume(first, true, 1);
      for (const version of versions) {
        assert.equal(await resumes(hosts[2].port, version, first[0][versions.indexOf(version)]), false);
        assert.equal(await resumes(hosts[0].port, version, first[1][versions.indexOf(version)]), false);
      }
      firstIds = [await sameKey()];
      firstKeys = [...(await liveKeys())];
      for (const [i, [product, key]] of firstKeys.entries()) {
        assert.ok(
          first[i].every((ticket) => ticket.includes(key.subarray(0, 16))),
          `${product} seals under this key`,
        );
      }
    });
  });

  it('files have mode 0400 and the form of their product', async () => {
    await inOneEpoch(async () => {
      for (const host of [hosts[0], hosts[1]]) {
        const include = readFileSync(join(host.folder, 'ticket-keys.conf'), 'utf8');
        const listed = [...include.matchAll(/^ssl_session_ticket_key (\S+); # (\w+)/gm)];
        assert.equal(listed[0][1], join(host.folder, `${host.sealing}.key`));
        assert.equal(listed[0][2], 'current');
        for (const [, file] of listed) {
          assert.equal(statSync(file).size, 80);
          assert.equal(statSync(file).mode & 0o777, 0o400);
        }
      }
      for (const host of [hosts[2], hosts[3]]) {
        const file = join(host.folder, 'ticket-keys');
        assert.equal(statSync(file).mode & 0o777, 0o400);
        assert.match(readFileSync(file, 'latin1'), /^(?:[A-Za-z0-9+/]{107}=\n){3}$/);
      }
      const [a, b] = [hosts[0], hosts[1]].map(({ folder, sealing }) => readFileSync(join(folder, `${sealing}.key`)));
      assert.deepEqual(a, b);
    });
  });

  it('tickets resume across a rotation, those of before and those of after it', async () => {
    await inOneEpoch(async () => {
      const made = await tickets();
      const before = await sameKey();
      hosts[1].agent.rotate();
      await Promise.all(hosts.map((host) => host.until('rotated', () => host.sealing !== before)));
      await sameKey();
      await allResume(made, true, 0);
      await allResume(made, true, 1);
      await allResume(await tickets(), true, 1);
    });
  });

  it('a restarted HAProxy finds its keys in the file, and one that was given others gets its own back', async () => {
    await inOneEpoch(async () => {
      const made = await tickets();
      const [, { host, start, socket }] = haproxy;
      await servers[1].stop('SIGKILL');
      await host.until('absent', () => host.agent.alarms.includes('server_absent'));
      servers[1] = start();
      await host.until('there again', () => !host.agent.alarms.includes('server_absent'));
      for (const [j, version] of versions.entries()) {
        assert.equal(await resumes(host.port, version, made[1][j]), true);
      }
      const told = host.events.filter(({ kind }) => kind === 'told').length;
      const foreign = Buffer.alloc(80, 7).toString('base64');
      const line = Buffer.from(`set ssl tls-key ${join(host.folder, 'ticket-keys')} ${foreign}\n`);
      assert.match(String(await ask({ path: socket }, line, 1_000).then(Buffer.from)), /updated/);
      await host.until('told again', () => host.events.filter(({ kind }) => kind === 'told').length > told);
      for (const [j, version] of versions.entries()) {
        assert.equal(await resumes(host.port, version, made[1][j]), true);
      }
    });
  });

  it('a reload that fails is an alarm, and tried again until it succeeds', async () => {
    const [{ host, config }] = nginx;
    const good = readFileSync(config, 'utf8');
    writeFileSync(config, good.replace('worker_processes', 'worker_processe'));
    hosts[2].agent.rotate();
    await host.until('alarm', () => host.agent.alarms.includes('server_not_told'));
    assert.match(lastAlarm(host, 'server_not_told'), /started no new workers within 3 s of the reload/);
    writeFileSync(config, good);
    await host.until('over', () => !host.agent.alarms.includes('server_not_told'));
    await inOneEpoch(async () => allResume(await tickets(), true, 1));
  });

  it('a ticket dies with its key, which is then nowhere any more: no file, no memory of a server', async () => {
    const isGone = (host: Host) => !host.keys.some(({ key }) => firstIds.includes(key));
    await Promise.all(hosts.map((host) => host.until('the first key ends', () => isGone(host))));
    await allResume(first, false, 0);
    await allResume(first, false, 1);
    await inOneEpoch(async () => allResume(await tickets(), true, 1));
    for (const host of hosts) {
      const files = readdirSync(host.folder);
      assert.deepEqual(
        files.filter((name) => firstIds.some((id) => name.includes(id))),
        [],
      );
      assert.ok(!readFileSync(join(host.folder, files[0])).includes(firstKeys[0][1]));
    }
    const live = await liveKeys();
    for (const [product, key] of firstKeys) {
      const alive = rawParts(live.get(product) as Buffer);
      assert.ok(
        pidsOf(product).some((pid) => found(pid, alive).length > 0),
        'a live key is found',
      );
      for (const pid of pidsOf(product)) {
        assert.deepEqual(found(pid, rawParts(key)), [], `${product} ${pid}`);
      }
    }
  });

  it('a flush ends all tickets at both hosts, and says which processes have old keys still', async () => {
    const nginxB = hosts[1];
    const slow = connect({ host: '127.0.0.1', port: nginxB.port, rejectUnauthorized: false });
    await once(slow, 'secureConnect');
    // A worker waits for the rest of it when it is to end.
    slow.write('GET / HT');
    let made: Awaited<ReturnType<typeof tickets>> = [];
    await inOneEpoch(async () => {
      made = await tickets();
      await allResume(made, true, 1);
    });
    const before = await sameKey();
    await hosts[0].agent.flush();
    await Promise.all(
      hosts.map((host) => host.until('flushed', () => host.sealing !== before && host.sealing !== undefined)),
    );
    await sameKey();
    await allResume(made, false, 0);
    await allResume(made, false, 1);
    await inOneEpoch(async () => allResume(await tickets(), true, 1));
    await nginxB.until('alarm', () => nginxB.agent.alarms.includes('ended_key_in_server'));
    const pid = Number(
      /in process (\d+), which a reload has replaced/.exec(lastAlarm(nginxB, 'ended_key_in_server'))?.[1],
    );
    assert.match(titleOf(pid), /worker process is shutting down/);
    slow.destroy();
    await nginxB.until('over', () => !nginxB.agent.alarms.includes('ended_key_in_server'));
    assert.equal(titleOf(pid), '');
  });

  it('an agent that stops takes the keys from its server and its files', async () => {
    const made = await tickets();
    assert.deepEqual(await Promise.all(hosts.map(({ agent }) => agent.close())), ['told', 'told', 'told', 'told']);
    await allResume(made, false, 0);
    assert.deepEqual(readdirSync(hosts[0].folder), ['ticket-keys.conf']);
    assert.match(readFileSync(join(hosts[0].folder, 'ticket-keys.conf'), 'utf8'), /ssl_session_tickets off;/);
    const last = await fullSession(hosts[0].port, 'TLSv1.3');
    assert.equal(await resumes(hosts[0].port, 'TLSv1.3', last), false, 'a ticket that nginx makes stands for nothing');
  });
});

function lastAlarm({ events }: Host, alarm: AgentAlarm): string {
  return JSON.stringify(events.findLast((event) => event.kind === 'server_alarm' && event.alarm === alarm));
}

/** Those that this test has started. */
function pidsOf(product: string): readonly number[] {
  const own = childrenOf(process.pid).filter(({ pid }) => titleOf(pid).includes(product));
  const pids = own.flatMap(({ pid }) => [pid, ...childrenOf(pid).map((child) => child.pid)]);
  assert.ok(pids.length >= 2);
  return pids;
}

/** Of a key of 80 bytes. Its name is in every ticket, and no secret. */
function rawParts(key: Buffer): readonly Buffer[] {
  return [key.subarray(16, 48), key.subarray(48, 80)];
}

/** Where in the process's memory they lie. */
function found(pid: number, parts: readonly Buffer[]): readonly string[] {
  const hits: string[] = [];
  const process = processOf(pid);
  if (process === undefined) {
    return hits;
  }
  const read = readMemory(pid, mappingsOf(pid).filter(isWritten), 64, (block, address, { name }) => {
    for (const part of parts) {
      const at = block.indexOf(part);
      if (at !== -1) {
        hits.push(`${name} ${(address + at).toString(16)}`);
      }
    }
  });
  // An old worker may end meanwhile.
  assert.ok(read > 100_000 || !isAlive(process), 'its memory can be read');
  return hits;
}
