/** `mayfly ring flush` and `evict`: an order, signed by the identity and laid into the store; then who has heard of it. */

import { toHex } from '../../bytes/bytes.ts';
import { type Generation, isEvicted, nextGeneration, sameGeneration } from '../../fleet/generation.ts';
import { shortName } from '../../fleet/identity.ts';
import { sealOrderRecord } from '../../fleet/records/order.ts';
import { findMember } from '../../node/fleet.ts';
import { exitCode } from '../exit-codes.ts';
import { createOutput } from '../output.ts';
import { connectionProblem, Problem } from '../problem.ts';
import type { RingFlags } from '../ring.ts';
import { openAccess, type RingAccess, type RingSight } from './access.ts';
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
    const sight = await access.look();
    const { visit } = sight;
    const before = knownGeneration(sight);
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
    if (sameGeneration(generation, before)) {
      throw new Problem('failure', 'the ring has had all orders that it can count', 'Make new identities for all.');
    }
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
      output.say(
        'It can join no more. Then take it off the list, or replace its identity: mayfly ring members --help.',
      );
    }
  } finally {
    access.close();
  }
}

/**
 * What is known of the generation, by what members say as well: they may have heard of an order that the store has lost or
 * withholds, and the same number once more would be no order to them.
 */
export function knownGeneration({ visit, generation }: Pick<RingSight, 'visit' | 'generation'>): Generation {
  const numbers = visit.members
    .filter(({ memberId }) => !isEvicted(generation, memberId))
    .map((record) => record.generation);
  return { ...generation, number: Math.max(generation.number, ...numbers) };
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
      const unseen = members.filter(({ state }) => state === 'absent').map(({ name }) => name);
      const others = unseen.length === 0 ? '' : ` Not seen in the store: ${unseen.join(', ')}.`;
      say(`${running.length} of ${running.length} running members have heard of it.${others}`);
      tell('heard', { members: running.length, behind: [], unseen });
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
