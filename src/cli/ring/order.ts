/** `mayfly ring flush` and `evict`: an order, signed by the identity and laid into the store; then who has heard of it. */

import { toHex } from '../../bytes/bytes.ts';
import { isEvicted, nextGeneration } from '../../fleet/generation.ts';
import { shortName } from '../../fleet/identity.ts';
import { sealOrderRecord } from '../../fleet/records/order.ts';
import { findMember } from '../../node/fleet.ts';
import { exitCode } from '../exit-codes.ts';
import { createOutput } from '../output.ts';
import { connectionProblem, Problem } from '../problem.ts';
import type { RingFlags } from '../ring.ts';
import { openAccess, type RingAccess } from './access.ts';
import { reportOf } from './report.ts';

/** @throws Problem `usage`, and what keeps the store from answering */
export async function order(flags: RingFlags, who?: string): Promise<void> {
  const output = createOutput(flags.json === true);
  const access = await openAccess(flags);
  try {
    const { plan, context, store, where } = access;
    const out = who === undefined ? undefined : findMember(plan.file, who);
    const { identity } = plan.file;
    if (out !== undefined && toHex(out) === toHex(identity.memberId)) {
      throw new Problem('usage', 'a member does not evict itself', 'Give the identity of another one.');
    }
    const { visit, generation: before } = await access.look();
    if (isEvicted(before, identity.memberId)) {
      throw new Problem(
        'failure',
        `${plan.file.name} was evicted: nobody heeds its orders`,
        'Give the identity of another one.',
      );
    }
    if (out !== undefined && isEvicted(before, out)) {
      throw new Problem('failure', `${who} was evicted before`);
    }
    const generation = nextGeneration(before, out);
    const record = sealOrderRecord(context.trust, identity, { generation, issuedAt: visit.time });
    try {
      await store.putOrder(toHex(identity.memberId), record, ORDER_LIFE);
      await store.publish();
    } catch (error) {
      throw connectionProblem(where, error);
    }
    const what = out === undefined ? 'Flushed' : `Evicted ${who}`;
    output.event(out === undefined ? 'flushed' : 'evicted', {
      generation: generation.number,
      ...(out === undefined ? {} : { member: shortName(out) }),
    });
    output.say(`${what}: the order is in the store. No ticket of before opens at a member that has heard of it.`);
    await heard(access, generation.number, output.say, output.event);
    if (out !== undefined) {
      output.say('It can join no more. To let that host in again, make new identities for all.');
    }
  } finally {
    access.close();
  }
}

/** Waits until all running members say so. */
async function heard(
  access: RingAccess,
  generation: number,
  say: (line: string) => void,
  tell: (event: string, fields: Record<string, unknown>) => void,
): Promise<void> {
  const end = Date.now() + access.timeout;
  for (;;) {
    const { members } = reportOf(access, await access.look());
    const running = members.filter(({ state }) => state === 'running');
    const behind = running.filter((member) => (member.generation ?? 0) < generation);
    if (behind.length === 0) {
      say(`${running.length} of ${running.length} running members have heard of it.`);
      tell('heard', { members: running.length, behind: [] });
      return;
    }
    if (Date.now() > end) {
      const names = behind.map(({ name }) => name);
      say(`Not heard yet at ${names.join(', ')}: they will when they reach the store again.`);
      tell('heard', { members: running.length - behind.length, behind: names });
      process.exitCode = exitCode('timeout');
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL));
  }
}

/** Milliseconds. Members keep it there for longer. */
const ORDER_LIFE = 7 * 24 * 3_600_000;
const LOOK_INTERVAL = 250;
