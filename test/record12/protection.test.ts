/** Protection of TLS 1.2 records: against a second implementation, against tampering, and up to the usage limit. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import type { CipherSuite12 } from '../../src/crypto/suites12.ts';
import { CONTENT_ALERT, CONTENT_APPLICATION_DATA, CONTENT_HANDSHAKE } from '../../src/record/limits.ts';
import { RecordCounter, Tls12Opener, Tls12Sealer } from '../../src/record/tls12-protection.ts';
import { asRecord, pattern, recordBytes } from '../record/support.ts';
import { refuses } from '../support/refusals.ts';
import {
  chacha,
  explicitLength,
  gcm,
  independentNonce,
  independentRecord,
  opener,
  overhead,
  sealed,
  sealer,
  suites,
  trafficKeys,
} from './support.ts';

const DATA = CONTENT_APPLICATION_DATA;

for (const suite of suites) {
  describe(`TLS 1.2 records with ${suite.aead}`, () => {
    it('are what their definition says, byte for byte, in order and of every type', () => {
      const write = sealer({ suite });
      let sequence = 0n;
      for (const type of [CONTENT_HANDSHAKE, CONTENT_ALERT, DATA]) {
        for (const length of [0, 1, 2, 15, 16, 17, 1000, 2 ** 14]) {
          const content = pattern(length, 5);
          const expected = independentRecord({ suite, sequence, type, content });
          assert.equal(toHex(sealed(write, type, content)), toHex(expected));
          sequence += 1n;
        }
      }
    });

    it('open again, with their type, in order', () => {
      const write = sealer({ suite });
      const read = opener({ suite });
      for (const type of [CONTENT_HANDSHAKE, CONTENT_ALERT, DATA]) {
        for (const length of [0, 1, 100, 2 ** 14]) {
          const opened = read.open(asRecord(sealed(write, type, pattern(length))));
          assert.equal(opened.type, type);
          assert.ok(Buffer.from(opened.content).equals(pattern(length)));
        }
      }
    });

    it('are as long as the overhead says, and leave the rest of the output alone', () => {
      const data = pattern(100);
      const out = new Uint8Array(200).fill(0xcc);
      const write = sealer({ suite });
      assert.equal(write.overhead, overhead(suite));
      const end = write.seal(DATA, data, 10, 60, out, 7);
      assert.equal(end, 7 + 50 + overhead(suite));
      assert.ok([...out.subarray(0, 7), ...out.subarray(end)].every((byte) => byte === 0xcc));
      assert.deepEqual([...opener({ suite }).open(asRecord(out.slice(7, end))).content], [...data.subarray(10, 60)]);
      assert.deepEqual(data, pattern(100));
    });

    it('with any bit flipped, but in their length, are not authentic', () => {
      const record = sealed(sealer({ suite }), DATA, pattern(40));
      for (let at = 0; at < record.length; at++) {
        if (at === 3 || at === 4) {
          continue;
        }
        for (let bit = 0; bit < 8; bit++) {
          const changed = new Uint8Array(record);
          changed[at] ^= 1 << bit;
          refuses('TLS_ERR_BAD_RECORD_MAC', () => opener({ suite }).open(asRecord(changed)));
        }
      }
    });

    it('cut anywhere, or lengthened, are not authentic', () => {
      const record = sealed(sealer({ suite }), DATA, pattern(40));
      for (let length = 5; length < record.length; length++) {
        refuses('TLS_ERR_BAD_RECORD_MAC', () => opener({ suite }).open(asRecord(record.slice(0, length))));
      }
      const longer = Uint8Array.from([...record, 0]);
      refuses('TLS_ERR_BAD_RECORD_MAC', () => opener({ suite }).open(asRecord(longer)));
      for (let length = 0; length < explicitLength(suite) + 16; length++) {
        const short = recordBytes(DATA, new Uint8Array(length));
        refuses('TLS_ERR_BAD_RECORD_MAC', () => opener({ suite }).open(asRecord(short)));
      }
    });

    it('replayed, left out, reordered or sent back are not authentic', () => {
      const write = sealer({ suite });
      const records = [0, 1, 2].map((i) => asRecord(sealed(write, DATA, pattern(20, i))));
      const replayed = opener({ suite });
      replayed.open(records[0]);
      refuses('TLS_ERR_BAD_RECORD_MAC', () => replayed.open(records[0]));
      const skipped = opener({ suite });
      skipped.open(records[0]);
      refuses('TLS_ERR_BAD_RECORD_MAC', () => skipped.open(records[2]));
      refuses('TLS_ERR_BAD_RECORD_MAC', () => opener({ suite }).open(records[1]));
    });

    it('refused do not count: the next authentic one opens', () => {
      const write = sealer({ suite });
      const read = opener({ suite });
      const [first, second] = [sealed(write, DATA, pattern(9)), sealed(write, DATA, pattern(9))];
      refuses('TLS_ERR_BAD_RECORD_MAC', () => read.open(asRecord(second)));
      assert.equal(read.remaining, suite.usageLimit);
      read.open(asRecord(first));
      read.open(asRecord(second));
      assert.equal(read.remaining, suite.usageLimit - 2);
    });

    it('of the other direction, under another key or another nonce, are not authentic', () => {
      const record = asRecord(sealed(sealer({ suite }), DATA, pattern(20)));
      for (const part of ['writeKey', 'writeIv'] as const) {
        const keys = trafficKeys(suite);
        keys[part].use((bytes) => {
          bytes[0] ^= 1;
        });
        const read = new Tls12Opener(nodeProvider, suite.aead, keys, suite.usageLimit);
        refuses('TLS_ERR_BAD_RECORD_MAC', () => read.open(record));
      }
    });

    it('hold at most 2^14 bytes', () => {
      const content = new Uint8Array(2 ** 14 + 1);
      const record = independentRecord({ suite, sequence: 0n, type: DATA, content });
      refuses('TLS_ERR_RECORD_OVERFLOW', () => opener({ suite }).open(asRecord(record)));
      const full = independentRecord({ suite, sequence: 0n, type: DATA, content: content.subarray(1) });
      assert.equal(opener({ suite }).open(asRecord(full)).content.length, 2 ** 14);
    });

    it('of another version are taken only when the peer authenticated that version', () => {
      const record = sealed(sealer({ suite }), DATA, pattern(20));
      record[2] = 1;
      refuses('TLS_ERR_BAD_RECORD_MAC', () => opener({ suite }).open(asRecord(record)));
    });

    it('give content in memory of its own: the record it came in may be overwritten', () => {
      const record = sealed(sealer({ suite }), DATA, pattern(50));
      const { content } = opener({ suite }).open(asRecord(record));
      record.fill(0xee);
      assert.deepEqual([...content], [...pattern(50)]);
    });

    it('take their keys over, and give up their own when they are erased', () => {
      const mine = trafficKeys(suite);
      const yours = trafficKeys(suite);
      const write = new Tls12Sealer(nodeProvider, suite.aead, mine, suite.usageLimit);
      const read = new Tls12Opener(nodeProvider, suite.aead, yours, suite.usageLimit);
      for (const secret of [mine.writeKey, mine.writeIv, yours.writeKey, yours.writeIv]) {
        assert.equal(secret.erased, true);
      }
      const record = asRecord(sealed(write, DATA, pattern(1)));
      write.erase('test');
      read.erase('test');
      refuses('TLS_ERR_SECRET_ERASED', () => sealed(write, DATA, pattern(1)));
      refuses('TLS_ERR_SECRET_ERASED', () => read.open(record));
    });

    it('are refused a nonce part of the wrong length', () => {
      for (const length of [0, 3, 5, 8, 11, 13].concat(suite.ivLength === 4 ? 12 : 4)) {
        const keys = () => ({ ...trafficKeys(suite), writeIv: Secret.copy('implicitNonce', new Uint8Array(length)) });
        refuses('TLS_ERR_INTERNAL', () => new Tls12Sealer(nodeProvider, suite.aead, keys(), 1));
        refuses('TLS_ERR_INTERNAL', () => new Tls12Opener(nodeProvider, suite.aead, keys(), 1));
      }
    });

    it('never overrun the usage limit of their key, on either side', () => {
      const write = sealer({ suite, usageLimit: 3 });
      const read = opener({ suite, usageLimit: 3 });
      const unlimited = sealer({ suite });
      for (let left = 3; left > 0; left--) {
        assert.equal(write.remaining, left);
        assert.equal(read.remaining, left);
        sealed(write, DATA, pattern(1));
        read.open(asRecord(sealed(unlimited, DATA, pattern(1))));
      }
      const out = new Uint8Array(1 + write.overhead).fill(0xcc);
      for (let attempt = 0; attempt < 3; attempt++) {
        assert.equal(write.remaining, 0);
        refuses('TLS_ERR_USAGE_LIMIT', () => write.seal(DATA, pattern(1), 0, 1, out, 0));
        assert.ok(
          out.every((byte) => byte === 0xcc),
          'nothing was written',
        );
      }
      const fourth = asRecord(sealed(unlimited, DATA, pattern(1)));
      refuses('TLS_ERR_PEER_USAGE_LIMIT', () => read.open(fourth));
      refuses('TLS_ERR_PEER_USAGE_LIMIT', () => read.open(fourth));
    });

    it('have a nonce of their own each, which counts, whatever is sealed', () => {
      const sizes = fc.array(fc.nat({ max: 50 }), { minLength: 1, maxLength: 60 });
      fc.assert(
        fc.property(sizes, (lengths) => {
          const nonces: string[] = [];
          const write = sealer({ suite, provider: watching(nonces) });
          for (const length of lengths) {
            sealed(write, DATA, pattern(length));
          }
          const expected = lengths.map((_, i) => toHex(independentNonce(suite, BigInt(i))));
          assert.deepEqual(nonces, expected);
          assert.equal(new Set(nonces).size, lengths.length);
        }),
        { numRuns: 30 },
      );
    });

    it('that fail to be sealed do not burn or repeat a nonce', () => {
      const nonces: string[] = [];
      const write = sealer({ suite, provider: watching(nonces) });
      refuses('TLS_ERR_INTERNAL', () => write.seal(DATA, pattern(30), 0, 30, new Uint8Array(40), 0));
      const record = sealed(write, DATA, pattern(30));
      assert.equal(nonces.length, 2);
      assert.equal(toHex(record), toHex(independentRecord({ suite, sequence: 0n, type: DATA, content: pattern(30) })));
    });
  });
}

describe('TLS 1.2 sequence numbers', () => {
  it('are 64 bits in nonce and additional data, also beyond 2^32, without a gap', () => {
    const edges = [0, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 48 - 1, 2 ** 53 - 1];
    const sequence = fc.oneof(fc.constantFrom(...edges), fc.nat({ max: Number.MAX_SAFE_INTEGER }));
    fc.assert(
      fc.property(fc.constantFrom(gcm, chacha), sequence, (suite, number) => {
        const counter = new RecordCounter(suite.aead, trafficKeys(suite).writeIv.expose(), Number.MAX_SAFE_INTEGER);
        counter.sequenceNumber = number;
        const additionalData = counter.prepare(DATA, 0x1234);
        assert.equal(toHex(counter.nonce), toHex(independentNonce(suite, BigInt(number))));
        assert.equal(toHex(additionalData), `${number.toString(16).padStart(16, '0')}1703031234`);
      }),
    );
  });
});

describe('TLS 1.2 explicit nonces', () => {
  it('are the sequence number when we write', () => {
    const write = sealer({ suite: gcm });
    for (let sequence = 0; sequence < 300; sequence++) {
      const record = sealed(write, DATA, pattern(3));
      assert.equal(toHex(record.subarray(5, 13)), sequence.toString(16).padStart(16, '0'));
    }
  });

  it('are the choice of the peer when we read: the order is held by the additional data', () => {
    const read = opener({ suite: gcm });
    const chosen = [2n ** 64n - 1n, 7n, 0x0123_4567_89ab_cdefn, 1n];
    const record = (sequence: bigint, explicit: bigint) =>
      asRecord(independentRecord({ suite: gcm, sequence, explicit, type: DATA, content: pattern(9) }));
    for (const [sequence, explicit] of chosen.entries()) {
      assert.deepEqual([...read.open(record(BigInt(sequence), explicit)).content], [...pattern(9)]);
    }
    refuses('TLS_ERR_BAD_RECORD_MAC', () => read.open(record(0n, 99n)));
  });

  it('do not stand in a ChaCha20-Poly1305 record', () => {
    assert.equal(sealed(sealer({ suite: chacha }), DATA, pattern(10)).length, 5 + 10 + 16);
    assert.equal(sealed(sealer({ suite: gcm }), DATA, pattern(10)).length, 5 + 8 + 10 + 16);
  });
});

/** A provider that notes the nonces it is asked to seal under. */
function watching(nonces: string[]): CryptoProvider {
  return {
    ...nodeProvider,
    aead: (name: CipherSuite12['aead'], key) => {
      const real = nodeProvider.aead(name, key);
      return {
        seal: (nonce, aad, plaintext, out, offset) => {
          nonces.push(toHex(nonce));
          real.seal(nonce, aad, plaintext, out, offset);
        },
        open: (nonce, aad, bytes) => real.open(nonce, aad, bytes),
        erase: (why) => real.erase(why),
      };
    },
  };
}
