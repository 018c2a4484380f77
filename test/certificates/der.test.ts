/** DER is read strictly and written as it is read. X.690 §8, §10. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex } from '../../src/bytes/bytes.ts';
import { DerReader, TAG_INTEGER, TAG_OCTET_STRING, TAG_SEQUENCE } from '../../src/certificates/der.ts';
import {
  derInteger,
  derOctetString,
  derOid,
  derSequence,
  derTime,
  derUnsigned,
} from '../../src/certificates/der-writer.ts';
import { refused } from './checks.ts';

function reader(hex: string): DerReader {
  return new DerReader(fromHex(hex), 'test');
}

test('lengths that are indefinite, not shortest, cut off or beyond the end are refused', () => {
  for (const [hex, text] of [
    ['3080 0000', /indefinite/],
    ['3081 01 00', /shortest/],
    [`3082 0080${'00'.repeat(128)}`, /shortest/],
    ['3082 01', /cut off/],
    ['3085 0000000001 00', /above 2\^32/],
    ['3003 0101', /length is 3, but 2 bytes/],
    ['30', /cut off/],
    ['', /missing/],
  ] as const) {
    refused(() => reader(hex).enter(TAG_SEQUENCE, 'field'), 'TLS_ERR_BAD_CERTIFICATE', text);
  }
});

test('another tag than expected, multi-byte tags and bytes left over are refused', () => {
  refused(() => reader('3100').enter(TAG_SEQUENCE, 'field'), 'TLS_ERR_BAD_CERTIFICATE', /expected tag 0x30, got 0x31/);
  refused(() => reader('1f8100').element('field'), 'TLS_ERR_BAD_CERTIFICATE', /multi-byte/);
  refused(() => reader('3000 00').end(), 'TLS_ERR_BAD_CERTIFICATE', /3 bytes follow/);
});

test('integers are in their shortest form, and small ones are neither negative nor large', () => {
  for (const hex of ['0200', '0202 0001', '0202 ffff']) {
    refused(() => reader(hex).integer('field'), 'TLS_ERR_BAD_CERTIFICATE', /INTEGER/);
  }
  refused(() => reader('0201 80').smallInteger('field'), 'TLS_ERR_BAD_CERTIFICATE', /negative/);
  refused(() => reader('0205 0100000000').smallInteger('field'), 'TLS_ERR_BAD_CERTIFICATE', /too large/);
  assert.equal(reader('0202 0080').smallInteger('field'), 128);
});

test('booleans are 00 or FF', () => {
  assert.equal(reader('0101 ff').boolean('field'), true);
  refused(() => reader('0101 01').boolean('field'), 'TLS_ERR_BAD_CERTIFICATE', /BOOLEAN/);
  refused(() => reader('0102 ffff').boolean('field'), 'TLS_ERR_BAD_CERTIFICATE', /BOOLEAN/);
});

test('object identifiers are decoded, and padded, cut off or huge ones are refused', () => {
  assert.equal(reader('0603 550403').oid('field'), '2.5.4.3');
  assert.equal(reader('0606 2a864886f70d').oid('field'), '1.2.840.113549');
  assert.equal(reader('0602 8837').oid('field'), '2.999');
  for (const hex of ['0600', '0602 2a80', '0604 2a800101', '060a 2affffffffffffffff7f']) {
    refused(() => reader(hex).oid('field'), 'TLS_ERR_BAD_CERTIFICATE', /OBJECT IDENTIFIER/);
  }
});

test('bit strings have a valid count of unused bits, all zero', () => {
  assert.deepEqual(reader('0302 0780').bitString('field'), { bytes: Uint8Array.of(0x80), unusedBits: 7 });
  for (const hex of ['0300', '0302 0800', '0301 01', '0302 0781']) {
    refused(() => reader(hex).bitString('field'), 'TLS_ERR_BAD_CERTIFICATE', /BIT STRING/);
  }
});

test('times are read with seconds and Z only, and must exist', () => {
  const time = (tag: string, text: string) =>
    reader(tag + text.length.toString(16).padStart(2, '0') + Buffer.from(text).toString('hex')).time('field');
  assert.equal(time('17', '491231235959Z'), Date.parse('2049-12-31T23:59:59Z'));
  assert.equal(time('17', '500101000000Z'), Date.parse('1950-01-01T00:00:00Z'));
  assert.equal(time('18', '99991231235959Z'), Date.parse('9999-12-31T23:59:59Z'));
  assert.equal(time('18', '00500101000000Z'), Date.parse('0050-01-01T00:00:00Z'));
  for (const [tag, text] of [
    ['17', '2601010000Z'],
    ['17', '260101000000+0000'],
    ['17', '260230000000Z'],
    ['17', '261301000000Z'],
    ['17', '260101240000Z'],
    ['17', '260101006000Z'],
    ['18', '20260101000000.5Z'],
    ['18', '20260101000000'],
    ['02', '260101000000Z'],
  ]) {
    refused(() => time(tag, text), 'TLS_ERR_BAD_CERTIFICATE', /time/i);
  }
});

test('what the writer writes, the reader reads', () => {
  fc.assert(
    fc.property(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 300 }), (number, bytes) => {
      const written = derSequence(derInteger(number), derOctetString(bytes), derUnsigned(bytes));
      const outer = new DerReader(written, 'test');
      const body = outer.enter(TAG_SEQUENCE, 'body');
      outer.end();
      assert.equal(body.smallInteger('number'), number);
      assert.deepEqual(body.content(TAG_OCTET_STRING, 'octets'), bytes);
      const magnitude = toHex(body.integer('magnitude', TAG_INTEGER)).replace(/^(00)+(?=..)/, '');
      assert.equal(magnitude, toHex(bytes).replace(/^(00)+(?=..)/, ''));
      body.end();
    }),
    { numRuns: 200 },
  );
  fc.assert(
    fc.property(fc.nat(2), fc.nat(39), fc.array(fc.nat(), { maxLength: 12 }), (first, second, rest) => {
      const dotted = [first, second, ...rest].join('.');
      assert.equal(new DerReader(derOid(dotted), 'test').oid('oid'), dotted);
    }),
    { numRuns: 200 },
  );
  for (const at of ['1950-01-01T00:00:00Z', '2049-12-31T23:59:59Z', '2050-01-01T00:00:00Z', '1949-12-31T23:59:59Z']) {
    assert.equal(new DerReader(derTime(Date.parse(at)), 'test').time('time'), Date.parse(at));
  }
});
