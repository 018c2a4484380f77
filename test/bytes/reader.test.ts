import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Reader } from '../../src/bytes/reader.ts';
import { TLSError } from '../../src/errors.ts';
import { refuses } from '../support/refusals.ts';

const counting = Uint8Array.from({ length: 32 }, (_, i) => i);

describe('Reader', () => {
  it('reads integers of every width in network order', () => {
    const reader = new Reader(Uint8Array.of(0xff, 1, 2, 0xfe, 3, 4, 0xfd, 5, 6, 7), 'Test');
    assert.equal(reader.u8('a'), 0xff);
    assert.equal(reader.u16('b'), 0x0102);
    assert.equal(reader.u24('c'), 0xfe0304);
    assert.equal(reader.u32('d'), 0xfd050607);
    reader.end();
  });

  it('reads 64-bit integers up to 2^53 - 1 and refuses larger ones', () => {
    const largest = Uint8Array.of(0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    assert.equal(new Reader(largest, 'Test').u64('n'), Number.MAX_SAFE_INTEGER);
    refuses('TLS_ERR_DECODE', () => new Reader(Uint8Array.of(0, 0x20, 0, 0, 0, 0, 0, 0), 'Test').u64('n'));
    refuses('TLS_ERR_DECODE', () => new Reader(new Uint8Array(8).fill(0xff), 'Test').u64('n'));
  });

  it('refuses to read beyond its end, at every width, and does not move', () => {
    const reads: [number, (reader: Reader) => unknown][] = [
      [1, (reader) => reader.u8('n')],
      [2, (reader) => reader.u16('n')],
      [3, (reader) => reader.u24('n')],
      [4, (reader) => reader.u32('n')],
      [8, (reader) => reader.u64('n')],
      [5, (reader) => reader.bytes(5, 'n')],
    ];
    for (const [width, read] of reads) {
      for (let length = 0; length < width; length++) {
        const error = refuses('TLS_ERR_DECODE', () => read(new Reader(counting.subarray(0, length), 'Test')));
        assert.match(error.message, /^Test\.n: needs/);
      }
    }
    const reader = new Reader(Uint8Array.of(1), 'Test');
    refuses('TLS_ERR_DECODE', () => reader.u16('n'));
    assert.equal(reader.u8('n'), 1);
  });

  it('stays within the window it was given', () => {
    const reader = new Reader(counting, 'Test', 4, 8);
    assert.equal(reader.remaining, 4);
    assert.equal(reader.u32('n'), 0x04050607);
    refuses('TLS_ERR_DECODE', () => reader.u8('beyond'));
  });

  it('reads vectors of each length width as views and names a length that is out of bounds', () => {
    const reader = new Reader(Uint8Array.of(1, 9, 0, 2, 8, 7, 0, 0, 1, 6), 'Test');
    assert.deepEqual([...reader.vector8('a')], [9]);
    const view = reader.vector16('b');
    assert.deepEqual([...view], [8, 7]);
    assert.deepEqual([...reader.vector24('c')], [6]);
    reader.end();
    const long = refuses('TLS_ERR_DECODE', () => new Reader(Uint8Array.of(3, 1, 2, 3), 'Test').vector8('list', 0, 2));
    assert.equal(long.message, 'Test.list: length 3 is outside 0..2');
    refuses('TLS_ERR_DECODE', () => new Reader(Uint8Array.of(0), 'Test').vector8('list', 1));
    refuses('TLS_ERR_DECODE', () => new Reader(Uint8Array.of(0, 4, 1, 2, 3), 'Test').vector16('list'));
    refuses('TLS_ERR_DECODE', () => new Reader(Uint8Array.of(0xff, 0xff, 0xff), 'Test').vector24('list'));
  });

  it('demands that a nested vector is consumed exactly, and names it by its path', () => {
    const outer = new Reader(Uint8Array.of(0, 3, 1, 2, 3, 9), 'Hello');
    const inner = outer.nested16('extensions');
    assert.equal(inner.what, 'Hello.extensions');
    inner.u16('n');
    assert.match(refuses('TLS_ERR_DECODE', () => inner.end()).message, /^Hello\.extensions: 1 bytes follow/);
    inner.u8('n');
    inner.end();
    refuses('TLS_ERR_DECODE', () => inner.u8('outside'));
    assert.equal(outer.u8('after'), 9);
    outer.end();
    assert.equal(new Reader(Uint8Array.of(1, 5), 'T').nested8('n').u8('x'), 5);
    assert.equal(new Reader(Uint8Array.of(0, 0, 1, 5), 'T').nested24('n').u8('x'), 5);
  });

  it('fails by TLSError and by nothing else on any bytes and any sequence of reads', () => {
    const names = ['u8', 'u16', 'u24', 'u32', 'u64', 'vector8', 'vector16', 'vector24', 'nested16', 'rest'] as const;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.array(fc.constantFrom(...names)), (bytes, calls) => {
        const reader = new Reader(bytes, 'Any');
        try {
          for (const name of calls) {
            reader[name]('field');
          }
          reader.end();
          assert.equal(reader.offset, bytes.length);
        } catch (error) {
          assert.ok(error instanceof TLSError && error.code === 'TLS_ERR_DECODE', String(error));
        }
      }),
    );
  });
});
