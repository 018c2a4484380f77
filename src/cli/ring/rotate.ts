/** `mayfly ring rotate`: a member for some seconds, which makes one more key for the running epoch. */

import { nodeProvider } from '../../crypto/node-provider.ts';
import type { RingEvent } from '../../fleet/actions.ts';
import { Ring } from '../../fleet/ring.ts';
import { systemClock } from '../../node/clock.ts';
import { formatDuration } from '../duration.ts';
import { createOutput } from '../output.ts';
import { Problem } from '../problem.ts';
import type { RingFlags } from '../ring.ts';
import { openAccess } from './access.ts';
import { reportOf } from './report.ts';

/** @throws Problem `usage`, `timeout`, and what keeps the store from answering */
export async function rotate(flags: RingFlags): Promise<void> {
  const output = createOutput(flags.json === true);
  const access = await openAccess(flags);
  const { plan, store, timeout } = access;
  const { configuration, file } = plan;
  let made: Extract<RingEvent, { kind: 'epoch_made' }> | undefined;
  let ring: Ring | undefined;
  try {
    const { members } = reportOf(access, await access.look());
    if (!members.some(({ state }) => state === 'running')) {
      throw new Problem(
        'failure',
        'nobody runs, so there is no key to rotate',
        'Are --rotate and --lifetime those of the servers?',
      );
    }
    let sealing: number | undefined;
    ring = new Ring({
      provider: nodeProvider,
      configuration,
      identity: file.identity,
      name: 'mayfly ring rotate',
      uses: [],
      store,
      clock: systemClock,
      onEvent: (event) => {
        // One for the next epoch may fall to this member too, and is no rotation.
        if (event.kind === 'epoch_made' && event.epoch === sealing) {
          made = event;
        }
      },
    });
    const member = ring;
    const epochOf = () => {
      const { keys, sealingKey } = member.status();
      return keys.find(({ key }) => key === sealingKey)?.epoch;
    };
    // The one that others have: a key made before they have sent theirs would stand beside it.
    await until(() => epochOf() !== undefined, timeout, 'no member sent the key of this epoch');
    let askedAt = Number.NEGATIVE_INFINITY;
    const isThere = () => {
      sealing = epochOf() ?? sealing;
      // So close to the end of an epoch that there is no time for it, it is asked for again in the next.
      if (performance.now() - askedAt > 3 * configuration.heartbeat) {
        askedAt = performance.now();
        made = undefined;
        member.rotate();
      }
      return made !== undefined && member.status().keys.some(({ key }) => key === made?.key);
    };
    await until(isThere, timeout, 'the new key did not get into the store');
    const key = member.status().keys.find((one) => one.key === made?.key);
    const wait = Math.max(0, (key?.sealFrom ?? 0) - Date.now());
    output.event('rotated', {
      key: made?.key,
      epoch: made?.epoch,
      members: made?.members,
      sealsInSeconds: wait / 1000,
    });
    output.say(
      `A new key, ${made?.key}, is in the store, for ${(made?.members ?? 1) - 1} running process${made?.members === 2 ? '' : 'es'}.`,
    );
    output.say(`It seals in ${formatDuration(Math.ceil(wait / 1000) * 1000)}. Tickets that are out stay good.`);
  } finally {
    await ring?.close();
    access.close();
  }
}

async function until(met: () => boolean, timeout: number, problem: string): Promise<void> {
  const end = Date.now() + timeout;
  while (!met()) {
    if (Date.now() > end) {
      throw new Problem('timeout', `${problem} within ${formatDuration(timeout)}`, 'Look at mayfly ring status.');
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL));
  }
}

/** Milliseconds. */
const LOOK_INTERVAL = 50;
