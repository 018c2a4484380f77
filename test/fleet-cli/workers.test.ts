/** `serve --workers`: several processes that look like one server from outside, and on the status page. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { resumes } from '../agent/visits.ts';
import { mayfly, type Serving, type StatusJson, serve, sleep, status, temporaryFolder } from '../cli/support.ts';
import { projectRoot } from '../support/project.ts';
import { visit } from './visit.ts';

interface WorkersJson extends StatusJson {
  readonly resumptionRatio?: number;
  readonly workers: {
    readonly running: readonly { worker: number; pid: number; full: number; resumed: number; sealingKey?: string }[];
    readonly replaced: number;
  };
  readonly sharedRing: { seenBy: string; sealingKey?: string; members: readonly unknown[]; alarms: readonly string[] };
}

const tell = async (serving: Serving) => (await status(serving)) as WorkersJson;
const demo = join(projectRoot, 'demo');

/** Waits until the status shows it. */
async function shows(serving: Serving, what: (told: WorkersJson) => boolean): Promise<WorkersJson> {
  for (let i = 0; i < 500; i++) {
    const told = await tell(serving);
    if (what(told)) {
      return told;
    }
    await sleep(30);
  }
  throw new Error(`never shown: ${what}`);
}

const allSeal = ({ workers, sharedRing }: WorkersJson) =>
  workers.running.length === 2 && workers.running.every(({ sealingKey }) => sealingKey === sharedRing.sealingKey);

describe('serve --workers 2', () => {
  const cleanUps: (() => unknown)[] = [];
  const owner = { after: (cleanUp: () => unknown) => cleanUps.unshift(cleanUp) };
  let serving: Serving;
  let early: Serving;

  before(async () => {
    // With short epochs the workers meet sooner.
    const workers = ['--root', demo, '--workers', '2', '--rotate', '12s', '--lifetime', '24s'];
    [serving, early] = await Promise.all([serve(owner, workers), serve(owner, [...workers, '--early-data'])]);
    await Promise.all([shows(serving, allSeal), shows(early, allSeal)]);
  });

  after(async () => {
    for (const cleanUp of cleanUps) {
      await cleanUp();
    }
  });

  test('workers share sessions, add up, and are replaced when they crash', async () => {
    assert.equal((await serving.until('listening')).workers, 2);
    const trust = { ca: readFileSync(serving.ca) };
    const first = await visit(serving.port, 'TLSv1.3', undefined, trust);
    let { session } = first;
    for (let i = 0; i < 5; i++) {
      const next = await visit(serving.port, 'TLSv1.3', session, trust);
      assert(next.reused);
      session = next.session;
    }
    // By ID too, which the primary keeps for them.
    const byId = { ...trust, secureOptions: constants.SSL_OP_NO_TICKET };
    const old = await visit(serving.port, 'TLSv1.2', undefined, byId);
    for (let i = 0; i < 3; i++) {
      assert(await resumes(serving.port, 'TLSv1.2', old.session, byId));
    }
    const told = await tell(serving);
    const { running } = told.workers;
    assert(
      running.every((one) => one.full + one.resumed > 0),
      'both have served',
    );
    assert.equal(
      running.reduce((sum, { resumed }) => sum + resumed, 0),
      told.handshakes.resumed,
    );
    assert.deepEqual(told.handshakes, {
      full: 2,
      resumed: 8,
      failed: 0,
      byVersion: { 'TLSv1.3': { full: 1, ticket: 5, id: 0 }, 'TLSv1.2': { full: 1, ticket: 0, id: 3 } },
    });
    assert.equal(told.resumptionRatio, 0.8);
    assert.equal(told.sharedRing.seenBy, 'the primary');
    assert.equal(told.sharedRing.members.length, 2);
    assert.deepEqual(told.sharedRing.alarms, []);

    process.kill(running[0].pid, 'SIGKILL');
    assert.equal((await serving.until('worker-ended')).pid, running[0].pid);
    await serving.until('worker-up');
    const after = await shows(serving, (one) => one.workers.replaced === 1 && allSeal(one));
    assert.equal(after.handshakes.resumed, 8, 'what the lost one counted counts on');
    assert(await resumes(serving.port, 'TLSv1.3', session, trust));

    const metrics = await (await fetch(`${serving.statusUrl}/metrics`)).text();
    assert.match(metrics, /^mayfly_workers 2$/m);
    assert.match(metrics, /^mayfly_workers_replaced_total 1$/m);
    assert.match(metrics, /^mayfly_ring_members \d$/m);
    assert.match(metrics, /^mayfly_ring_ratchet_depth 0$/m);
  });

  test('with --early-data a ticket is good once at all workers together', async () => {
    const trust = { ca: readFileSync(early.ca) };
    const { session } = await visit(early.port, 'TLSv1.3', undefined, trust);
    const again: boolean[] = [];
    for (let i = 0; i < 4; i++) {
      again.push(await resumes(early.port, 'TLSv1.3', session, trust));
    }
    assert.deepEqual(again, [true, false, false, false]);
    assert.equal((await tell(early)).resumptionRefusals.used_ticket, 3);
  });

  test('what keeps a worker from serving ends the start with its exit code', async () => {
    const env = { XDG_STATE_HOME: temporaryFolder(owner) };
    const args = ['serve', '--listen', `localhost:${serving.port}`, '--status', '127.0.0.1:0'];
    const result = await mayfly([...args, '--workers', '2'], env);
    assert.equal(result.code, 6, result.stderr);
    assert.match(result.stderr, /^mayfly: cannot listen on \S+:\d+: another program already does\. [^\n]+\n$/);
    assert.equal(serving.child.exitCode, null);
  });

  test('they drain together, and none is left behind', async () => {
    const { workers } = await tell(serving);
    assert.equal(workers.running.length, 2);
    assert.equal(await serving.stop(), 0);
    assert.equal((await serving.until('stopped')).cut, 0);
    for (const { pid } of workers.running) {
      assert.throws(() => process.kill(pid, 0), 'no worker is left behind');
    }
  });
});
