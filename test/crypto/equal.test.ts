import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { equal } from '../../src/crypto/equal.ts';

describe('Equality in constant time', () => {
  for (const length of [0, 1, 12, 32, 48, 64, 65, 1000]) {
    it(`tells ${length} bytes from any that differ in one bit, wherever it is`, () => {
      const bytes = Uint8Array.from({ length }, (_, i) => (7 * i) & 0xff);
      assert.equal(equal(bytes, Uint8Array.from(bytes)), true);
      for (let at = 0; at < length; at++) {
        const other = Uint8Array.from(bytes);
        other[at] ^= 1 << (at & 7);
        assert.equal(equal(bytes, other), false);
        assert.equal(equal(other, bytes), false);
      }
    });
  }

  it('does not hold for another length, be it the beginning of the same bytes', () => {
    assert.equal(equal(new Uint8Array(12), new Uint8Array(13)), false);
    assert.equal(equal(new Uint8Array(0), new Uint8Array(1)), false);
  });

  it('is not misled by what was compared before', () => {
    const long = new Uint8Array(64).fill(5);
    equal(long, long);
    assert.equal(equal(new Uint8Array(12), new Uint8Array(12)), true);
    assert.equal(equal(new Uint8Array(12), new Uint8Array(12).fill(5)), false);
  });
});
