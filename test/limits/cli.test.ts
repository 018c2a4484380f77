/** `mayfly limits`: its words and numbers, and the page of the documentation that shows them. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesText, longTime, parseRate, parseRecordSize, powerText } from '../../src/cli/limits/words.ts';
import { limitsCommand } from '../../src/cli/limits.ts';
import { keyLimits, suiteNames } from '../../src/limits/key-limits.ts';
import { mayfly, refusedHere } from '../cli/support.ts';
import { projectRoot } from '../support/project.ts';

test('mayfly limits prints the table that docs/limits.md shows', async () => {
  const { code, stdout, stderr } = await mayfly(['limits']);
  assert.equal(code, 0, stderr);
  const page = readFileSync(join(projectRoot, 'docs', 'limits.md'), 'utf8');
  assert(page.includes(stdout.trimEnd()), `docs/limits.md does not have, word for word:\n${stdout}`);
  assert.match(stdout, /TLS_AES_128_GCM_SHA256 {2,}2\^24\.5 {2,}361 GiB {2,}52 min/);
  assert.match(stdout, /How often must a connection that lives for weeks renew its keys\?/);
});

test('mayfly limits --json has every suite, with exact numbers', async () => {
  const { code, stdout } = await mayfly(['limits', '--json', '--advantage', '2^-57', '--rate', '1MB/s']);
  assert.equal(code, 0);
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const lines = events.filter(({ event }) => event === 'limits');
  assert.deepEqual(
    lines.map(({ suite }) => suite),
    suiteNames,
  );
  const [first] = lines;
  const same = keyLimits('TLS_AES_128_GCM_SHA256', { confidentiality: '2^-57', integrity: '2^-57', allKeys: '2^-57' });
  assert.equal(first.confidentiality.records, String(same.confidentiality.records));
  assert.equal(first.seconds.renewal, (Number(same.renewal.records) * 16_384) / 1e6);
  const quic = events.filter(({ event }) => event === 'quicLimits');
  assert.deepEqual(
    quic.map(({ suite, mayfly: { usageLimit } }) => [suite, usageLimit]),
    [
      ['TLS_AES_128_GCM_SHA256', '8388608'],
      ['TLS_AES_256_GCM_SHA384', '8388608'],
      ['TLS_CHACHA20_POLY1305_SHA256', '9007199254740991'],
    ],
  );
  assert.equal(quic[0].seconds.renewal, (2 ** 23 * 1200) / 1e6);
});

test('mayfly limits says what to set where the bound comes before Mayfly’s own limit', async () => {
  const suite = 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256';
  const { stdout } = await mayfly(['limits', '--suite', suite, '--advantage', '2^-80', '--rate', '5000records/s']);
  const { renewal } = keyLimits(suite, { confidentiality: '2^-80' });
  assert(
    stdout.includes(
      `usageLimit: ${renewal.records}, or keyRenewal: { afterBytes: ${renewal.bytes}, renegotiate12: true }`,
    ),
  );
  assert(!stdout.includes('TLS_AES_256') && !stdout.includes('QUIC'), 'QUIC has no TLS 1.2');
});

test('mayfly limits refuses what it cannot compute with, with code 2', async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--suite', 'TLS_RSA_WITH_RC4_128_MD5'], /--suite: .*not spoken here/],
    [['--advantage', '2'], /advantage: expected a probability/],
    [['--rate', 'fast'], /--rate: "fast" is not a rate/],
    [['--rate', '0bit/s'], /--rate/],
    [['--record-size', '17K'], /--record-size: "17K" is not a size/],
    [['--record-size', '0'], /--record-size/],
    [['--packet-size', '65528'], /--packet-size: "65528" is not a size/],
    [['--packet-size', '1K'], /--packet-size/],
  ];
  for (const [args, pattern] of cases) {
    const { code, line } = await refusedHere(limitsCommand(), args);
    assert.equal(code, 2, line);
    assert.match(line, pattern);
  }
});

test('rates, sizes and times are read and written as people do', () => {
  assert.deepEqual(parseRate('1Gbit/s'), { unit: 'bytes', perSecond: 125_000_000 });
  assert.deepEqual(parseRate('1.5 MiB/s'), { unit: 'bytes', perSecond: 1.5 * 2 ** 20 });
  assert.deepEqual(parseRate('800 b/s'), { unit: 'bytes', perSecond: 100 });
  assert.deepEqual(parseRate('5krecords/s'), { unit: 'records', perSecond: 5000 });
  assert.equal(parseRecordSize('16K'), 16_384);
  assert.equal(parseRecordSize('1200'), 1200);
  assert.equal(longTime(0.25), '0.25 s');
  assert.equal(longTime(3110), '52 min');
  assert.equal(longTime(86_400 * 3.6), '3.6 days');
  assert.equal(longTime(31_557_600 * 1169), '1,169 years');
  assert.equal(longTime(31_557_600 * 76e6), '10^7 years');
  assert.equal(bytesText(387_600_515_072n), '361 GiB');
  assert.equal(bytesText(5n), '5 B');
  assert.equal(powerText(-60), '2^-60');
  assert.equal(powerText(24.4958), '2^24.5');
});
