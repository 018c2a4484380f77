import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { shortLived } from '../../src/bytes/short-lived.ts';

describe('Short-lived bytes', () => {
  it('are zeros of the length asked for, and no two lie on the same memory', () => {
    const lengths = [0, 1, 36, 64, 65, 2048, 2560, 2561, 40_000];
    const cuts = Array.from({ length: 200 }, (_, i) => shortLived(lengths[i % lengths.length]));
    for (const [i, cut] of cuts.entries()) {
      assert.equal(cut.length, lengths[i % lengths.length]);
      assert.ok(cut.every((byte) => byte === 0));
      cut.fill(1 + (i % 250));
    }
    for (const [i, cut] of cuts.entries()) {
      assert.ok(cut.every((byte) => byte === 1 + (i % 250)));
    }
  });

  it('share a slab when they are short, and have memory of their own when they are long', () => {
    const buffers = new Set(Array.from({ length: 1000 }, () => shortLived(40).buffer));
    assert.ok(buffers.size <= 4, `${buffers.size} slabs for 40,000 bytes`);
    assert.equal(shortLived(5000).buffer.byteLength, 5000);
  });

  it('cannot be transferred: they would be gone for all who share the slab', () => {
    const cut = shortLived(40);
    cut.fill(7);
    try {
      structuredClone(cut, { transfer: [cut.buffer as ArrayBuffer] });
    } catch {
      // Newer Nodes say so; older ones make a copy.
    }
    assert.equal(cut.length, 40);
    assert.ok(cut.every((byte) => byte === 7));
  });
});
