/** What the example does to its fleet, one thing after the other, and what is to be seen then. */

import type { Scene } from './scene.ts';
import type { Sight } from './watch.ts';

export interface TourOptions {
  readonly scene: Scene;
  /** Resolves with the first sight from now on of which it is true. */
  readonly until: (met: (sight: Sight) => boolean) => Promise<Sight>;
  readonly say: (step: Step, text: string) => void;
}

export type Step =
  | 'together'
  | 'server_killed'
  | 'server_missed'
  | 'server_back'
  | 'redis_killed'
  | 'ratcheted'
  | 'redis_back'
  | 'fresh'
  | 'end';

export async function tour({ scene, until, say }: TourOptions): Promise<void> {
  const victim = 1;
  const { name } = scene.hosts[victim];
  await until((sight) => sight.tally.opened.every((row) => row.every((count) => count > 0)));
  say('together', 'each server has opened tickets of every other, and its own');

  const before = await until(() => true);
  say('server_killed', `${name} is killed: what it sealed, the others open`);
  await scene.killHost(victim);
  // Few clients may hold tickets of its making just then: after so many handshakes all of them have shown theirs.
  await until(
    ({ tally }) =>
      othersOf(tally.opened[victim]) >= othersOf(before.tally.opened[victim]) + 2 ||
      sum(tally.resumed) >= sum(before.tally.resumed) + 40,
  );
  const without = await until(() => true);
  const failed = without.tally.failed - before.tally.failed;
  say('server_missed', `${failed === 0 ? 'no connection' : `${failed} that it had open`} failed; ${name} comes back`);

  const away = Date.now();
  await scene.startHost(victim);
  const home = Date.now();
  await until(
    ({ hosts }) => hosts[victim].sealingKey !== undefined && hosts[victim].sealingKey === hosts[0].sealingKey,
  );
  say(
    'server_back',
    `${name} listens after ${seconds(home - away)}, and ${seconds(Date.now() - home)} later seals like the others: it was sent the keys`,
  );

  // A next key that is there already would hide what the outage does.
  await until(({ hosts }) => hosts.every(({ nextEpochPresent }) => !nextEpochPresent));
  const { epoch } = await until(() => true);
  say(
    'redis_killed',
    `${scene.redisName} is killed, with all that was in it; the key of the next epoch is not made yet`,
  );
  await scene.killRedis();
  await until((sight) => sight.epoch > epoch && sight.hosts.every(({ ratchetDepth }) => ratchetDepth > 0));
  const bridged = await until(({ lately }) => lately.resumed > 0);
  say(
    'ratcheted',
    `a new epoch without a store: all three derived the same key, and ${bridged.lately.resumed} of the last ${bridged.lately.resumed + bridged.lately.full} handshakes resumed`,
  );
  await scene.startRedis();
  say('redis_back', `${scene.redisName} is back, empty`);
  await until(({ hosts }) =>
    hosts.every(({ ratchetDepth, members }) => ratchetDepth === 0 && members === hosts.length),
  );
  say('fresh', 'they have met again, and seal under a fresh key');
  say('end', 'that was the tour; it goes on until Ctrl-C');

  function othersOf(row: readonly number[]): number {
    return row.reduce((sum, count, index) => sum + (index === victim ? 0 : count), 0);
  }
}

const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(1)} s`;
const sum = (counts: readonly number[]) => counts.reduce((all, count) => all + count, 0);
