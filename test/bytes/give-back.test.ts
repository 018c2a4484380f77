import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { giveBack } from '../../src/bytes/give-back.ts';

describe('memory given back', () => {
  it('an allocation of its own is gone at once', () => {
    for (const length of [4096, 16_401, 1_000_000]) {
      const output = new Uint8Array(length);
      giveBack(output);
      assert.equal(output.buffer.byteLength, 0);
    }
  });

  it('a slice of something larger stays, as do its neighbours', () => {
    const slab = new Uint8Array(65_536).fill(7);
    giveBack(slab.subarray(0, 16_384));
    giveBack(slab.subarray(16_384));
    assert.equal(slab.length, 65_536);
    assert.ok(slab.every((byte) => byte === 7));
  });

  it('what is small is left to the collector', () => {
    const small = new Uint8Array(100).fill(7);
    giveBack(small);
    assert.equal(small[99], 7);
  });
});
