/** Limits of keys in QUIC, against RFC 9001, an independent computation, and what the protection of packets does. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { type CipherSuiteName, cipherSuites } from '../../src/crypto/suites.ts';
import { QuicPacketProtection } from '../../src/keys/quic-packet.ts';
import type { Fraction } from '../../src/limits/exact.ts';
import { quicKeyLimits } from '../../src/limits/key-limits.ts';
import { anyAdvantage, isAtMost } from './support.ts';

const quicSuites = Object.keys(cipherSuites) as CipherSuiteName[];

describe('limits of QUIC', () => {
  const anySize = fc.integer({ min: 1, max: 65_527 });

  it('are those of RFC 9001 §6.6, and keep what it aims at for packets as large as it takes them to be', () => {
    for (const suite of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'] as const) {
      const { mayfly, confidentiality, integrity } = quicKeyLimits(suite, { packetSize: 65_527 });
      assert.deepEqual([mayfly.usageLimit, mayfly.forgeryLimit], [2n ** 23n, 2n ** 52n]);
      assert((confidentiality.packets as bigint) >= 2n ** 23n && integrity.attempts >= 2n ** 52n);
      assert((mayfly.gainedByReading as number) <= -57 && mayfly.gainedByForging <= -57);
    }
    const chacha = quicKeyLimits('TLS_CHACHA20_POLY1305_SHA256', { packetSize: 16_384 - 32 });
    assert.equal(chacha.mayfly.forgeryLimit, 2n ** 36n);
    assert.equal(chacha.confidentiality.packets, undefined);
    assert.equal(chacha.integrity.attempts.toString(2).length - 1, 35, '2^103 · 2^-57 / 1025');
    assert(chacha.mayfly.usageLimit < chacha.counter, 'a receiver’s arithmetic ends before the packet numbers do');
  });

  it('are the last numbers whose advantage is not above what was asked for', () => {
    fc.assert(
      fc.property(fc.constantFrom(...quicSuites), anyAdvantage, anySize, (suite, p, packetSize) => {
        const limits = quicKeyLimits(suite, { confidentiality: p, integrity: p, packetSize });
        // Written out anew: blocks of payload, and 25 bytes of header in two more.
        const blocks = BigInt(Math.ceil(packetSize / 16)) + 2n;
        const isChaCha = suite.includes('CHACHA');
        const reading = (q: bigint): Fraction => ({ numerator: (q * blocks + q + 1n) ** 2n, denominator: 1n << 129n });
        const forging = (v: bigint): Fraction => ({
          numerator: v * (blocks + 1n),
          denominator: 1n << (isChaCha ? 103n : 127n),
        });
        const { packets } = limits.confidentiality;
        assert.equal(packets === undefined, isChaCha);
        if (packets !== undefined) {
          assert((packets === 0n || isAtMost(reading(packets), p)) && !isAtMost(reading(packets + 1n), p));
          assert.equal(limits.confidentiality.bytes, packets * BigInt(packetSize));
        }
        const { attempts } = limits.integrity;
        assert(isAtMost(forging(attempts), p));
        assert(attempts === 2n ** 63n || !isAtMost(forging(attempts + 1n), p));
      }),
    );
  });

  it('are what the protection of packets keeps', () => {
    for (const suite of quicSuites) {
      const secret = Secret.create('CLIENT_TRAFFIC_SECRET', cipherSuites[suite].hashLength, nodeProvider.random);
      const protection = new QuicPacketProtection({ provider: nodeProvider, suite: cipherSuites[suite], secret });
      assert.equal(BigInt(protection.remaining), quicKeyLimits(suite).mayfly.usageLimit);
      protection.erase();
      secret.erase();
    }
  });

  it('refuse questions that have no answer', () => {
    const config = { code: 'TLS_ERR_CONFIG' };
    assert.throws(() => quicKeyLimits('TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256' as 'TLS_AES_128_GCM_SHA256'), config);
    assert.throws(() => quicKeyLimits('TLS_AES_128_GCM_SHA256', { packetSize: 65_528 }), config);
    assert.throws(() => quicKeyLimits('TLS_AES_128_GCM_SHA256', { packetSize: 0 }), config);
  });
});
