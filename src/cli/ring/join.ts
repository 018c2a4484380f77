/** `mayfly ring join`: a member that serves nobody, and prints what happens. */

import pc from 'picocolors';
import type { RingEvent } from '../../fleet/actions.ts';
import { joinFleet } from '../../node/fleet.ts';
import { exitCode } from '../exit-codes.ts';
import { createOutput } from '../output.ts';
import type { RingFlags } from '../ring.ts';
import { StoreErrors } from '../store-errors.ts';
import { fleetFlags } from './access.ts';
import { alarmText } from './words.ts';

/** Runs until a signal. @throws Problem `usage`; TLSError `TLS_ERR_CONFIG` */
export async function join(flags: RingFlags): Promise<void> {
  const output = createOutput(flags.json === true);
  let leaving = false;
  const storeErrors = new StoreErrors();
  const fleet = joinFleet({
    ...fleetFlags(flags),
    onEvent(event) {
      // That its alarms are over when it is gone is no news.
      if (leaving && event.kind === 'alarm_over') {
        return;
      }
      const { kind, ...fields } = event;
      output.event(kind, { time: new Date().toISOString(), ...fields });
      output.say(`${pc.dim(new Date().toISOString().slice(11, 19))}  ${ringEventText(event)}`);
    },
    onStoreError(error) {
      const told = leaving ? undefined : storeErrors.add(error, performance.now());
      if (told !== undefined) {
        output.warn(`the store: ${told}`);
      }
    },
  });
  const { ringId, fleetName, member } = fleet.ringStatus();
  output.event('joining', { fleetName, ringId, member, pid: process.pid });
  output.say(`Joining ${JSON.stringify(fleetName)} as ${member}. Ctrl-C leaves.`);
  // Nothing else keeps the process alive while the store is away.
  const awake = setInterval(() => {}, 60_000);
  const leave = (): void => {
    leaving = true;
    clearInterval(awake);
    void fleet.close().then(() => {
      output.say('Left. Keys erased.');
      output.event('left');
      process.exit(exitCode('ok'));
    });
  };
  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
}

export function ringEventText(event: RingEvent): string {
  switch (event.kind) {
    case 'epoch_made':
      return `made key ${event.key} of epoch ${event.epoch} for ${event.members} process${event.members === 1 ? '' : 'es'}`;
    case 'key_received':
      return `received key ${event.key} of epoch ${event.epoch} ${event.by === 'epoch' ? 'from the store' : 'as a newcomer'}`;
    case 'key_ended':
      return `erased key ${event.key} of epoch ${event.epoch} (${event.why.replaceAll('_', ' ')})`;
    case 'sealing':
      return `${pc.green('seals')} with ${event.key} of epoch ${event.epoch}${event.ratchetDepth === 0 ? '' : pc.yellow(`, ratcheted ${event.ratchetDepth} deep`)}`;
    case 'not_sealing':
      return pc.yellow('seals no more: no key');
    case 'announced':
      return `is a member: ${event.member}, process ${event.instance}`;
    case 'welcomed':
      return `sent ${event.keys} key${event.keys === 1 ? '' : 's'} to a newcomer, ${event.member}, process ${event.instance}`;
    case 'second_process':
      return pc.yellow(
        `${event.member} ran in one process more than it is meant to, ${event.instance}: an order by its identity, or a copied file`,
      );
    case 'generation':
      return `order ${event.generation}: all keys of before are erased${event.evicted.length === 0 ? '' : `; evicted: ${event.evicted.join(', ')}`}`;
    case 'refused':
      return pc.yellow(`refused a record: ${event.why.replaceAll('_', ' ')} (${event.slot})`);
    case 'alarm':
      return pc.red(`alarm: ${alarmText(event.alarm, event.skew)}`);
    default:
      return pc.green(`over: ${alarmText(event.alarm)}`);
  }
}
