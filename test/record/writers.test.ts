import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../src/bytes/bytes.ts';
import { Deframer } from '../../src/record/deframer.ts';
import { Outgoing } from '../../src/record/outgoing.ts';
import { PlaintextWriter } from '../../src/record/plaintext-writer.ts';
import { ProtectedWriter } from '../../src/record/protected-writer.ts';
import type { RecordOpener } from '../../src/record/tls13-protection.ts';
import { refuses } from '../support/refusals.ts';
import { opener, pattern, sealer } from './support.ts';

/** Opens everything in the bytes; returns type and length of each record and the content joined. */
function openAll(bytes: Uint8Array, read: RecordOpener): { lengths: number[]; content: Buffer } {
  const deframer = new Deframer();
  deframer.lend(bytes);
  const contents: Uint8Array[] = [];
  for (let record = deframer.next(); record !== undefined; record = deframer.next()) {
    contents.push(read.open(record).content);
  }
  assert.equal(deframer.buffered, 0);
  return { lengths: contents.map((content) => content.length), content: Buffer.concat(contents) };
}

describe('Outgoing', () => {
  it('gathers what is written between two calls into one piece', () => {
    const out = new Outgoing();
    assert.equal(out.take(), undefined);
    for (let count = 0; count < 2000; count++) {
      const at = out.reserve(3);
      out.bytes.set([count >> 8, count & 255, 9], at);
    }
    const taken = out.take();
    assert.equal(taken?.length, 6000);
    assert.deepEqual([...(taken ?? []).slice(5997)], [7, 207, 9]);
    assert.equal(out.take(), undefined);
  });

  it('keeps a flight that waits as it is, while others are gathered and taken', () => {
    const write = (out: Outgoing, value: number, length: number) => {
      const at = out.reserve(length);
      out.bytes.fill(value, at, at + length);
    };
    const waiting = new Outgoing();
    write(waiting, 1, 900);
    for (const length of [3, 900, 2048, 5000]) {
      const other = new Outgoing();
      write(other, 2, length);
      const taken = other.take();
      write(waiting, 1, 100);
      assert.deepEqual(taken, new Uint8Array(length).fill(2));
    }
    assert.deepEqual(waiting.take(), new Uint8Array(1300).fill(1));
  });

  it('copies no flight when the handshake is over, and lends nobody what the host allocated', () => {
    const hosts = new Uint8Array(2048);
    const out = new Outgoing(() => hosts);
    out.endOfHandshake();
    out.reserve(2048);
    assert.equal(out.take(), hosts);
    const other = new Outgoing();
    other.reserve(10);
    assert.notEqual(other.bytes.buffer, hosts.buffer);
  });

  it('never writes again into memory that was taken', () => {
    const out = new Outgoing();
    const write = (bytes: number[]) => {
      const at = out.reserve(bytes.length);
      out.bytes.set(bytes, at);
    };
    write([1, 2]);
    const first = out.take();
    write([3, 4]);
    const second = out.take();
    second?.fill(9);
    assert.deepEqual([...(first ?? [])], [1, 2]);
    first?.fill(8);
    assert.deepEqual([...(second ?? [])], [9, 9]);
  });

  it('asks the host for memory, for all it needs at once after the handshake', () => {
    const asked: number[] = [];
    const out = new Outgoing((length) => {
      asked.push(length);
      return new Uint8Array(length);
    });
    out.endOfHandshake();
    out.reserve(5000);
    assert.deepEqual(asked, [5000]);
    assert.equal(out.take()?.length, 5000);
  });
});

describe('PlaintextWriter', () => {
  it('sends the first flight of a client as TLS 1.0 and what follows as TLS 1.2', () => {
    const out = new Outgoing();
    const writer = new PlaintextWriter(out, 0x0301);
    writer.handshake(pattern(3));
    writer.changeCipherSpec();
    writer.handshake(pattern(2));
    writer.alert(Uint8Array.of(2, 40));
    assert.equal(
      toHex(out.take() ?? new Uint8Array(0)),
      `1603010003${toHex(pattern(3))}1403030001011603030002${toHex(pattern(2))}15030300020228`,
    );
  });

  it('splits a long message at 2^14 bytes', () => {
    const out = new Outgoing();
    new PlaintextWriter(out, 0x0303).handshake(pattern(40_000));
    const deframer = new Deframer();
    deframer.lend(out.take() ?? new Uint8Array(0));
    const lengths: number[] = [];
    for (let record = deframer.next(); record !== undefined; record = deframer.next()) {
      lengths.push(record.fragment.length);
    }
    assert.deepEqual(lengths, [16384, 16384, 7232]);
  });
});

describe('ProtectedWriter', () => {
  it('splits data to what the peer accepts, without a byte more or less', () => {
    for (const [maxFragment, length, records] of [
      [16384, 16384, 1],
      [16384, 16385, 2],
      [63, 63, 1],
      [63, 64, 2],
      [63, 630, 10],
    ] as const) {
      const out = new Outgoing();
      const writer = new ProtectedWriter(out, sealer(), maxFragment);
      assert.equal(writer.recordCount(length), records);
      const data = pattern(length + 20);
      writer.applicationData(data, 10, 10 + length);
      const bytes = out.take() ?? new Uint8Array(0);
      assert.equal(bytes.length, length + 22 * records);
      const { lengths, content } = openAll(bytes, opener({ maxInnerLength: maxFragment + 1 }));
      assert.equal(lengths.length, records);
      assert.ok(content.equals(data.subarray(10, 10 + length)));
    }
  });

  it('sends nothing as one record that carries nothing', () => {
    const out = new Outgoing();
    new ProtectedWriter(out, sealer(), 100).applicationData(pattern(5), 2, 2);
    assert.deepEqual(openAll(out.take() ?? new Uint8Array(0), opener()).lengths, [0]);
  });

  it('puts its records after each other into one piece', () => {
    const out = new Outgoing();
    const writer = new ProtectedWriter(out, sealer(), 16384);
    writer.handshake(pattern(300));
    writer.applicationData(pattern(40_000), 0, 40_000);
    writer.alert(Uint8Array.of(1, 0));
    const { lengths } = openAll(out.take() ?? new Uint8Array(0), opener());
    assert.deepEqual(lengths, [300, 16384, 16384, 7232, 2]);
  });

  it('leaves nothing behind to be sent when the usage limit stops it', () => {
    const out = new Outgoing();
    const writer = new ProtectedWriter(out, sealer({ usageLimit: 3 }), 100);
    refuses('TLS_ERR_USAGE_LIMIT', () => writer.applicationData(pattern(301), 0, 301));
    assert.equal(out.take(), undefined);
    writer.applicationData(pattern(300), 0, 300);
    refuses('TLS_ERR_USAGE_LIMIT', () => writer.alert(Uint8Array.of(2, 80)));
    assert.equal(out.take()?.length, 300 + 3 * 22);
  });
});
