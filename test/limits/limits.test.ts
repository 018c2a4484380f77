/** Limits of keys, against the figures of the specifications and against an independent computation. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type AeadName, cipherSuites } from '../../src/crypto/suites.ts';
import { cipherSuites12 } from '../../src/crypto/suites12.ts';
import {
  allKeysLimit,
  confidentialityAdvantage,
  confidentialityLimit,
  integrityLimit,
} from '../../src/limits/aead-bounds.ts';
import { type Fraction, log2, parseAdvantage, powerOfTwo, squareRoot, toNumber } from '../../src/limits/exact.ts';
import { blocksPerRecord, keyLimits, secondsFor, suiteNames } from '../../src/limits/key-limits.ts';
import { anyAdvantage, isAtMost } from './support.ts';

const oneDecimal = (n: bigint): string => log2({ numerator: n, denominator: 1n }).toFixed(1);
const aeads: readonly AeadName[] = ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'];

const anyBlocks = fc.bigInt(1n, 1026n);

describe('known answers', () => {
  it('RFC 9846 §5.5: AES-GCM seals 2^24.5 full-size records, about 24 million, at 2^-60', () => {
    for (const aead of ['aes-128-gcm', 'aes-256-gcm'] as const) {
      // Full-size records are 2^14 bytes there: neither content type nor additional data.
      const records = confidentialityLimit(aead, powerOfTwo(-60), 1024n) as bigint;
      assert.equal(oneDecimal(records), '24.5');
      assert.equal(Math.round(Number(records) / 1e6), 24);
      assert.equal(log2(confidentialityAdvantage(aead, records, 1024n) as Fraction).toFixed(3), '-60.000');
    }
    const limits = keyLimits('TLS_AES_128_GCM_SHA256');
    assert.equal(oneDecimal(limits.confidentiality.records as bigint), '24.5');
    assert.equal(limits.mayfly.usageLimit, BigInt(Math.floor(2 ** 24.5)));
    assert.equal((limits.mayfly.advantage as number).toFixed(1), '-60.0');
  });

  it('RFC 9846 §5.5: the counter of ChaCha20-Poly1305 ends before its bound is reached', () => {
    const limits = keyLimits('TLS_CHACHA20_POLY1305_SHA256');
    assert.equal(limits.confidentiality.records, undefined);
    assert.equal(limits.counter.wire, 2n ** 64n);
    assert(limits.allKeys.records > limits.counter.wire);
  });

  it('of the draft: records of 2^7 blocks at 2^-50, one key', () => {
    const p = powerOfTwo(-50);
    assert.equal(oneDecimal(confidentialityLimit('aes-128-gcm', p, 2n ** 7n) as bigint), '32.5');
    assert.equal(confidentialityLimit('chacha20-poly1305', p, 2n ** 7n), undefined);
    assert.equal(Math.round(Number(oneDecimal(integrityLimit('chacha20-poly1305', p, 2n ** 7n)))), 46);
    // 2^(127 - 50) / 129; the cap of the proof, 2^63, is lower.
    assert.equal(integrityLimit('aes-128-gcm', p, 2n ** 7n), 2n ** 63n);
  });

  it('of the draft: 2^20 records of 2^7 blocks under each key leave 2^42 for all of them, at 2^-50', () => {
    const question = { nonce: 'randomized', advantage: powerOfTwo(-50), blocks: 2n ** 7n } as const;
    const gcm = allKeysLimit({ ...question, aead: 'aes-128-gcm', blocksPerKey: 2n ** 27n });
    assert.equal(
      oneDecimal(gcm.records),
      '43.0',
      '2^(127 - 50 - 7 - 27), of which records and forgeries have half each',
    );
    const chacha = allKeysLimit({ ...question, aead: 'chacha20-poly1305', blocksPerKey: 2n ** 27n });
    assert.equal(chacha.records, 2n ** 100n);
    assert.equal(Math.round(Number(oneDecimal(chacha.forgeries))), 46);
  });

  it('a forgery gains 2^-117 with AES-GCM and 2^-93 with ChaCha20-Poly1305, and a connection judges one', () => {
    assert.equal(keyLimits('TLS_AES_256_GCM_SHA384').integrity.ofOneAttempt.toFixed(0), '-117');
    assert.equal(keyLimits('TLS_CHACHA20_POLY1305_SHA256').integrity.ofOneAttempt.toFixed(0), '-93');
  });

  it('at 1 Gbit/s a key of AES-GCM lasts 52 minutes, at 10 Mbit/s three and a half days', () => {
    const { renewal } = keyLimits('TLS_AES_128_GCM_SHA256');
    const at = (bitsPerSecond: number) =>
      secondsFor(renewal.records, 16_384, { unit: 'bytes', perSecond: bitsPerSecond / 8 });
    assert.equal(Math.round(at(1e9) / 60), 52);
    assert.equal((at(1e7) / 86_400).toFixed(1), '3.6');
  });

  it('a random explicit nonce would have repeated with 2^-16 by the limit; a counter never does', () => {
    const gcm = keyLimits('TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256');
    assert.equal(gcm.counter.explicitNonce, true);
    assert.equal((gcm.counter.hadItBeenRandom as number).toFixed(1), '-16.0');
    const chacha = keyLimits('TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256');
    assert.equal(chacha.counter.explicitNonce, false);
    assert.equal(chacha.counter.hadItBeenRandom, undefined);
  });
});

describe('limits', () => {
  it('of confidentiality are the last number of records whose advantage is not above what was asked for', () => {
    fc.assert(
      fc.property(fc.constantFrom(...aeads), anyAdvantage, anyBlocks, (aead, p, blocks) => {
        const limit = confidentialityLimit(aead, p, blocks);
        if (limit === undefined) {
          return assert.equal(aead, 'chacha20-poly1305');
        }
        // (s + q + 1)^2 / 2^129 with s = q · blocks, written out anew.
        const advantage = (q: bigint): Fraction => {
          const sum = q * blocks + q + 1n;
          return { numerator: sum * sum, denominator: 1n << 129n };
        };
        assert(limit === 0n || isAtMost(advantage(limit), p), 'too many');
        assert(!isAtMost(advantage(limit + 1n), p), 'one more would do');
      }),
    );
  });

  it('of integrity are the last number of forgeries whose advantage is not above, up to 2^63', () => {
    fc.assert(
      fc.property(fc.constantFrom(...aeads), anyAdvantage, anyBlocks, (aead, p, blocks) => {
        const limit = integrityLimit(aead, p, blocks);
        const advantage = (v: bigint): Fraction =>
          aead === 'chacha20-poly1305'
            ? { numerator: v * (blocks + 1n), denominator: 1n << 103n }
            : { numerator: 2n * v * (blocks + 1n), denominator: 1n << 128n };
        assert(isAtMost(advantage(limit), p), 'too many');
        assert(limit === 2n ** 63n || !isAtMost(advantage(limit + 1n), p), 'one more would do');
      }),
    );
  });

  it('of all keys keep the sum of all terms below what was asked for', () => {
    const question = fc.record({
      aead: fc.constantFrom(...aeads),
      nonce: fc.constantFrom('randomized' as const, 'partly_implicit' as const),
      advantage: anyAdvantage,
      blocks: anyBlocks,
      blocksPerKey: fc.bigInt(1n, 2n ** 48n),
    });
    fc.assert(
      fc.property(question, ({ aead, nonce, advantage, blocks, blocksPerKey }) => {
        const { records, forgeries } = allKeysLimit({ aead, nonce, advantage, blocks, blocksPerKey });
        if (aead === 'chacha20-poly1305') {
          const reading = { numerator: 2n * records, denominator: 1n << 247n };
          assert(records <= 2n ** 100n && isAtMost(reading, advantage), 'o = q');
          return assert(isAtMost({ numerator: forgeries * (blocks + 1n), denominator: 1n << 103n }, advantage));
        }
        const extra = aead === 'aes-128-gcm' ? 161n : 97n;
        const byBlocks = records * blocks * (blocksPerKey + extra) * 2n ** 27n;
        const byKeys = nonce === 'partly_implicit' && aead === 'aes-128-gcm' ? 2n * records * records : 0n;
        assert(isAtMost({ numerator: byBlocks + byKeys, denominator: 1n << 154n }, advantage));
        assert.equal(records, forgeries);
      }),
    );
  });

  it('shrink with the advantage and with the size of the records', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...suiteNames),
        fc.integer({ min: 20, max: 100 }),
        fc.integer({ min: 1, max: 16_383 }),
        (suite, k, recordSize) => {
          const at = (exponent: number, size: number) => {
            const p = powerOfTwo(-exponent);
            return keyLimits(suite, { confidentiality: p, integrity: p, recordSize: size });
          };
          const [one, stricter, larger] = [at(k, recordSize), at(k + 1, recordSize), at(k, recordSize + 1)];
          for (const less of [stricter, larger]) {
            assert(less.renewal.records <= one.renewal.records);
            assert(less.integrity.attempts <= one.integrity.attempts);
            assert(less.allKeys.forgeries <= one.allKeys.forgeries);
          }
        },
      ),
    );
  });

  it('are given for every suite, and Mayfly renews each key in time at the advantage that TLS aims at', () => {
    assert.equal(suiteNames.length, Object.keys(cipherSuites).length + Object.keys(cipherSuites12).length);
    for (const suite of suiteNames) {
      const limits = keyLimits(suite, { integrity: '2^-57', confidentiality: '2^-59' });
      assert(limits.mayfly.renewsAfter < limits.mayfly.usageLimit);
      assert(limits.mayfly.usageLimit <= limits.counter.read && limits.counter.read < limits.counter.wire);
      assert.equal(limits.renewal.because, 'usageLimit', suite);
      assert.equal(limits.mayfly.renewsBy, limits.version === 'TLSv1.3' ? 'KeyUpdate' : 'renegotiation');
    }
  });

  it('say so when the bound comes before Mayfly’s own limit', () => {
    const { renewal, confidentiality } = keyLimits('TLS_AES_128_GCM_SHA256', { confidentiality: '2^-70' });
    assert.equal(renewal.because, 'bound');
    assert.equal(renewal.records, confidentiality.records);
    assert.equal(renewal.bytes, renewal.records * 16_384n);
    const lowered = keyLimits('TLS_AES_128_GCM_SHA256', { confidentiality: '2^-70', usageLimit: 100 });
    assert.equal(lowered.renewal.because, 'usageLimit');
    assert.equal(lowered.renewal.records, 96n);
  });

  it('count the blocks of records as the AEAD sees them', () => {
    assert.equal(blocksPerRecord('TLSv1.3', 16_384), 1026n, '16,385 bytes inside, and 5 beside');
    assert.equal(blocksPerRecord('TLSv1.2', 16_384), 1025n);
    assert.equal(blocksPerRecord('TLSv1.3', 15), 2n);
    assert.equal(blocksPerRecord('TLSv1.3', 16), 3n);
  });

  it('refuse questions that have no answer', () => {
    const config = { code: 'TLS_ERR_CONFIG' };
    for (const text of ['', '2^-0', '2^57', '1', '0', '1.5', '-1', '2^-1000', 'e-3', '0x1', '1e3']) {
      assert.throws(() => parseAdvantage(text), config, text);
    }
    assert.throws(() => keyLimits('TLS_NULL' as 'TLS_AES_128_GCM_SHA256'), config);
    assert.throws(() => keyLimits('TLS_AES_128_GCM_SHA256', { recordSize: 16_385 }), config);
    assert.throws(() => keyLimits('TLS_AES_128_GCM_SHA256', { usageLimit: 7 }), config);
    assert.throws(() => keyLimits('TLS_AES_128_GCM_SHA256', { integrity: powerOfTwo(0) }), config);
    assert.throws(() => secondsFor(1n, 1, { unit: 'bytes', perSecond: 0 }), config);
  });
});

describe('exact arithmetic', () => {
  it('finds square roots of any size', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 300n), (n) => {
        const root = squareRoot(n);
        assert(root * root <= n && (root + 1n) * (root + 1n) > n);
      }),
    );
  });

  it('reads advantages as they are written', () => {
    assert.deepEqual(parseAdvantage('2^-57'), { numerator: 1n, denominator: 2n ** 57n });
    assert.deepEqual(parseAdvantage('1e-17'), { numerator: 1n, denominator: 10n ** 17n });
    assert.deepEqual(parseAdvantage('0.25'), { numerator: 25n, denominator: 100n });
    assert.deepEqual(parseAdvantage('2.5e-3'), { numerator: 25n, denominator: 10n ** 4n });
  });

  it('rounds for people only in the last digits', () => {
    fc.assert(
      fc.property(fc.bigInt(1n, 2n ** 200n), fc.bigInt(1n, 2n ** 200n), (numerator, denominator) => {
        const value = toNumber({ numerator, denominator });
        const exponent = log2({ numerator, denominator });
        assert(Math.abs(Math.log2(value) - exponent) < 1e-9);
        if (numerator < 2n ** 53n && denominator < 2n ** 53n) {
          assert(Math.abs(value / (Number(numerator) / Number(denominator)) - 1) < 1e-14);
        }
      }),
    );
  });
});
