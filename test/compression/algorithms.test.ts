/** Compression by the provider: what it gives back, and what it refuses to unfold. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';

const { certificateCompressions, compress, decompress } = nodeProvider;
const chain = concat(utf8('a name that comes again '.repeat(100)), new Uint8Array(randomBytes(1500)));

describe('certificate compression', () => {
  test('has brotli and zlib everywhere', () => {
    assert.ok(certificateCompressions.includes('brotli') && certificateCompressions.includes('zlib'));
  });

  for (const algorithm of certificateCompressions) {
    const folded = compress(algorithm, chain);

    test(`by ${algorithm} gives back what went in, in memory of its own`, () => {
      assert.ok(folded.length < chain.length);
      const unfolded = decompress(algorithm, folded, chain.length);
      assert.deepEqual(unfolded, chain);
      assert.equal(unfolded?.constructor, Uint8Array);
      assert.equal(unfolded?.buffer.byteLength, chain.length);
    });

    test(`by ${algorithm} unfolds to exactly the length that is said, or not at all`, () => {
      assert.equal(decompress(algorithm, folded, chain.length - 1), undefined);
      assert.equal(decompress(algorithm, folded, chain.length + 1), undefined);
      assert.equal(decompress(algorithm, folded, 0), undefined);
    });

    test(`by ${algorithm} is refused when it is cut short, goes on, or is something else`, () => {
      assert.equal(decompress(algorithm, folded.subarray(0, folded.length - 1), chain.length), undefined);
      assert.equal(decompress(algorithm, concat(folded, Uint8Array.of(0)), chain.length), undefined);
      assert.equal(decompress(algorithm, concat(folded, folded), chain.length), undefined);
      assert.equal(decompress(algorithm, new Uint8Array(0), chain.length), undefined);
      assert.equal(decompress(algorithm, chain, chain.length), undefined);
    });

    test(`a bomb of ${algorithm} takes no more memory than the length that was allowed`, () => {
      const bomb = compress(algorithm, new Uint8Array(200_000_000));
      const before = process.memoryUsage();
      for (let i = 0; i < 10; i++) {
        assert.equal(decompress(algorithm, bomb, 100 * 1024), undefined);
      }
      const after = process.memoryUsage();
      assert.ok(after.arrayBuffers - before.arrayBuffers < 20_000_000, 'ten times 100 KiB, and not 200 MB');
    });
  }
});
