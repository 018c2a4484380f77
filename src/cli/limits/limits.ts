/** `mayfly limits`: the limits of keys as a table, and what they mean for a connection that lives for weeks. */

import { type CipherSuiteName, cipherSuites } from '../../crypto/suites.ts';
import { parseAdvantage } from '../../limits/exact.ts';
import {
  type KeyLimits,
  keyLimits,
  type Rate,
  type SuiteName,
  secondsFor,
  suiteNames,
} from '../../limits/key-limits.ts';
import { quicKeyLimits } from '../../limits/quic-limits.ts';
import { READ_LIMIT } from '../../record/limits.ts';
import type { LimitsFlags } from '../limits.ts';
import { createOutput } from '../output.ts';
import { messageOf, Problem } from '../problem.ts';
import { paragraph } from '../terminal.ts';
import { quicText } from './quic.ts';
import {
  bytesText,
  fittingTable,
  log2Of,
  longTime,
  parsePacketSize,
  parseRate,
  parseRecordSize,
  powerText,
  table,
} from './words.ts';

interface Row {
  readonly name: string;
  readonly limits: KeyLimits;
}

/** @throws Problem `usage` */
export function tellLimits(flags: LimitsFlags): void {
  const output = createOutput(flags.json === true);
  const rate = parseRate(flags.rate);
  const recordSize = parseRecordSize(flags.recordSize);
  const suites = parseSuites(flags.suite);
  const advantage = readAdvantage(flags.advantage);
  const question = {
    recordSize,
    confidentiality: advantage,
    integrity: advantage,
    allKeys: advantage,
  };
  const limits = suites.map((suite) => keyLimits(suite, question));
  const { confidentiality, integrity } = question;
  const packetSize = parsePacketSize(flags.packetSize);
  const quic = suites
    .filter((suite) => Object.hasOwn(cipherSuites, suite))
    .map((suite) => quicKeyLimits(suite as CipherSuiteName, { confidentiality, integrity, packetSize }));
  for (const line of [...textOf(limits, rate, flags), ...quicText(quic, rate, flags.rate)]) {
    output.say(line);
  }
  for (const one of limits) {
    output.event('limits', fieldsOf(one, rate));
  }
  for (const one of quic) {
    const seconds = secondsFor(one.mayfly.usageLimit, one.packetSize, rate);
    output.event('quicLimits', { ...plain(one), rate, seconds: { renewal: seconds } });
  }
}

function textOf(limits: readonly KeyLimits[], rate: Rate, { rate: rateText, suite }: LimitsFlags): string[] {
  const [{ recordSize, confidentiality, integrity }] = limits;
  const rows = suite === undefined ? rowsByAead(limits) : limits.map((one) => ({ name: one.suite, limits: one }));
  return [
    ...paragraph(
      `One key, records of ${recordSize.toLocaleString('en')} bytes. The attacker gains at most ` +
        `${powerText(confidentiality.advantage)} for reading, ${powerText(integrity.advantage)} for forging.`,
    ),
    '',
    ...fittingTable(
      [
        ['suite', 'may seal', 'data', `at ${rateText}`, 'forgeries', 'Mayfly renews after', 'gained by then'],
        ...rows.map(({ name, limits: one }) => cells(name, one, rate)),
      ],
      2,
    ),
    '',
    ...notes(rows).flatMap((note) => paragraph(note)),
    '',
    ...answer(rows[0].limits, rate, rateText),
  ];
}

function cells(name: string, limits: KeyLimits, rate: Rate): string[] {
  const { confidentiality, integrity, mayfly, counter, recordSize } = limits;
  const records = confidentiality.records ?? counter.wire;
  const { renewsAfter, renewsBy, advantage } = mayfly;
  return [
    name,
    `${powerText(log2Of(records))}${confidentiality.records === undefined ? ' (counter)' : ''}`,
    bytesText(records * BigInt(recordSize)),
    longTime(secondsFor(records, recordSize, rate)),
    powerText(log2Of(integrity.attempts)),
    `${powerText(log2Of(renewsAfter))}, ${renewsBy}`,
    advantage === undefined ? 'nothing' : powerText(advantage),
  ];
}

function notes(rows: readonly Row[]): string[] {
  const explicit = rows.find(({ limits }) => limits.counter.explicitNonce)?.limits;
  const tls12 = rows.some(({ limits }) => limits.version === 'TLSv1.2');
  const tls13 = rows.some(({ limits }) => limits.version === 'TLSv1.3');
  const sealing = tls13
    ? ['Mayfly in TLS 1.3: KeyUpdate before the limit; the peer is asked for one when its key is that worn.']
    : [];
  const sealing12 = tls12
    ? ['Mayfly in TLS 1.2: renegotiation before the limit where the peer takes part, else a clean close.']
    : [];
  const nonce =
    explicit === undefined
      ? []
      : [
          'TLS 1.2 sends the nonces of AES-GCM: here they are the record counter. Random ones, which RFC 5288 also allows, ' +
            `would have repeated by the limit with ${powerText(explicit.counter.hadItBeenRandom as number)}; one repetition gives forgeries away.`,
        ];
  return [
    `Forging: a connection ends at the first forgery, so an attacker has one attempt at each, worth ${forgeryText(rows)}.`,
    `Counting: the record counter has 2^64 values and must not wrap; a read key of Mayfly opens ${powerText(Math.log2(READ_LIMIT))} records.`,
    ...sealing,
    ...sealing12,
    ...nonce,
    ...together(rows),
  ];
}

function together(rows: readonly Row[]): string[] {
  const gcm = rows.find(({ limits }) => limits.aead !== 'chacha20-poly1305');
  if (gcm === undefined) {
    return ['All keys of everybody together: no limit on records below 2^100.'];
  }
  const { allKeys } = gcm.limits;
  return [
    `All keys of everybody together, at ${powerText(allKeys.advantage)}: ${powerText(log2Of(allKeys.records))} records of ${gcm.name} (${bytesText(allKeys.bytes)}) ` +
      'if each key is used to Mayfly’s limit. That bound is on all data times the data under one key: half as much under ' +
      'each (keyRenewal.afterBytes) allows twice the data. ChaCha20-Poly1305 has none below 2^100 records.',
  ];
}

function forgeryText(rows: readonly Row[]): string {
  const byAead = new Map(rows.map(({ limits }) => [limits.aead === 'chacha20-poly1305', limits]));
  return [...byAead]
    .map(
      ([isChacha, { integrity }]) =>
        `${powerText(Math.round(integrity.ofOneAttempt))} with ${isChacha ? 'ChaCha20-Poly1305' : 'AES-GCM'}`,
    )
    .join(', ');
}

function answer(limits: KeyLimits, rate: Rate, rateText: string): string[] {
  const { renewal, recordSize, suite, confidentiality, blocksPerRecord, mayfly } = limits;
  const rates: [string, Rate][] = [
    ['1 Mbit/s', { unit: 'bytes', perSecond: 125_000 }],
    ['100 Mbit/s', { unit: 'bytes', perSecond: 12_500_000 }],
    [rateText, rate],
    ['100 records/s', { unit: 'records', perSecond: 100 }],
  ];
  const own = `Mayfly’s limit ${mayfly.renewsAfter.toLocaleString('en')}`;
  const p = powerText(confidentiality.advantage);
  const formula =
    confidentiality.records === undefined
      ? own
      : `min((√(${p} · 2^129) − 1) / (${blocksPerRecord} + 1) = ${confidentiality.records.toLocaleString('en')}, ${own})`;
  // RFC 9846 counts neither the content type nor the additional data, which is a matter of 0.3 %.
  const isRounding = mayfly.advantage !== undefined && mayfly.advantage - confidentiality.advantage < 0.02;
  const todo =
    renewal.because === 'usageLimit' || isRounding
      ? paragraph(
          `Mayfly does it by itself, after ${mayfly.renewsAfter.toLocaleString('en')} records${isRounding ? ', as RFC 9846 rounds it' : ''}.`,
        )
      : // To be copied: in one line, however narrow the terminal.
        [`Give the server a policy with usageLimit: ${renewal.records}${byVolume(limits)}.`];
  return [
    'How often must a connection that lives for weeks renew its keys?',
    '',
    '  every  N · record size / rate',
    ...paragraph(formula, '  N = '),
    '',
    ...table(
      rates.map(([name, one]) => [
        `  ${suite} at ${name}`,
        `every ${longTime(secondsFor(renewal.records, recordSize, one))}`,
      ]),
    ),
    '',
    ...todo,
    ...paragraph(
      'There is a better reason to renew sooner: the old key is erased, and what was recorded under it stays closed to ' +
        'whoever comes into the process later. In TLS 1.3 that is done once an hour by default (see mayfly policy).',
    ),
  ];
}

function byVolume({ renewal, version }: KeyLimits): string {
  const renegotiate = version === 'TLSv1.2' ? ', renegotiate12: true' : '';
  return renewal.bytes < 65_536n ? '' : `, or keyRenewal: { afterBytes: ${renewal.bytes}${renegotiate} }`;
}

/** TLS 1.2 has three suites for each AEAD, with the same limits. */
function rowsByAead(limits: readonly KeyLimits[]): Row[] {
  const rows = new Map<string, { limits: KeyLimits; count: number }>();
  for (const one of limits) {
    const name = one.version === 'TLSv1.3' ? one.suite : one.suite.replace(/^TLS_.*_WITH_/, 'TLS_*_WITH_');
    rows.set(name, { limits: one, count: (rows.get(name)?.count ?? 0) + 1 });
  }
  return [...rows].map(([name, { limits: one }]) => ({ name, limits: one }));
}

function fieldsOf(limits: KeyLimits, rate: Rate): Record<string, unknown> {
  const { recordSize, renewal, confidentiality } = limits;
  const seconds = (records: bigint) => secondsFor(records, recordSize, rate);
  return {
    ...plain(limits),
    rate,
    seconds: {
      renewal: seconds(renewal.records),
      confidentiality: confidentiality.records === undefined ? null : seconds(confidentiality.records),
      counter: seconds(limits.counter.wire),
    },
  };
}

/** JSON has no integers of any size. */
function plain(limits: object): Record<string, unknown> {
  return JSON.parse(JSON.stringify(limits, (_, value) => (typeof value === 'bigint' ? value.toString() : value)));
}

/** @throws Problem `usage` */
function readAdvantage(text: string | undefined): ReturnType<typeof parseAdvantage> | undefined {
  try {
    return text === undefined ? undefined : parseAdvantage(text);
  } catch (error) {
    const what = messageOf(error).replace(/^advantage: /, '');
    throw new Problem('usage', `--advantage: ${what}`, undefined, error);
  }
}

/** @throws Problem `usage` */
function parseSuites(text: string | undefined): readonly SuiteName[] {
  if (text === undefined) {
    return suiteNames;
  }
  return text.split(',').map((part) => {
    const name = suiteNames.find((known) => known === part.trim());
    if (name === undefined) {
      throw new Problem('usage', `--suite: "${part.trim()}" is not spoken here`, `There are ${suiteNames.join(', ')}.`);
    }
    return name;
  });
}
