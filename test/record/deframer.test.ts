import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { concat, toHex, utf8 } from '../../src/bytes/bytes.ts';
import { Deframer } from '../../src/record/deframer.ts';
import { MAX_CIPHERTEXT, MAX_PLAINTEXT } from '../../src/record/limits.ts';
import { refuses } from '../support/refusals.ts';
import { pattern, recordBytes } from './support.ts';

/** Feeds the chunks one call at a time and copies what comes out, as a connection would use it. */
function deframe(chunks: readonly Uint8Array[], deframer = new Deframer()): string[] {
  const seen: string[] = [];
  for (const chunk of chunks) {
    // The transport reuses its memory: a record or a rest that still points into it would change.
    const lent = new Uint8Array(chunk);
    deframer.lend(lent);
    for (let record = deframer.next(); record !== undefined; record = deframer.next()) {
      seen.push(`${record.type} ${toHex(record.header)} ${toHex(record.fragment)}`);
    }
    deframer.retain();
    lent.fill(0xee);
  }
  return seen;
}

const hello = recordBytes(22, pattern(40), 40, 0x0301);
const ccs = recordBytes(20, Uint8Array.of(1));
const data = recordBytes(23, pattern(60, 9));
const empty = recordBytes(23, new Uint8Array(0));
const stream = concat(hello, ccs, empty, data);
const whole = deframe([stream]);

describe('Deframer', () => {
  it('cuts several records out of one chunk', () => {
    assert.deepEqual(whole, [
      `22 1603010028 ${toHex(pattern(40))}`,
      '20 1403030001 01',
      '23 1703030000 ',
      `23 170303003c ${toHex(pattern(60, 9))}`,
    ]);
  });

  it('gives the same records for a cut at every byte boundary', () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      assert.deepEqual(deframe([stream.subarray(0, cut), stream.subarray(cut)]), whole, `cut at ${cut}`);
    }
  });

  it('gives the same records for two cuts at every pair of byte boundaries', () => {
    const short = concat(recordBytes(22, pattern(9)), ccs, recordBytes(21, Uint8Array.of(1, 0)));
    const expected = deframe([short]);
    for (let first = 0; first <= short.length; first++) {
      for (let second = first; second <= short.length; second++) {
        const chunks = [short.subarray(0, first), short.subarray(first, second), short.subarray(second)];
        assert.deepEqual(deframe(chunks), expected, `cuts at ${first} and ${second}`);
      }
    }
  });

  it('gives the same records when the bytes trickle one by one', () => {
    assert.deepEqual(deframe(Array.from(stream, (byte) => Uint8Array.of(byte))), whole);
  });

  it('gives the same records for any cuts, also when nothing is read between them', () => {
    const cuts = fc.array(fc.record({ at: fc.nat({ max: stream.length }), read: fc.boolean() }), { maxLength: 8 });
    fc.assert(
      fc.property(cuts, (places) => {
        const deframer = new Deframer();
        const seen: string[] = [];
        let from = 0;
        const ordered = [...places].sort((a, b) => a.at - b.at);
        for (const { at, read } of [...ordered, { at: stream.length, read: true }]) {
          const lent = stream.slice(from, at);
          deframer.lend(lent);
          // A host's answer may be awaited: then the bytes are kept unread.
          for (let record = read ? deframer.next() : undefined; record !== undefined; record = deframer.next()) {
            seen.push(`${record.type} ${toHex(record.header)} ${toHex(record.fragment)}`);
          }
          deframer.retain();
          lent.fill(0xee);
          from = at;
        }
        assert.deepEqual(seen, whole);
        assert.equal(deframer.buffered, 0);
      }),
    );
  });

  it('reads kept records without any new bytes', () => {
    const deframer = new Deframer();
    deframer.lend(stream);
    deframer.retain();
    assert.equal(deframer.buffered, stream.length);
    let count = 0;
    while (deframer.next() !== undefined) {
      count++;
    }
    assert.equal(count, 4);
    assert.equal(deframer.buffered, 0);
  });

  it('lends views of a record that arrived whole and copies only what is left over', () => {
    const deframer = new Deframer();
    const chunk = concat(data, hello.subarray(0, 7));
    deframer.lend(chunk);
    const record = deframer.next();
    assert.equal(record?.fragment.buffer, chunk.buffer);
    assert.equal(deframer.next(), undefined);
    deframer.retain();
    assert.equal(deframer.buffered, 7);
    chunk.fill(0xee);
    deframer.lend(hello.subarray(7));
    assert.equal(toHex(deframer.next()?.fragment ?? new Uint8Array(0)), toHex(pattern(40)));
  });

  it('leaves a record that was completed from kept bytes alone while later bytes are kept', () => {
    const deframer = new Deframer();
    deframer.lend(hello.subarray(0, 10));
    deframer.retain();
    deframer.lend(concat(hello.subarray(10), data.subarray(0, 30)));
    const first = deframer.next();
    assert.equal(deframer.next(), undefined);
    deframer.retain();
    deframer.lend(data.subarray(30));
    const second = deframer.next();
    assert.equal(toHex(first?.fragment ?? new Uint8Array(0)), toHex(pattern(40)));
    assert.equal(toHex(second?.fragment ?? new Uint8Array(0)), toHex(pattern(60, 9)));
  });

  it('refuses a second loan while the first is not given back', () => {
    const deframer = new Deframer();
    deframer.lend(hello);
    refuses('TLS_ERR_INTERNAL', () => deframer.lend(hello));
    deframer.retain();
    deframer.lend(new Uint8Array(0));
  });

  it('forgets everything when cleared', () => {
    const deframer = new Deframer();
    deframer.lend(hello.subarray(0, 20));
    deframer.retain();
    deframer.clear();
    assert.equal(deframer.buffered, 0);
    assert.equal(deframer.next(), undefined);
    assert.deepEqual(deframe([data], deframer), [whole[3]]);
  });

  it('refuses an oversized record from its header alone', () => {
    const header = (type: number, length: number) => recordBytes(type, new Uint8Array(0), length);
    for (const type of [20, 21, 22]) {
      assert.deepEqual(deframe([header(type, MAX_PLAINTEXT)]), []);
      refuses('TLS_ERR_RECORD_OVERFLOW', () => deframe([header(type, MAX_PLAINTEXT + 1)]));
    }
    assert.deepEqual(deframe([header(23, MAX_CIPHERTEXT)]), []);
    refuses('TLS_ERR_RECORD_OVERFLOW', () => deframe([header(23, MAX_CIPHERTEXT + 1)]));
    refuses('TLS_ERR_RECORD_OVERFLOW', () => deframe([header(23, 0xffff)]));
    const trickled = header(23, MAX_CIPHERTEXT + 1);
    refuses('TLS_ERR_RECORD_OVERFLOW', () => deframe(Array.from(trickled, (byte) => Uint8Array.of(byte))));
  });

  it('refuses an unknown content type from its first byte', () => {
    for (const type of [0, 19, 24, 128, 255]) {
      refuses('TLS_ERR_RECORD_TYPE', () => deframe([concat(hello, Uint8Array.of(type))]));
      refuses('TLS_ERR_RECORD_TYPE', () => deframe([hello, Uint8Array.of(type)]));
      refuses('TLS_ERR_RECORD_TYPE', () => deframe([concat(hello, recordBytes(type, pattern(3)))]));
    }
  });

  it('says that a peer whose first bytes are no record does not speak TLS', () => {
    const notTls = ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'PRI * HTTP/2.0\r\n', 'SSH-2.0-x\r\n', '\0', '\x80\x2e\x01'];
    for (const text of notTls) {
      refuses('TLS_ERR_NOT_TLS', () => deframe([utf8(text)]));
      refuses('TLS_ERR_NOT_TLS', () => deframe([utf8(text).subarray(0, 1)]));
    }
    refuses('TLS_ERR_NOT_TLS', () => deframe([recordBytes(22, pattern(3), 3, 0x0200)]));
    refuses('TLS_ERR_NOT_TLS', () =>
      deframe(Array.from(recordBytes(22, pattern(3), 3, 0x4854), (b) => Uint8Array.of(b))),
    );
  });

  it('refuses another major version in a later record, and ignores the minor version', () => {
    refuses('TLS_ERR_DECODE', () => deframe([concat(hello, recordBytes(23, pattern(3), 3, 0x0403))]));
    for (const version of [0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x03ff]) {
      assert.equal(deframe([recordBytes(22, pattern(3), 3, version)]).length, 1);
    }
  });
});
