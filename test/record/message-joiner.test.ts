import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concat, toHex } from '../../src/bytes/bytes.ts';
import { handshakeTypes } from '../../src/messages/code-points.ts';
import { maxMessageLength } from '../../src/messages/handshake-message.ts';
import { MessageJoiner } from '../../src/messages/message-joiner.ts';
import { refuses } from '../support/refusals.ts';
import { pattern } from './support.ts';

function message(type: number, body: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(type, body.length >> 16, body.length >> 8, body.length), body);
}

function join(fragments: readonly Uint8Array[], joiner = new MessageJoiner()): string[] {
  const seen: string[] = [];
  for (const fragment of fragments) {
    const lent = new Uint8Array(fragment);
    joiner.add(lent);
    for (let joined = joiner.next(); joined !== undefined; joined = joiner.next()) {
      seen.push(`${joined.type} ${toHex(joined.body)}`);
      assert.equal(toHex(joined.raw.subarray(4)), toHex(joined.body));
      assert.equal(joined.raw.length, joined.body.length + 4);
    }
    joiner.retain();
    lent.fill(0xee);
  }
  return seen;
}

const { finished, key_update, encrypted_extensions, client_hello, certificate } = handshakeTypes;
const flight = concat(
  message(encrypted_extensions, pattern(6)),
  message(finished, pattern(32)),
  message(key_update, Uint8Array.of(1)),
);
const whole = join([flight]);

describe('MessageJoiner', () => {
  it('takes several messages out of one record', () => {
    assert.deepEqual(whole, [`8 ${toHex(pattern(6))}`, `20 ${toHex(pattern(32))}`, '24 01']);
  });

  it('gives the same messages for a cut at every byte boundary, and for single bytes', () => {
    for (let cut = 1; cut < flight.length; cut++) {
      assert.deepEqual(join([flight.subarray(0, cut), flight.subarray(cut)]), whole, `cut at ${cut}`);
    }
    assert.deepEqual(join(Array.from(flight, (byte) => Uint8Array.of(byte))), whole);
  });

  it('refuses an empty handshake record', () => {
    refuses('TLS_ERR_UNEXPECTED_MESSAGE', () => join([new Uint8Array(0)]));
    refuses('TLS_ERR_UNEXPECTED_MESSAGE', () => join([flight.subarray(0, 3), new Uint8Array(0)]));
  });

  it('refuses a message that announces more than its cap, from its header alone', () => {
    for (const [name, type] of Object.entries(handshakeTypes)) {
      const cap = maxMessageLength(type);
      const header = (length: number) => Uint8Array.of(type, length >> 16, length >> 8, length);
      assert.deepEqual(join([header(cap)]).length, cap === 0 ? 1 : 0, name);
      refuses('TLS_ERR_MESSAGE_TOO_LONG', () => join([header(cap + 1)]));
      refuses('TLS_ERR_MESSAGE_TOO_LONG', () => join([header(0xffffff)]));
    }
  });

  it('refuses a message of unknown type from its first byte', () => {
    for (const type of [3, 7, 99, 255]) {
      refuses('TLS_ERR_UNEXPECTED_MESSAGE', () => join([Uint8Array.of(type)]));
      refuses('TLS_ERR_UNEXPECTED_MESSAGE', () => join([concat(flight, message(type, pattern(3)))]));
    }
  });

  it('refuses a message that is spread over thousands of records', () => {
    const bytes = message(client_hello, pattern(3000));
    refuses('TLS_ERR_MESSAGE_TOO_LONG', () => join(Array.from(bytes, (byte) => Uint8Array.of(byte))));
    const spread = message(certificate, pattern(2000));
    assert.equal(join(Array.from(spread, (byte) => Uint8Array.of(byte))).length, 1);
  });

  it('counts the records of each message anew', () => {
    const joiner = new MessageJoiner();
    const bytes = message(certificate, pattern(1500));
    for (let count = 0; count < 3; count++) {
      assert.equal(
        join(
          Array.from(bytes, (byte) => Uint8Array.of(byte)),
          joiner,
        ).length,
        1,
      );
    }
  });

  it('counts anew also for a message that begins in the record in which another ends', () => {
    const bytes = message(certificate, pattern(1500));
    const stream = concat(bytes, bytes, bytes);
    const fragments: Uint8Array[] = [];
    for (let at = 0; at < stream.length; ) {
      const isLastOfMessage = (at + 1) % bytes.length === 0;
      fragments.push(stream.subarray(at, at + (isLastOfMessage ? 2 : 1)));
      at += isLastOfMessage ? 2 : 1;
    }
    assert.equal(join(fragments).length, 3);
  });

  it('proves a boundary only when nothing is pending', () => {
    const joiner = new MessageJoiner();
    joiner.boundary();
    joiner.add(concat(message(finished, pattern(32)), Uint8Array.of(key_update)));
    refuses('TLS_ERR_RECORD_BOUNDARY', () => joiner.boundary());
    joiner.next();
    assert.equal(joiner.pending, true);
    refuses('TLS_ERR_RECORD_BOUNDARY', () => joiner.boundary());
    joiner.add(Uint8Array.of(0, 0, 1, 0));
    assert.equal(joiner.next()?.type, key_update);
    assert.equal(joiner.pending, false);
    joiner.boundary();
  });
});
