import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { concat, toHex } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import { cipherSuites } from '../../src/crypto/suites.ts';
import { CONTENT_ALERT, CONTENT_APPLICATION_DATA, CONTENT_HANDSHAKE } from '../../src/record/limits.ts';
import { NonceCounter, RecordOpener, RecordSealer } from '../../src/record/tls13-protection.ts';
import { refuses } from '../support/refusals.ts';
import {
  asRecord,
  gcm,
  IV,
  independentNonce,
  MAX_INNER,
  opener,
  pattern,
  recordBytes,
  sealed,
  sealer,
  sealInner,
  suites,
  trafficKeys,
} from './support.ts';

const DATA = CONTENT_APPLICATION_DATA;

describe('record protection', () => {
  for (const suite of suites) {
    it(`${suite.name}: what is sealed opens again, with its type, in order`, () => {
      const write = sealer({ suite });
      const read = opener({ suite });
      const contents = [pattern(0), pattern(1), pattern(100, 5), pattern(2 ** 14, 1)];
      for (const type of [CONTENT_HANDSHAKE, CONTENT_ALERT, DATA]) {
        for (const content of contents) {
          const opened = read.open(asRecord(sealed(write, type, content)));
          assert.equal(opened.type, type);
          assert.ok(Buffer.from(opened.content).equals(content));
        }
      }
    });

    it(`${suite.name}: a record is what its definition says, byte for byte`, () => {
      const write = sealer({ suite });
      sealed(write, DATA, pattern(3));
      const record = sealed(write, CONTENT_HANDSHAKE, pattern(40));
      const header = Uint8Array.of(23, 3, 3, 0, 57);
      const { writeKey } = trafficKeys(suite);
      const cipher = createCipheriv(suite.aead as 'aes-128-gcm', writeKey.expose(), independentNonce(IV, 1n), {
        authTagLength: 16,
      });
      cipher.setAAD(header);
      const expected = Buffer.concat([
        header,
        cipher.update(concat(pattern(40), Uint8Array.of(22))),
        cipher.final(),
        cipher.getAuthTag(),
      ]);
      assert.equal(toHex(record), expected.toString('hex'));
    });
  }

  it('seals a part of the data at a place in the output and touches nothing else', () => {
    const data = pattern(100);
    const out = new Uint8Array(200).fill(0xcc);
    const end = sealer().seal(DATA, data, 10, 60, out, 7);
    assert.equal(end, 7 + 50 + 22);
    assert.ok(out.subarray(0, 7).every((byte) => byte === 0xcc) && out.subarray(end).every((byte) => byte === 0xcc));
    assert.deepEqual([...opener().open(asRecord(out.slice(7, end))).content], [...data.subarray(10, 60)]);
    assert.deepEqual(data, pattern(100));
  });

  it('takes its keys over, and gives up its own when it is erased', () => {
    const mine = trafficKeys();
    const yours = trafficKeys();
    const write = new RecordSealer(nodeProvider, gcm.aead, mine, gcm.usageLimit);
    const read = new RecordOpener(nodeProvider, gcm.aead, yours, gcm.usageLimit, MAX_INNER);
    for (const secret of [mine.writeKey, mine.writeIv, yours.writeKey, yours.writeIv]) {
      assert.equal(secret.erased, true);
    }
    const record = asRecord(sealed(write, DATA, pattern(1)));
    write.erase('test');
    read.erase('test');
    refuses('TLS_ERR_SECRET_ERASED', () => sealed(write, DATA, pattern(1)));
    refuses('TLS_ERR_SECRET_ERASED', () => read.open(record));
  });

  it('gives content in memory of its own: the record it came in may be overwritten', () => {
    const record = sealed(sealer(), DATA, pattern(50));
    const { content } = opener().open(asRecord(record));
    record.fill(0xee);
    assert.deepEqual([...content], [...pattern(50)]);
  });
});

describe('nonces', () => {
  it('equal an independent computation for any IV and sequence number, also beyond 2^32', () => {
    const edges = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 33 - 1, 2 ** 48, 2 ** 53 - 2];
    const sequence = fc.oneof(fc.constantFrom(...edges), fc.nat({ max: Number.MAX_SAFE_INTEGER - 1 }));
    const iv = fc.uint8Array({ minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(iv, sequence, (bytes, start) => {
        const counter = new NonceCounter(Uint8Array.from(bytes));
        counter.sequenceNumber = start;
        assert.equal(toHex(counter.advance()), toHex(independentNonce(bytes, BigInt(start))));
        assert.equal(counter.sequenceNumber, start + 1);
      }),
    );
  });

  it('count across 2^32 without a gap or a repetition', () => {
    const counter = new NonceCounter(Uint8Array.from(IV));
    counter.sequenceNumber = 2 ** 32 - 3;
    for (let sequence = 2n ** 32n - 3n; sequence < 2n ** 32n + 3n; sequence++) {
      assert.equal(toHex(counter.advance()), toHex(independentNonce(IV, sequence)));
    }
  });

  it('are used by sealer and opener from 0, one per record', () => {
    const seen: string[] = [];
    const watching: CryptoProvider = {
      ...nodeProvider,
      aead: (name, key) => {
        const inner = nodeProvider.aead(name, key);
        return {
          seal: (nonce, aad, plaintext, out, at) => {
            seen.push(toHex(nonce));
            inner.seal(nonce, aad, plaintext, out, at);
          },
          open: (nonce, aad, bytes) => {
            seen.push(toHex(nonce));
            return inner.open(nonce, aad, bytes);
          },
          erase: (why) => inner.erase(why),
        };
      },
    };
    const write = sealer({ provider: watching });
    const read = opener({ provider: watching });
    for (let count = 0; count < 300; count++) {
      read.open(asRecord(sealed(write, DATA, pattern(1))));
    }
    const expected = Array.from({ length: 600 }, (_, i) => toHex(independentNonce(IV, BigInt(i >> 1))));
    assert.deepEqual(seen, expected);
  });

  it('forget the IV when they are erased', () => {
    const counter = new NonceCounter(Uint8Array.from(IV));
    counter.advance();
    counter.erase();
    assert.deepEqual(counter.nonce, new Uint8Array(12));
  });
});

describe('an opener refuses', () => {
  const record = sealed(sealer(), DATA, pattern(30));

  it('a record with one bit flipped, whichever bit it is', () => {
    for (let at = 0; at < record.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = record.slice();
        flipped[at] ^= 1 << bit;
        refuses('TLS_ERR_BAD_RECORD_MAC', () => opener().open(asRecord(flipped)));
      }
    }
    opener().open(asRecord(record));
  });

  it('a record that was cut short, at every length', () => {
    for (let length = 0; length < record.length - 5; length++) {
      refuses('TLS_ERR_BAD_RECORD_MAC', () => opener().open(asRecord(recordBytes(23, record.subarray(5, 5 + length)))));
      refuses('TLS_ERR_BAD_RECORD_MAC', () => opener().open(asRecord(record.subarray(0, 5 + length))));
    }
  });

  it('a record that was made longer', () => {
    const longer = recordBytes(23, concat(record.subarray(5), Uint8Array.of(0)));
    refuses('TLS_ERR_BAD_RECORD_MAC', () => opener().open(asRecord(longer)));
  });

  it('reordered, repeated and dropped records', () => {
    const write = sealer();
    const [first, second, third] = [1, 2, 3].map((count) => asRecord(sealed(write, DATA, pattern(count))));
    refuses('TLS_ERR_BAD_RECORD_MAC', () => opener().open(second));
    const repeating = opener();
    repeating.open(first);
    refuses('TLS_ERR_BAD_RECORD_MAC', () => repeating.open(first));
    const dropping = opener();
    dropping.open(first);
    refuses('TLS_ERR_BAD_RECORD_MAC', () => dropping.open(third));
  });

  it('a record of another key or suite', () => {
    const other = sealed(sealer({ suite: cipherSuites.TLS_AES_256_GCM_SHA384 }), DATA, pattern(30));
    refuses('TLS_ERR_BAD_RECORD_MAC', () => opener().open(asRecord(other)));
  });

  it('an inner plaintext of nothing but zeros, as it has no content type', () => {
    for (const length of [1, 2, 100, MAX_INNER]) {
      const error = refuses('TLS_ERR_RECORD_TYPE', () =>
        opener().open(asRecord(sealInner(gcm, 0n, new Uint8Array(length)))),
      );
      assert.equal(error.alert, 'unexpected_message');
    }
    refuses('TLS_ERR_BAD_RECORD_MAC', () => opener().open(asRecord(sealInner(gcm, 0n, new Uint8Array(0)))));
  });

  it('an inner plaintext above 2^14 + 1 bytes, padding included', () => {
    const inner = new Uint8Array(MAX_INNER + 1);
    inner[0] = 23;
    refuses('TLS_ERR_RECORD_OVERFLOW', () => opener().open(asRecord(sealInner(gcm, 0n, inner))));
    const largest = new Uint8Array(MAX_INNER);
    largest[0] = 23;
    assert.equal(opener().open(asRecord(sealInner(gcm, 0n, largest))).content.length, 0);
  });

  it('more than the record size limit that was agreed, and takes what just fits', () => {
    const maxInnerLength = 64;
    const read = opener({ maxInnerLength });
    const write = sealer();
    assert.equal(read.open(asRecord(sealed(write, DATA, pattern(63)))).content.length, 63);
    refuses('TLS_ERR_RECORD_OVERFLOW', () => read.open(asRecord(sealed(write, DATA, pattern(64)))));
  });
});

describe('padding', () => {
  it('is taken off, however long, and zeros of the content stay', () => {
    const content = Uint8Array.of(1, 0, 0);
    for (const zeros of [0, 1, 2, 255, 16_000]) {
      const inner = concat(content, Uint8Array.of(22), new Uint8Array(zeros));
      const opened = opener().open(asRecord(sealInner(gcm, 0n, inner)));
      assert.equal(opened.type, 22);
      assert.deepEqual([...opened.content], [...content]);
    }
  });

  it('may be all there is beside the type', () => {
    const opened = opener().open(asRecord(sealInner(gcm, 0n, Uint8Array.of(23, 0, 0, 0))));
    assert.deepEqual({ type: opened.type, length: opened.content.length }, { type: 23, length: 0 });
  });
});

describe('skipping what cannot be opened', () => {
  it('tryOpen leaves the sequence number alone for a record that is not authentic', () => {
    const write = sealer();
    const read = opener();
    const strange = asRecord(sealed(sealer({ suite: cipherSuites.TLS_AES_256_GCM_SHA384 }), DATA, pattern(9)));
    assert.equal(read.tryOpen(strange), undefined);
    assert.equal(read.tryOpen(strange), undefined);
    assert.equal(read.remaining, gcm.usageLimit);
    assert.equal(read.tryOpen(asRecord(sealed(write, DATA, pattern(5))))?.content.length, 5);
    assert.equal(read.open(asRecord(sealed(write, DATA, pattern(6)))).content.length, 6);
  });

  it('tryOpen gives nothing for a record too short for a tag, which open refuses', () => {
    const read = opener();
    for (const length of [0, 4, 16]) {
      const header = new Uint8Array([23, 3, 3, 0, length]);
      const short = asRecord(new Uint8Array([...header, ...pattern(length)]));
      assert.equal(read.tryOpen(short), undefined);
      refuses('TLS_ERR_BAD_RECORD_MAC', () => read.open(short));
    }
    assert.equal(read.remaining, gcm.usageLimit);
  });
});

describe('usage limit', () => {
  it('is never overrun by a sealer: the record is refused and nothing is written', () => {
    const write = sealer({ usageLimit: 3 });
    for (let left = 3; left > 0; left--) {
      assert.equal(write.remaining, left);
      sealed(write, DATA, pattern(1));
    }
    assert.equal(write.remaining, 0);
    const out = new Uint8Array(40);
    for (let again = 0; again < 3; again++) {
      refuses('TLS_ERR_USAGE_LIMIT', () => write.seal(DATA, pattern(1), 0, 1, out, 0));
    }
    assert.deepEqual(out, new Uint8Array(40));
  });

  it('of the peer is watched too', () => {
    const write = sealer();
    const read = opener({ usageLimit: 2 });
    read.open(asRecord(sealed(write, DATA, pattern(1))));
    read.open(asRecord(sealed(write, DATA, pattern(1))));
    const error = refuses('TLS_ERR_PEER_USAGE_LIMIT', () => read.open(asRecord(sealed(write, DATA, pattern(1)))));
    assert.equal(error.blame, 'peer');
  });

  it('of AES-GCM is at most 2^24.5 records, and every limit keeps the sequence number exact', () => {
    for (const suite of suites) {
      assert.ok(suite.usageLimit <= (suite.aead === 'chacha20-poly1305' ? 2 ** 53 - 1 : 2 ** 24.5));
      assert.ok(Number.isSafeInteger(suite.usageLimit));
    }
  });
});
