/** What the worst chains cost, in signatures, candidates and elements read: never more than in step with what was sent. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCertificate } from '../../src/certificates/certificate.ts';
import { derOid, derSequence, derSet, derUtf8String } from '../../src/certificates/der-writer.ts';
import { forbiddenByConstraints } from '../../src/certificates/name-constraints.ts';
import { parseOcspResponse } from '../../src/certificates/ocsp.ts';
import { extensionOids, OID_COMMON_NAME } from '../../src/certificates/oids.ts';
import type { VerifyBudget } from '../../src/certificates/path-building.ts';
import { TLSError } from '../../src/errors.ts';
import { type Authority, directoryName, dnsName, make, makeLeaf, makeRoot, newKey } from './builder.ts';
import { refused, verify } from './checks.ts';
import { countReads } from './reads.ts';

const TWINS = 20;
const LONGEST_HEADER = 5;
const stranger = makeRoot({ subject: 'Stranger' });
const withoutIdentifier = { replace: { [extensionOids.authorityKeyIdentifier]: undefined } };
/** CAs of one name, of which nothing but the key tells which is which. */
const twins = Array.from({ length: TWINS }, () => makeRoot({ subject: 'Twin', key: newKey() }));
const ring = twins.map((twin, i) => crossSigned(twin, twins[(i + 1) % TWINS]));

function crossSigned(subject: Authority, issuer: Authority): Authority {
  return make({ subject: 'Twin', ca: true, key: subject.key, issuer, ...withoutIdentifier });
}

/** The smallest budget of this kind, up to `most`, with which a verdict is reached. */
function cost(kind: keyof VerifyBudget, most: number, decide: (budget: VerifyBudget) => unknown): number {
  let tooLittle = -1;
  let enough = most + 1;
  while (enough - tooLittle > 1) {
    const middle = (tooLittle + enough) >> 1;
    if (isEnough(() => decide({ [kind]: middle }))) {
      enough = middle;
    } else {
      tooLittle = middle;
    }
  }
  return enough;
}

function isEnough(decide: () => unknown): boolean {
  try {
    decide();
    return true;
  } catch (error) {
    assert.ok(error instanceof TLSError, String(error));
    return !/too much work/.test(error.message);
  }
}

test('of twenty CAs of one name that certify each other in a ring, any one that is trusted is found with few signatures', () => {
  for (const anchor of [1, 7, TWINS - 1]) {
    // The leaf is of the first; each step may try all, and tries no pair twice.
    const end = makeLeaf(twins[0], withoutIdentifier);
    const between = ring.slice(0, anchor);
    const decide = (budget: VerifyBudget) => verify([end, ...between], [twins[anchor]], { budget, form: 'tolerant' });
    const signatures = cost('signatures', 1000, decide);
    assert.ok(signatures <= ((anchor + 1) * (anchor + 2)) / 2, `${signatures} for ${anchor} intermediates`);
    assert.ok(cost('steps', 2000, decide) <= (anchor + 2) ** 2);
  }
});

test('twenty CAs of one name that lead nowhere are given up at the 65th signature', () => {
  const end = makeLeaf(twins[0], withoutIdentifier);
  const decide = (budget: VerifyBudget) => verify([end, ...ring], [stranger], { budget, form: 'tolerant' });
  refused(() => decide({}), 'TLS_ERR_BAD_CERTIFICATE', /too many signatures/);
  refused(() => decide({ signatures: 10_000, steps: 100 }), 'TLS_ERR_BAD_CERTIFICATE', /too many candidates/);
});

test('no pair of a certificate and a key is tried twice, however many paths lead over it', () => {
  const five = twins.slice(0, 5);
  const mesh = five.flatMap((subject) =>
    five.filter((issuer) => issuer !== subject).map((issuer) => crossSigned(subject, issuer)),
  );
  const chain = [makeLeaf(five[0], withoutIdentifier), ...mesh];
  const decide = (budget: VerifyBudget) => verify(chain, [stranger], { budget, form: 'tolerant' });
  assert.ok(cost('signatures', 500, decide) <= chain.length * five.length);
});

test('a list of ten thousand names is read in step with its length', () => {
  const reads = (count: number, name: (i: number) => Uint8Array) => {
    const { der } = makeLeaf(stranger, { names: Array.from({ length: count }, (_, i) => name(i)) });
    return countReads(() => parseCertificate(der));
  };
  const dns = (i: number) => dnsName(`h${i}.example`);
  const short = (i: number) => directoryName(distinguishedName(1, i));
  const none = reads(1, dns) - 1;
  assert.equal(reads(100, dns), none + 100);
  assert.equal(reads(10_000, dns), none + 10_000);
  const each = reads(2, short) - reads(1, short);
  assert.equal(reads(5000, short) - reads(4999, short), each);
});

test('a certificate above 256 KiB is not read at all', () => {
  const { der } = makeLeaf(stranger, { names: Array.from({ length: 20_000 }, (_, i) => dnsName(`h${i}.example`)) });
  assert.equal(
    countReads(() => refused(() => parseCertificate(der), 'TLS_ERR_BAD_CERTIFICATE', /bytes long, more than/)),
    0,
  );
});

test('names of many parts under constraints of many parts cost their parts, not their number', () => {
  const parts = (count: number) => {
    const excluded = Array.from({ length: 20 }, (_, i) => directoryName(distinguishedName(count, i)));
    const wide = makeRoot({ subject: 'Wide', nameConstraints: { excluded } });
    const busy = makeLeaf(wide, {
      names: Array.from({ length: 20 }, (_, i) => directoryName(distinguishedName(count, 100 + i))),
    });
    return (nameComparisons: number) => verify([busy], [wide], { budget: { nameComparisons }, checkName: false });
  };
  // 21 names, the subject among them, each with 20 constraints of so many parts, and itself.
  for (const count of [1, 50]) {
    const decide = parts(count);
    const exact = 21 * (20 * (count + 1) + 1);
    decide(exact);
    refused(() => decide(exact - 1), 'TLS_ERR_BAD_CERTIFICATE', /too many name constraints/);
  }
  refused(() => parts(300)(100_000), 'TLS_ERR_BAD_CERTIFICATE', /too many name constraints/);
  // A name without parts is compared as well: with each of the names, of which it forbids the first.
  const empty = parseCertificate(makeRoot({ nameConstraints: { excluded: [directoryName(derSequence())] } }).der);
  const one = parseCertificate(makeLeaf(stranger, { names: ['example.com'] }).der);
  assert(empty.nameConstraints !== undefined);
  assert.equal(forbiddenByConstraints(empty.nameConstraints, one, { left: 3 }), 'budget');
  assert.match(forbiddenByConstraints(empty.nameConstraints, one, { left: 4 }) ?? '', /excluded/);
});

test('DER that is nested fifty thousand times is refused at the first level that should not be there', () => {
  const der = nested(200_000);
  assert.equal(der[0], 0x30);
  for (const parse of [parseCertificate, parseOcspResponse]) {
    assert.ok(countReads(() => assert.throws(() => parse(der), TLSError)) <= 4, parse.name);
  }
});

/** SEQUENCEs within SEQUENCEs, as many as fit into so many bytes. */
function nested(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let at = size;
  while (at >= LONGEST_HEADER) {
    const header = sequenceHeader(size - at);
    at -= header.length;
    bytes.set(header, at);
  }
  return bytes.subarray(at);
}

function sequenceHeader(length: number): number[] {
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest >>>= 8) {
    bytes.unshift(rest & 0xff);
  }
  return length < 0x80 ? [0x30, length] : [0x30, 0x80 | bytes.length, ...bytes];
}

function distinguishedName(parts: number, last: number): Uint8Array {
  const values = Array.from({ length: parts }, (_, i) => (i === parts - 1 ? `n${last}` : 'a'));
  return derSequence(...values.map((value) => derSet(derSequence(derOid(OID_COMMON_NAME), derUtf8String(value)))));
}
