/** Forms that one reader takes and another does not: values in names, dates at the edges, CAs that say too little. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { type ParsedCertificate, parseCertificate } from '../../src/certificates/certificate.ts';
import { derElement, derOid, derSequence, derSet } from '../../src/certificates/der-writer.ts';
import { OID_COMMON_NAME } from '../../src/certificates/oids.ts';
import { peerCertificate } from '../../src/certificates/peer-certificate.ts';
import { makeIntermediate, makeLeaf, makeRoot, NOW } from './builder.ts';
import { refused, verify } from './checks.ts';
import { elements, mutate, type Node, TIMES } from './mutants.ts';

const root = makeRoot();

function nameWith(value: Uint8Array): Uint8Array {
  return derSequence(derSet(derSequence(derOid(OID_COMMON_NAME), value)));
}

test('attributes of names are strings, or one of few types beside; what OpenSSL cannot read is refused', () => {
  for (const [tag, content] of [
    [0x13, utf8('printable')],
    [0x12, utf8('123')],
    [0x03, Uint8Array.of(3, 0xa8)],
  ] as const) {
    const leaf = makeLeaf(root, { subject: nameWith(derElement(tag, content)) });
    verify([leaf], [root]);
    assert.ok(new X509Certificate(leaf.der).checkIssued(new X509Certificate(root.der)), `tag ${tag}`);
  }
  for (const [tag, content] of [
    [0x80, utf8('context')],
    [0xa0, derSequence()],
    [0x02, Uint8Array.of(1)],
    [0x04, Uint8Array.of(1)],
    [0x05, new Uint8Array(0)],
    [0x1a, utf8('visible')],
    [0x17, utf8('260601120000Z')],
    [0x18, utf8('20260601120000Z')],
  ] as const) {
    const leaf = makeLeaf(root, { subject: nameWith(derElement(tag, content)) });
    refused(() => verify([leaf], [root]), 'TLS_ERR_BAD_CERTIFICATE', /tag of no type that attributes/);
    assert.throws(() => new X509Certificate(leaf.der), `tag ${tag}`);
  }
  const bits = makeLeaf(root, { subject: nameWith(derElement(0x03, Uint8Array.of(9, 0xa8))) });
  refused(() => verify([bits], [root]), 'TLS_ERR_BAD_CERTIFICATE', /unused bits/);
  const missing = makeLeaf(root, { subject: nameWith(new Uint8Array(0)) });
  refused(() => verify([missing], [root]), 'TLS_ERR_BAD_CERTIFICATE', /is missing/);
});

test('two names that differ in a value of another type are two names', () => {
  const [a, b] = [Uint8Array.of(0, 1), Uint8Array.of(0, 2)].map((bits) => nameWith(derElement(0x03, bits)));
  const issuer = makeRoot({ subject: a });
  refused(() => verify([makeLeaf(issuer, { issuerName: b })], [issuer]), 'TLS_ERR_UNKNOWN_CA', /no trusted root/);
  verify([makeLeaf(issuer)], [issuer]);
});

test('in strict form an intermediate says what its key is for; a root need not', () => {
  const silent = makeIntermediate(root, { keyUsage: null });
  const leaf = makeLeaf(silent);
  refused(() => verify([leaf, silent], [root]), 'TLS_ERR_BAD_CERTIFICATE', /CA without keyUsage/);
  verify([leaf, silent], [root], { form: 'tolerant' });
  const anchor = makeRoot({ keyUsage: null });
  verify([makeLeaf(anchor)], [anchor]);
});

test('a date is read as OpenSSL reads it, or not at all', () => {
  const [whole] = elements(makeLeaf(root).der);
  const read: string[] = [];
  for (const tag of [0x17, 0x18]) {
    for (const text of TIMES) {
      const der = withNotAfter(whole, derElement(tag, utf8(text)));
      let parsed: ParsedCertificate;
      try {
        parsed = parseCertificate(der);
      } catch {
        continue;
      }
      read.push(text);
      assert.equal(peerCertificate(parsed).valid_to, new X509Certificate(der).validTo, text);
    }
  }
  assert.deepEqual(read, [
    ...['260531120000Z', '491231235959Z', '500101000000Z', '991231235959Z', '000101000000Z', '240229120000Z'],
    ...['20260531120000Z', '20491231235959Z', '20500101000000Z', '99991231235959Z', '19491231235959Z'],
    ...['00000101000000Z', '00010101000000Z', '20000229000000Z'],
  ]);
});

test('a validity from before 1970 to beyond 2050 is one', () => {
  const spec = { notBefore: Date.parse('1949-12-31T23:59:59Z'), notAfter: Date.parse('2050-01-01T00:00:00Z') };
  const leaf = makeLeaf(root, spec);
  verify([leaf], [root]);
  const { notBefore, notAfter } = parseCertificate(leaf.der);
  assert.deepEqual({ notBefore, notAfter }, spec);
  const early = makeLeaf(root, { notBefore: -1000, notAfter: -1 });
  refused(() => verify([early], [root]), 'TLS_ERR_CERTIFICATE_EXPIRED', /expired at 1969-12-31/);
  verify([makeLeaf(root, { notBefore: -1000, notAfter: NOW })], [root]);
});

/** A certificate with this as the second of its times; its signature is not looked at. */
function withNotAfter(whole: Node, time: Uint8Array): Uint8Array {
  const [tbs, ...rest] = whole.children as readonly Node[];
  const fields = [...(tbs.children as readonly Node[])];
  const validity = fields[4];
  const [notBefore] = validity.children as readonly Node[];
  const changed = derSequence(mutate(notBefore, []), time);
  const bytes = fields.map((field) => (field === validity ? changed : mutate(field, [])));
  return derSequence(derSequence(concat(...bytes)), ...rest.map((node) => mutate(node, [])));
}
