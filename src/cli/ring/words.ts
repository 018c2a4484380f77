/** What the ring tells, in words for people. */

import { printable } from '../../certificates/distinguished-name.ts';
import type { RingAlarm } from '../../fleet/actions.ts';

const alarms: Readonly<Record<RingAlarm, string>> = {
  clock_skew:
    'the clock here and that of the store differ: this member makes no keys, and may get none; check NTP on both',
  store_unreachable: 'the store could not be reached for half an epoch: sessions go on, and a new host cannot join',
  no_fresh_epoch: 'tickets are sealed under a ratcheted key: no fresh one came',
  sealing_key_old: 'tickets are sealed under randomness that is older than two epochs',
  no_sealing_key: 'no key seals: handshakes are full',
  identity_shared: 'more processes run with one identity than are meant to: a copied file, or a thief',
  ring_full: 'more than 512 processes run, with all workers: some wait for each key; make two rings of them',
  evicted: 'this member was evicted: it gets no keys any more',
};

/** All there are. */
export const ringAlarms: readonly RingAlarm[] = Object.keys(alarms) as RingAlarm[];

export function alarmText(alarm: RingAlarm): string {
  return `${alarms[alarm]} (${alarm})`;
}

/** Counts by reason, the largest first: `12 unknown key, 1 expired ticket`. */
export function refusalsOf(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .sort((a, b) => b[1] - a[1])
    .map(([reason, count]) => `${count.toLocaleString('en')} ${printable(reason.replaceAll('_', ' '))}`)
    .join(', ');
}
