/** What the ring tells, in words for people. */

import { printable } from '../../certificates/distinguished-name.ts';
import type { RingAlarm } from '../../fleet/actions.ts';
import { formatDuration } from '../duration.ts';

const alarms: Readonly<Record<RingAlarm, string>> = {
  clock_skew: 'the clock here and that of the store differ: this member makes no keys; check NTP on both',
  clock_behind: 'the clock here is so far behind the ring’s that this member gets no keys until the two agree',
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

/** @param skew milliseconds by which the clock here runs ahead of the store's, where that is what the alarm is about */
export function alarmText(alarm: RingAlarm, skew?: number): string {
  return `${skew === undefined ? alarms[alarm] : clockText(alarm, skew)} (${alarm})`;
}

function clockText(alarm: RingAlarm, skew: number): string {
  const clock = `this host’s clock is ${skewWords(skew)} the ring’s, which is the store’s`;
  return alarm === 'clock_behind'
    ? `${clock}: it gets no keys, and without one its handshakes are full, until the two agree; no restart is needed`
    : `${clock}: it makes no keys; check NTP on both`;
}

/** `1h3m behind` */
export function skewWords(skew: number): string {
  const seconds = Math.max(1, Math.round(Math.abs(skew) / 1000));
  const unit = seconds >= 3_600 ? 60 : 1;
  return `${formatDuration(Math.floor(seconds / unit) * unit * 1000)} ${skew < 0 ? 'behind' : 'ahead of'}`;
}

/** Counts by reason, the largest first: `12 unknown key, 1 expired ticket`. */
export function refusalsOf(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .sort((a, b) => b[1] - a[1])
    .map(([reason, count]) => `${count.toLocaleString('en')} ${printable(reason.replaceAll('_', ' '))}`)
    .join(', ');
}
