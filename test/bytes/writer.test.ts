import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { concat, fromHex, sameBytes, toHex, utf8 } from '../../src/bytes/bytes.ts';
import { Reader } from '../../src/bytes/reader.ts';
import { Writer } from '../../src/bytes/writer.ts';
import { refuses } from '../support/refusals.ts';

describe('Writer', () => {
  it('writes integers in network order, however small its first buffer', () => {
    for (const capacity of [0, 1, 5, 64]) {
      const writer = new Writer(capacity);
      writer.u8(1).u16(0x0203).u24(0x040506).u32(0xf7080910).u64(Number.MAX_SAFE_INTEGER);
      assert.equal(writer.length, 18);
      assert.equal(toHex(writer.finish()), '010203040506f7080910001fffffffffffff');
    }
  });

  it('fills in the length of nested vectors when they close', () => {
    const writer = new Writer(1);
    const outer = writer.open(3);
    const inner = writer.open(1);
    writer.u16(0xabcd);
    writer.close(inner, 1);
    const empty = writer.open(2);
    writer.close(empty, 2);
    writer.close(outer, 3);
    assert.equal(toHex(writer.finish()), '00000502abcd0000');
  });

  it('refuses a vector that does not fit its length field', () => {
    refuses('TLS_ERR_INTERNAL', () => new Writer().vector8(new Uint8Array(256)));
    refuses('TLS_ERR_INTERNAL', () => new Writer().vector16(new Uint8Array(2 ** 16)));
    refuses('TLS_ERR_INTERNAL', () => new Writer().vector24(new Uint8Array(2 ** 24)));
    const writer = new Writer();
    const mark = writer.open(1);
    writer.zeros(256);
    refuses('TLS_ERR_INTERNAL', () => writer.close(mark, 1));
    assert.equal(new Writer().vector8(new Uint8Array(255)).length, 256);
  });

  it('writes zeros where an earlier buffer held something else', () => {
    const writer = new Writer(4);
    writer.u32(0xffffffff).zeros(9).u8(1);
    assert.equal(toHex(writer.finish()), `ffffffff${'00'.repeat(9)}01`);
  });

  it('what it writes the Reader reads', () => {
    const u53 = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(u53, u32, fc.uint8Array({ maxLength: 255 }), fc.uint8Array({ maxLength: 700 }), (a, b, c, d) => {
        const bytes = new Writer(0).u64(a).u32(b).vector8(c).vector16(d).vector24(d).bytes(c).finish();
        const reader = new Reader(bytes, 'Test');
        assert.equal(reader.u64('a'), a);
        assert.equal(reader.u32('b'), b);
        assert.deepEqual(reader.vector8('c'), c);
        assert.deepEqual(reader.vector16('d'), d);
        assert.deepEqual(reader.vector24('e'), d);
        assert.deepEqual(reader.rest(), c);
        reader.end();
      }),
    );
  });
});

describe('byte helpers', () => {
  it('concat joins copies', () => {
    const first = Uint8Array.of(1, 2);
    const joined = concat(first, new Uint8Array(0), Uint8Array.of(3));
    first[0] = 9;
    assert.deepEqual([...joined], [1, 2, 3]);
    assert.equal(concat().length, 0);
  });

  it('sameBytes compares length and every byte', () => {
    assert.equal(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true);
    assert.equal(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)), false);
    assert.equal(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1)), false);
  });

  it('hex and text come back', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.deepEqual(fromHex(toHex(bytes)), bytes)));
    assert.deepEqual([...fromHex('00 ff\n10')], [0, 255, 16]);
    assert.deepEqual([...utf8('é')], [0xc3, 0xa9]);
  });
});
