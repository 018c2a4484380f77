/** Chains made to cost time, and bytes that are no certificates at all. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ParsedCertificate, parseCertificate } from '../../src/certificates/certificate.ts';
import { DerReader } from '../../src/certificates/der.ts';
import { forbiddenByConstraints } from '../../src/certificates/name-constraints.ts';
import { peerCertificate } from '../../src/certificates/peer-certificate.ts';
import { createTrustStore } from '../../src/certificates/trust-store.ts';
import { verifyCertificateChain } from '../../src/certificates/verify.ts';
import { TLSError } from '../../src/errors.ts';
import { dnsName, make, makeIntermediate, makeLeaf, makeRoot, NOW, newKey, sharedKey } from './builder.ts';
import { refused, verify } from './checks.ts';

const root = makeRoot();
const intermediate = makeIntermediate(root);
const leaf = makeLeaf(intermediate);
const roots = createTrustStore([root.der]);

/** Certificates for `count` CAs that all certify each other: paths grow with the factorial of the count. */
function mesh(count: number) {
  const cas = Array.from({ length: count }, (_, i) => makeRoot({ subject: `CA ${i}`, key: newKey() }));
  const cross = cas.flatMap((issuer, i) =>
    cas
      .filter((_, j) => j !== i)
      .map((subject, j) => make({ subject: `CA ${j < i ? j : j + 1}`, ca: true, key: subject.key, issuer })),
  );
  return { cas, cross };
}

test('CAs that all certify each other and lead nowhere are given up by the budget', () => {
  const { cas, cross } = mesh(6);
  const victim = makeLeaf(cas[0]);
  assert.equal(cross.length, 30);
  refused(
    () => verify([victim, ...cross], [root], { budget: { steps: 500 } }),
    'TLS_ERR_BAD_CERTIFICATE',
    /too many candidates/,
  );
  refused(
    () => verify([victim, ...cross], [root], { budget: { signatures: 10 } }),
    'TLS_ERR_BAD_CERTIFICATE',
    /too many signatures/,
  );
  // With the default budget the search ends as well, in one refusal or the other.
  assert.throws(() => verify([victim, ...cross], [root]), TLSError);
});

test('the same mesh is crossed when one of its CAs is trusted', () => {
  const { cas, cross } = mesh(5);
  assert.ok(verify([makeLeaf(cas[0]), ...cross], [cas[4]]).path.length <= 6);
});

test('CAs of one name with many keys cost one signature per pair, not one per path', () => {
  const twins = Array.from({ length: 6 }, () => makeRoot({ subject: 'Twin', key: newKey() }));
  const chain = twins.map((twin, i) =>
    make({ subject: 'Twin', ca: true, key: twin.key, issuer: twins[(i + 1) % twins.length] }),
  );
  refused(() => verify([makeLeaf(twins[0]), ...chain], [root]), 'TLS_ERR_UNKNOWN_CA', /leads to no trusted root/);
});

test('a path with more intermediates than allowed is refused', () => {
  let issuer = root;
  const chain = Array.from({ length: 10 }, (_, i) => {
    issuer = makeIntermediate(issuer, { subject: `Level ${i}` });
    return issuer;
  });
  const end = makeLeaf(issuer);
  refused(() => verify([end, ...chain], [root]), 'TLS_ERR_BAD_CERTIFICATE', /more than 8 intermediates/);
  assert.equal(verify([end, ...chain], [root], { budget: { intermediates: 10 } }).path.length, 12);
});

test('thousands of names under thousands of constraints are given up by the budget', () => {
  const many = (suffix: string) => Array.from({ length: 1500 }, (_, i) => dnsName(`n${i}.${suffix}`));
  const wide = makeRoot({ nameConstraints: { permitted: many('example.com'), excluded: many('example.org') } });
  const busy = makeLeaf(wide, { names: many('example.com') });
  refused(() => verify([busy], [wide], { checkName: false }), 'TLS_ERR_BAD_CERTIFICATE', /too many name constraints/);
});

test('the budget for constraints counts every pair before it is compared', () => {
  const constraints = { permitted: [{ kind: 'dns', value: 'example.com' } as const], excluded: [] };
  const certificate = parseCertificate(leaf.der);
  // Two names (the DNS name and the subject), each with one constraint and itself.
  assert.equal(forbiddenByConstraints(constraints, certificate, { left: 4 }), undefined);
  assert.equal(forbiddenByConstraints(constraints, certificate, { left: 3 }), 'budget');
});

test('any single changed byte of a leaf ends in a refusal, never in another error', () => {
  for (let at = 0; at < leaf.der.length; at++) {
    for (const change of [0x01, 0x80]) {
      const der = leaf.der.slice();
      der[at] ^= change;
      assertRefused(der, `byte ${at}`);
    }
  }
});

test('every truncation and every extension of a certificate is refused', () => {
  for (let length = 0; length < leaf.der.length; length++) {
    assertRefused(leaf.der.subarray(0, length), `length ${length}`);
  }
  assertRefused(Uint8Array.from([...leaf.der, 0]), 'one more byte');
});

test('bytes changed, cut out or inserted anywhere only ever throw TLSError', () => {
  const edit = fc.record({
    at: fc.nat(leaf.der.length),
    remove: fc.nat(4),
    insert: fc.uint8Array({ maxLength: 4 }),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(leaf, intermediate, root),
      fc.array(edit, { minLength: 1, maxLength: 4 }),
      ({ der }, edits) => {
        let bytes: number[] = [...der];
        for (const { at, remove, insert } of edits) {
          bytes = [...bytes.slice(0, at), ...insert, ...bytes.slice(at + remove)];
        }
        onlyTlsError(() => peerCertificate(parseCertificate(Uint8Array.from(bytes))));
        onlyTlsError(() =>
          verifyCertificateChain({
            chain: [leaf.der, Uint8Array.from(bytes)],
            roots,
            serverName: 'example.com',
            now: NOW,
            purpose: 'server',
          }),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test('any bytes at all only ever throw TLSError, and so do those with the shape of DER', () => {
  const shaped = fc.letrec<{ element: Uint8Array }>((tie) => ({
    element: fc.oneof(
      { depthSize: 'small' },
      fc
        .tuple(fc.constantFrom(1, 2, 3, 4, 5, 6, 12, 19, 22, 23, 24, 30, 0x80, 0x82), fc.uint8Array({ maxLength: 12 }))
        .map(([tag, content]) => Uint8Array.from([tag, content.length, ...content])),
      fc
        .tuple(fc.constantFrom(0x30, 0x31, 0xa0, 0xa1, 0xa3), fc.array(tie('element'), { maxLength: 8 }))
        .map(([tag, parts]) => {
          const content = parts.flatMap((part) => [...part]);
          return content.length < 0x80
            ? Uint8Array.from([tag, content.length, ...content])
            : Uint8Array.from([tag, 0x82, content.length >> 8, content.length & 0xff, ...content]);
        }),
    ),
  })).element;
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), shaped), (bytes) => {
      onlyTlsError(() => parseCertificate(bytes));
    }),
    { numRuns: 500 },
  );
});

test('a length of gigabytes is refused before anything is allocated', () => {
  for (const bytes of [
    [0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
    [0x30, 0x83, 0xff, 0xff, 0xff, 0x00],
  ]) {
    refused(() => parseCertificate(Uint8Array.from(bytes)), 'TLS_ERR_BAD_CERTIFICATE', /bytes are left/);
  }
  refused(() => parseCertificate(new Uint8Array(300_000)), 'TLS_ERR_BAD_CERTIFICATE', /300000 bytes long/);
});

test('a name of many parts is decoded and compared in linear space', () => {
  const deep = new DerReader(Uint8Array.of(0x30, 0), 'test');
  deep.enter(0x30, 'body').end();
  const parsed: ParsedCertificate = parseCertificate(
    makeLeaf(root, { names: Array.from({ length: 5000 }, (_, i) => `h${i}.example.com`), key: sharedKey() }).der,
  );
  assert.equal(parsed.subjectAltName.length, 5000);
});

function assertRefused(der: Uint8Array, what: string): void {
  try {
    verifyCertificateChain({
      chain: [der, intermediate.der],
      roots,
      serverName: 'example.com',
      now: NOW,
      purpose: 'server',
    });
  } catch (error) {
    assert.ok(error instanceof TLSError, `${what}: ${String(error)}`);
    return;
  }
  assert.fail(`${what}: the chain was accepted`);
}

function onlyTlsError(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof TLSError, String((error as Error).stack));
  }
}
