/** `serve --fleet` on two hosts, and an operator with `mayfly ring`. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openAccess, type RingAccess } from '../../src/cli/ring/access.ts';
import { knownGeneration } from '../../src/cli/ring/order.ts';
import { type RingReport, reportOf } from '../../src/cli/ring/report.ts';
import { askForSessions, type SessionsReport } from '../../src/cli/ring/sessions.ts';
import { ringCommand } from '../../src/cli/ring.ts';
import { FIRST_GENERATION } from '../../src/fleet/generation.ts';
import { createIdentityFiles, nodeProvider } from '../../src/node/fleet.ts';
import { resumes } from '../agent/visits.ts';
import {
  certificateFiles,
  mainFile,
  mayfly,
  refusedHere,
  type Serving,
  serve,
  sleep,
  status,
  temporaryFolder,
} from '../cli/support.ts';
import { RedisServer } from '../fleet-redis/redis-server.ts';

import { ToolProcess } from '../support/process.ts';
import { projectRoot } from '../support/project.ts';
import { skipUnless } from '../support/tools.ts';
import { visit } from './visit.ts';

const timing = ['--rotate', '8s', '--lifetime', '16s'];

describe('a fleet of two hosts, one with two workers', skipUnless('redis-server'), () => {
  const cleanUps: (() => unknown)[] = [];
  const owner = { after: (cleanUp: () => unknown) => cleanUps.unshift(cleanUp) };
  let folder: string;
  let redis: RedisServer;
  let access: RingAccess;
  let hosts: readonly Serving[];
  let trust: { readonly ca: Buffer };

  const fleet = (name: string) => ['--fleet', redis.url, '--identity', join(folder, name), ...timing];

  async function ring(...args: string[]): Promise<{ code: number | null; events: Record<string, unknown>[] }> {
    const result = await mayfly(['ring', ...args, ...fleet('web1.identity'), '--json']);
    const lines = result.stdout.trim().split('\n');
    return { code: result.code, events: lines.filter((line) => line !== '').map((line) => JSON.parse(line)) };
  }

  before(async () => {
    redis = await RedisServer.start();
    owner.after(() => redis.stop());
    folder = temporaryFolder(owner);
    const names = ['web1', 'web2', 'web3'];
    for (const [i, text] of createIdentityFiles(nodeProvider, 'web', names).entries()) {
      writeFileSync(join(folder, `${names[i]}.identity`), text, { mode: 0o600 });
    }
    access = await openAccess({
      ...{ fleet: redis.url, identity: join(folder, 'web1.identity'), rotate: '8s', lifetime: '16s', timeout: '10s' },
    });
    owner.after(() => access.close());
    const { certPath, keyPath, caPath } = certificateFiles(folder);
    trust = { ca: readFileSync(caPath) };
    const root = ['--root', join(projectRoot, 'demo'), '--cert', certPath, '--key', keyPath];
    hosts = await Promise.all([
      serve(owner, [...root, ...fleet('web1.identity'), '--fleet-name', 'web']),
      serve(owner, [...root, ...fleet('web2.identity'), '--workers', '2']),
    ]);
    await ringShows(({ members, alarms }) => {
      const running = members.filter(({ state, hasThisEpoch }) => state === 'running' && hasThisEpoch === true);
      return running.length === 3 && alarms.length === 0;
    });
  });

  after(async () => {
    for (const cleanUp of cleanUps) {
      await cleanUp();
    }
  });

  async function ringShows(what: (told: RingReport) => boolean): Promise<RingReport> {
    let told: RingReport | undefined;
    for (let i = 0; i < 300; i++) {
      told = reportOf(access, await access.look());
      if (what(told)) {
        return told;
      }
      await sleep(50);
    }
    throw new Error(`never shown: ${what}: ${JSON.stringify(told)}`);
  }

  /** Until the second resumes what the first has made: after an order new keys have to come first. */
  async function resumesAcross(): Promise<void> {
    for (let i = 0; i < 100; i++) {
      // Without a key that seals there is no ticket, and nothing to wait for.
      const first = await visit(hosts[0].port, 'TLSv1.2', undefined, trust);
      if (await resumes(hosts[1].port, 'TLSv1.2', first.session, trust)) {
        const { session } = await visit(hosts[0].port, 'TLSv1.3', undefined, trust);
        assert(await resumes(hosts[1].port, 'TLSv1.3', session, trust));
        return;
      }
      await sleep(50);
    }
    throw new Error('sessions of one host do not resume at the other');
  }

  test('a session resumes at the other host, and status page and ring status tell who is there', async () => {
    await resumesAcross();
    const told = (await status(hosts[1])) as unknown as {
      sharedRing: {
        seenBy: string;
        fleetName: string;
        members: readonly { name: string }[];
        alarms: readonly string[];
      };
      ring: { sharedBy: string; fleetName: string };
      workers: { running: readonly unknown[] };
    };
    assert.match(told.sharedRing.seenBy, /^worker \d$/);
    assert.equal(told.sharedRing.fleetName, 'web');
    assert.deepEqual([told.ring.sharedBy, told.ring.fleetName], ['fleet', 'web']);
    assert.equal(told.sharedRing.members.length, 2, 'besides itself');
    assert.deepEqual(told.sharedRing.alarms, []);
    const { members, epochs } = await ringShows(({ epochs }) => epochs.some(({ state }) => state === 'seals'));
    assert.deepEqual(members.map(({ name, state }) => `${name} ${state}`).sort(), [
      'web1 running',
      'web2 running',
      'web2 running',
      'web3 absent',
    ]);
    assert.equal(epochs.find(({ state }) => state === 'seals')?.held, 3);
  });

  test('for people, ring status is a page of aligned text', async () => {
    const { stdout, code } = await mayfly([
      'ring',
      'status',
      ...fleet('web1.identity'),
      '--status-page',
      hosts[0].statusUrl,
    ]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^ {2}Sessions \d+\.\d % of \d+ handshakes resumed at http:\/\/127\.0\.0\.1:\d+$/m);
    assert.match(stdout, /^ {2}web on redis:\/\/127\.0\.0\.1:\d+ {2}ring [0-9a-f]{16}…$/m);
    assert.match(stdout, /^ {2}Member {2}Id +Process +Seen +Clock +Keys +State$/m);
    assert.match(stdout, /^ {2}web3 +[0-9a-f]{8} +absent$/m);
    assert.match(stdout, /^ {2}Alarms +none$/m);
    assert(stdout.split('\n').every((line) => line === line.trimEnd()));
  });

  test('members, skew, ages, the next epoch, ratchet, resumption and refusals are metrics', async () => {
    const metrics = await (await fetch(`${hosts[0].statusUrl}/metrics`)).text();
    for (const line of [
      /^mayfly_ring_members 3$/m,
      /^mayfly_ring_skew_seconds\{member="self",instance="[0-9a-f]{8}"\} -?[\d.e-]+$/m,
      /^mayfly_ring_skew_seconds\{member="web2 worker 2",instance="[0-9a-f]{8}"\} -?[\d.e-]+$/m,
      /^mayfly_ring_sealing_key_age_seconds [\d.]+$/m,
      /^mayfly_ticket_key_created_seconds\{key="[0-9a-f]{8}"\} \d{10}/m,
      /^mayfly_ring_next_epoch_present [01]$/m,
      /^mayfly_ring_ratchet_depth 0$/m,
      /^mayfly_resumption_ratio 0(\.\d+)?$/m,
      /^mayfly_handshakes_total\{version="TLSv1\.3",kind="resumed",by="ticket"\} \d+$/m,
      /^# TYPE mayfly_resumption_refusals_total counter$/m,
      /^# TYPE mayfly_ring_refused_records_total counter$/m,
      /^mayfly_ring_alarm\{alarm="no_fresh_epoch"\} 0$/m,
      /^mayfly_ring_alarm\{alarm="evicted"\} 0$/m,
      /^mayfly_ring_last_visit_seconds \d{10}/m,
      /^mayfly_ring_failed_visits 0$/m,
    ]) {
      assert.match(metrics, line);
    }
  });

  test('each metric that docs/fleet.md names is there', async () => {
    const metrics = await (await fetch(`${hosts[1].statusUrl}/metrics`)).text();
    const named = readFileSync(join(projectRoot, 'docs', 'fleet.md'), 'utf8').match(/\bmayfly_[a-z0-9_]+\b/g) ?? [];
    assert(named.length > 15);
    for (const name of new Set(named)) {
      assert(metrics.includes(`# TYPE ${name} `), name);
    }
  });

  test('ring status tells how sessions resume at the status pages that it is given', async () => {
    const pages = hosts.map(({ statusUrl }) => statusUrl);
    const nowhere = 'http://127.0.0.1:1';
    const { ringId } = reportOf(access, await access.look());
    const sessions = await askForSessions({ pages: [...pages, nowhere], ringId });
    assert.deepEqual(
      sessions.map((told) => [told.statusPage, 'problem' in told ? told.problem : undefined]),
      [...pages.map((page) => [page, undefined]), [nowhere, 'no answer']],
    );
    for (const [index, host] of hosts.entries()) {
      const { handshakes } = await status(host);
      const { full, resumed, resumptionRatio, refusals } = sessions[index] as SessionsReport;
      assert.deepEqual([full, resumed], [handshakes.full, handshakes.resumed]);
      assert.equal(
        resumptionRatio,
        Math.round((1000 * handshakes.resumed) / (handshakes.full + handshakes.resumed)) / 1000,
      );
      assert.deepEqual(refusals, (await status(host)).resumptionRefusals);
    }
  });

  test('a status page of another ring does not count', async () => {
    const options = { pages: [hosts[0].statusUrl], ringId: '00'.repeat(32) };
    assert.deepEqual(await askForSessions(options), [{ statusPage: hosts[0].statusUrl, problem: 'of another ring' }]);
  });

  test('with other times it is another ring, and that is an alarm', async () => {
    const result = await mayfly(['ring', 'status', ...fleet('web1.identity').slice(0, 4), '--json']);
    assert.equal(result.code, 30);
    assert.deepEqual(
      JSON.parse(result.stdout).alarms.map(({ alarm }: { alarm: string }) => alarm),
      ['no_members'],
    );
  });

  test('rotate brings one more key that all hold, and no order', async () => {
    const { code, events } = await ring('rotate');
    assert.equal(code, 0, JSON.stringify(events));
    const [{ key }] = events as [{ key: string }];
    const told = await ringShows(({ epochs }) => epochs.some((one) => one.key === key && one.held >= 3));
    assert.equal(told.generation, 0);
    await resumesAcross();
  });

  test('flush ends what is out, everywhere', async () => {
    const { session } = await visit(hosts[0].port, 'TLSv1.3', undefined, trust);
    const { code, events } = await ring('flush');
    assert.equal(code, 0);
    assert.deepEqual(
      events.map(({ event }) => event),
      ['flushed', 'heard'],
    );
    // By what members say alone: an order that the store has lost must not be given once more in vain.
    const { visit: seen } = await access.look();
    assert.equal(knownGeneration({ visit: seen, generation: FIRST_GENERATION }).number, events[0].generation);
    await resumesAcross();
    assert(!(await resumes(hosts[1].port, 'TLSv1.3', session, trust)));
  });

  test('a member that joins from the command line prints what happens, until it is evicted', async () => {
    await using member = new ToolProcess('node', [mainFile, 'ring', 'join', ...fleet('web3.identity')], {
      env: { NO_COLOR: '1' },
    });
    await member.until(/ seals with [0-9a-f]{8} of epoch \d+$/m);
    const { code, events } = await ring('evict', 'web3');
    assert.equal(code, 0, JSON.stringify(events));
    await member.until(/alarm: this member was evicted/);
    const told = await ringShows(({ evicted }) => evicted.length === 1);
    assert.deepEqual(told.evicted, ['web3']);
    await member.stop();
    assert.match(member.text, /Left\. Keys erased\.\n$/);
    for (const [who, code, what] of [
      ['web3', 1, /was evicted before/],
      ['web1', 2, /does not evict itself/],
      ['nobody', 2, /nobody in the fleet is called "nobody"/],
    ] as const) {
      const refused = await refusedHere(ringCommand(), ['evict', who, ...fleet('web1.identity')]);
      assert.equal(refused.code, code);
      assert.match(refused.line, what);
    }
    await resumesAcross();
  });

  test('an alarm is an event of the server, and on its status page, among its metrics and in ring status', async () => {
    assert.equal((await ring('evict', 'web2')).code, 0);
    // A host of two workers.
    const alarm = await hosts[1].until('ring', ({ alarm }) => alarm === 'evicted');
    assert.equal(alarm.what, 'alarm');
    const told = (await status(hosts[1])) as unknown as { sharedRing: { alarms: readonly string[] } };
    assert.deepEqual(told.sharedRing.alarms, ['evicted']);
    assert.match(
      await (await fetch(`${hosts[1].statusUrl}/metrics`)).text(),
      /^mayfly_ring_alarm\{alarm="evicted"\} 1$/m,
    );
    const { generation, evicted, members } = reportOf(access, await access.look());
    assert.deepEqual([generation, [...evicted].sort()], [3, ['web2', 'web3']]);
    assert.equal(members.find(({ name }) => name === 'web2')?.state, 'evicted');
  });
});
