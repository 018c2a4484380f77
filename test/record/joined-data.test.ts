import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concat, toHex } from '../../src/bytes/bytes.ts';
import { Deframer } from '../../src/record/deframer.ts';
import { JoinedData } from '../../src/record/joined-data.ts';
import { pattern, recordBytes } from './support.ts';

const OVERHEAD = 17;

/** Lends records that stand for protected ones in one call, and joins what each of them would be opened into. */
function join(contents: readonly Uint8Array[], padding = 0): { pieces: Uint8Array[]; opened: Uint8Array[] } {
  const deframer = new Deframer();
  const pieces: Uint8Array[] = [];
  const opened: Uint8Array[] = [];
  const joined = new JoinedData(deframer, (bytes) => pieces.push(bytes));
  deframer.lend(concat(...contents.map(({ length }) => recordBytes(23, new Uint8Array(length + padding + OVERHEAD)))));
  for (const content of contents) {
    assert.notEqual(deframer.next(), undefined);
    // As the cipher gives it: on an allocation of its own, with the content type behind.
    const inner = new Uint8Array(content.length + 1 + padding);
    inner.set(content);
    opened.push(inner);
    joined.add(inner.subarray(0, content.length));
  }
  joined.flush();
  joined.flush();
  return { pieces, opened };
}

describe('data of several records', () => {
  it('is handed on in one piece and in order', () => {
    const contents = [pattern(5), pattern(1, 9), pattern(16_384, 3), pattern(700)];
    const { pieces } = join(contents);
    assert.equal(pieces.length, 1);
    assert.equal(toHex(pieces[0]), toHex(concat(...contents)));
  });

  it('comes in pieces of at most 64 KiB, of which four full records fill one', () => {
    const contents = Array.from({ length: 9 }, (_, i) => pattern(16_384, i));
    const { pieces } = join(contents);
    assert.deepEqual(
      pieces.map(({ length }) => length),
      [65_536, 65_536, 16_384],
    );
    assert.equal(toHex(concat(...pieces)), toHex(concat(...contents)));
  });

  it('keeps its order where records do not fill a piece evenly', () => {
    const contents = Array.from({ length: 60 }, (_, i) => pattern(1 + ((i * 2_741) % 16_384), i));
    const { pieces } = join(contents);
    assert.ok(pieces.every(({ length }) => length <= 65_536));
    assert.equal(toHex(concat(...pieces)), toHex(concat(...contents)));
  });

  it('of one record alone is the very memory it was opened into', () => {
    const { pieces, opened } = join([pattern(16_384)]);
    assert.equal(pieces[0].buffer, opened[0].buffer);
  });

  it('gives back what large records were opened into, and lets nobody see what lay in its memory before', () => {
    const { pieces, opened } = join([pattern(16_384), pattern(16_384)]);
    assert.deepEqual(
      opened.map(({ buffer }) => buffer.byteLength),
      [0, 0],
    );
    assert.equal(pieces[0].length, 32_768);
    // Padding makes room for more than there is.
    const padded = join([pattern(3_000), pattern(3_000)], 2_000).pieces[0];
    assert.equal(padded.length, 6_000);
    assert.ok(padded.buffer.byteLength > 6_000);
    assert.ok(new Uint8Array(padded.buffer).subarray(6_000).every((byte) => byte === 0));
  });

  it('that padding would keep on much more memory is handed on without it', () => {
    for (const count of [1, 5]) {
      const contents = Array.from({ length: count }, (_, i) => pattern(1, i));
      const { pieces } = join(contents, 16_000);
      assert.equal(toHex(concat(...pieces)), toHex(concat(...contents)));
      assert.ok(pieces.every(({ length, buffer }) => buffer.byteLength === length));
    }
  });

  it('does not wait for a record that is not whole', () => {
    const deframer = new Deframer();
    const pieces: Uint8Array[] = [];
    const joined = new JoinedData(deframer, (bytes) => pieces.push(bytes));
    const whole = recordBytes(23, new Uint8Array(30 + OVERHEAD));
    deframer.lend(concat(whole, whole.subarray(0, 20)));
    deframer.next();
    joined.add(pattern(30));
    assert.equal(pieces.length, 1);
  });
});

describe('records that come in pieces', () => {
  it('are read from memory that is used again, without one seeing the other', () => {
    const deframer = new Deframer();
    const other = new Deframer();
    const records = Array.from({ length: 40 }, (_, i) => recordBytes(23, pattern(5_000 + ((i * 997) % 11_000), i)));
    const seen: string[] = [];
    const seenByOther: string[] = [];
    const feed = (into: Deframer, bytes: Uint8Array, to: string[]): void => {
      const lent = new Uint8Array(bytes);
      into.lend(lent);
      for (let record = into.next(); record !== undefined; record = into.next()) {
        to.push(toHex(record.fragment));
      }
      into.retain();
      lent.fill(0xee);
    };
    const stream = concat(...records);
    for (let at = 0; at < stream.length; at += 7_001) {
      feed(deframer, stream.subarray(at, at + 7_001), seen);
      feed(other, stream.subarray(at, at + 7_001), seenByOther);
    }
    const expected = records.map((record) => toHex(record.subarray(5)));
    assert.deepEqual(seen, expected);
    assert.deepEqual(seenByOther, expected);
    assert.equal(deframer.buffered, 0);
  });
});
