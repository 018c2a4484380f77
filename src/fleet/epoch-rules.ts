/**
 * The rules of epochs, as pure functions: which one it is, when who makes the next, which times a record must carry.
 *
 *     epoch E           ring time E·L to (E+1)·L
 *     made              at (E−½)·L and a jitter by member and epoch, or as soon as it is missed
 *     sealFrom          E·L, but not before everyone connected has it
 *     sealUntil         (E+1)·L
 *     destroyAt         sealUntil + ticketLifetime
 */

import { concat, toHex } from '../bytes/bytes.ts';
import { Writer } from '../bytes/writer.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { MAX_KEY_LIFE, type RingConfiguration } from './configuration.ts';
import { digest } from './epoch-secret.ts';
import type { RecordRefusal } from './records/refusal.ts';
import type { EpochTimes } from './ring-time.ts';

/** The number of the epoch at this ring time. */
export function epochAt({ epochLength }: RingConfiguration, time: number): number {
  return Math.floor(time / epochLength);
}

/** @param alone nobody else is heard of, to wait for */
export function epochTimes(
  { epochLength, ticketLifetime, settle }: RingConfiguration,
  epoch: number,
  createdAt: number,
  alone: boolean,
): EpochTimes {
  const sealUntil = (epoch + 1) * epochLength;
  return {
    createdAt,
    sealFrom: Math.max(epoch * epochLength, createdAt + (alone ? 0 : settle)),
    sealUntil,
    destroyAt: sealUntil + ticketLifetime,
  };
}

/** Why a key with these times is not taken at this ring time. */
export function refuseTimes(
  configuration: RingConfiguration,
  epoch: number,
  times: EpochTimes,
  time: number,
): RecordRefusal | undefined {
  const { epochLength, maxSkew } = configuration;
  if (times.createdAt > time + maxSkew || times.sealUntil <= time || epoch > epochAt(configuration, time) + 1) {
    return 'untimely';
  }
  const rules = [true, false].map((alone) => epochTimes(configuration, epoch, times.createdAt, alone));
  const { sealFrom, sealUntil, destroyAt, createdAt } = times;
  const asRuled =
    sealUntil === rules[0].sealUntil &&
    destroyAt === rules[0].destroyAt &&
    rules.some((rule) => rule.sealFrom === sealFrom) &&
    sealFrom < sealUntil &&
    createdAt >= (epoch - 1) * epochLength &&
    destroyAt - createdAt <= MAX_KEY_LIFE;
  return asRuled ? undefined : 'bad_times';
}

/** Ring time from which this instance makes the epoch, if nobody has: spread over an eighth of an epoch. */
export function creationTime(
  provider: CryptoProvider,
  { epochLength }: RingConfiguration,
  epoch: number,
  instanceId: Uint8Array,
): number {
  const hash = digest(provider, new Writer(32).u64(epoch).bytes(instanceId).finish());
  const jitter = (((hash[0] << 8) | hash[1]) / 0x1_0000) * (epochLength / 8);
  return (epoch - 0.5) * epochLength + jitter;
}

/** The place of an instance in an order that all agree on and nobody can choose: who acts first, and who if that one fails. */
export function turnOf(
  provider: CryptoProvider,
  topic: Uint8Array,
  instanceId: Uint8Array,
  candidates: readonly Uint8Array[],
): number {
  const weigh = (id: Uint8Array) => toHex(digest(provider, concat(topic, id)).subarray(0, 8));
  const own = weigh(instanceId);
  return candidates.filter((id) => weigh(id) < own).length;
}
