/** Decoding of real certificates agrees with Node and with an independent ASN.1 library; PEM; trust stores; credentials. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { AsnConvert } from '@peculiar/asn1-schema';
import { BasicConstraints, Certificate, ExtendedKeyUsage, SubjectAlternativeName } from '@peculiar/asn1-x509';
import { parseCertificate } from '../../src/certificates/certificate.ts';
import { keyMatchesCertificate } from '../../src/certificates/key-match.ts';
import { peerCertificate, peerCertificateChain } from '../../src/certificates/peer-certificate.ts';
import { derToPem, pemToDer } from '../../src/certificates/pem.ts';
import { createTrustStore } from '../../src/certificates/trust-store.ts';
import { verifyCertificateChain } from '../../src/certificates/verify.ts';
import { projectRoot } from '../support/project.ts';
import { dnsName, makeIntermediate, makeLeaf, makeRoot, NOW, newKey } from './builder.ts';
import { refused, verify } from './checks.ts';

interface OnlineCase {
  readonly id: string;
  readonly peer_certificate: string;
  readonly untrusted_intermediates: readonly string[];
}

const limbo: { testcases: readonly OnlineCase[] } = JSON.parse(
  readFileSync(join(projectRoot, 'test', 'vectors', 'x509-limbo.json'), 'utf8'),
);
const online = limbo.testcases
  .filter(({ id }) => id.startsWith('online::'))
  .flatMap(({ peer_certificate, untrusted_intermediates }) => [peer_certificate, ...untrusted_intermediates]);

const root = makeRoot();

test("every one of Node's default roots is decoded", () => {
  assert.equal(createTrustStore(rootCertificates).size, new Set(rootCertificates).size);
});

test('peerCertificate gives what node:tls gives', () => {
  const odd = derToPem(
    makeLeaf(root, { names: [dnsName('a, DNS:evil.example'), dnsName('q"\\\''), '::1', 'a.example'] }).der,
  );
  for (const pem of [...online, odd]) {
    const legacy: Record<string, unknown> = { ...new X509Certificate(pem).toLegacyObject() };
    // Left out: what newer Nodes give as undefined or beside the usual fields, and what older ones have in their TLS alone.
    const left = new Set(['fingerprint512', 'signatureAlgorithm', 'signatureAlgorithmOid']);
    const theirs = Object.fromEntries(
      Object.entries(legacy).filter(([key, value]) => value !== undefined && !left.has(key)),
    );
    const { fingerprint512, ...ours } = peerCertificate(parseCertificate(pemToDer(pem)[0]));
    assert.deepEqual(ours, theirs);
    assert.equal(fingerprint512, new X509Certificate(pem).fingerprint512);
  }
});

test('peerCertificateChain links each certificate to its issuer, and a root to itself', () => {
  const intermediate = makeIntermediate(root);
  const { path } = verify([makeLeaf(intermediate), intermediate], [root]);
  const leaf = peerCertificateChain(path);
  assert.equal(leaf?.issuerCertificate?.subject.CN, 'Test intermediate');
  const top = leaf?.issuerCertificate?.issuerCertificate;
  assert.equal(top?.subject.CN, 'Test root');
  assert.equal(top?.issuerCertificate, top);
});

test('extensions are decoded as an independent ASN.1 library decodes them', () => {
  for (const pem of online) {
    const [der] = pemToDer(pem);
    const ours = parseCertificate(der);
    const theirs = AsnConvert.parse(der, Certificate).tbsCertificate;
    const extensions = Array.from(theirs.extensions ?? []);
    assert.deepEqual(
      [...ours.extensions.keys()],
      extensions.map(({ extnID }) => extnID),
    );
    for (const { extnID, critical, extnValue } of extensions) {
      assert.equal(ours.extensions.get(extnID)?.critical, critical);
      const value = extnValue.buffer;
      if (extnID === '2.5.29.19') {
        const { cA, pathLenConstraint } = AsnConvert.parse(value, BasicConstraints);
        assert.deepEqual(ours.basicConstraints, { ca: cA, pathLength: pathLenConstraint });
      }
      if (extnID === '2.5.29.37') {
        assert.deepEqual([...(ours.extKeyUsage ?? [])], [...AsnConvert.parse(value, ExtendedKeyUsage)]);
      }
      if (extnID === '2.5.29.17') {
        const names = Array.from(AsnConvert.parse(value, SubjectAlternativeName)).map(({ dNSName }) => dNSName);
        assert.deepEqual(
          ours.subjectAltName.map((name) => (name.kind === 'dns' ? name.value : undefined)),
          names,
        );
      }
    }
  }
});

test('PEM with text around, several blocks and Windows line ends is read', () => {
  const der = makeLeaf(root).der;
  const pem = derToPem(der);
  assert.deepEqual(pemToDer(pem), [der]);
  const bundle = `# comment\r\n${pem.replace(/\n/g, '\r\n')}more text\n${derToPem(root.der)}`;
  assert.deepEqual(pemToDer(bundle), [der, root.der]);
});

test('PEM that is none, not closed or not base64 is refused with what came instead', () => {
  refused(() => pemToDer(''), 'TLS_ERR_CONFIG', /an empty text/);
  refused(() => pemToDer('hello'), 'TLS_ERR_CONFIG', /without PEM blocks/);
  refused(
    () => pemToDer('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----'),
    'TLS_ERR_CONFIG',
    /"PRIVATE KEY"/,
  );
  refused(() => pemToDer('-----BEGIN CERTIFICATE-----\nAAAA'), 'TLS_ERR_CONFIG', /no line "-----END/);
  for (const body of ['', 'AAA', 'A*AA', 'AA=A', 'Proc-Type: 4\n\nAAAA']) {
    refused(
      () => pemToDer(`-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----`),
      'TLS_ERR_CONFIG',
      /not base64/,
    );
  }
});

test('a trust store takes DER and PEM bundles, counts each root once, and says which one is broken', () => {
  const other = makeRoot({ subject: 'Other' });
  const store = createTrustStore([root.der, derToPem(root.der) + derToPem(other.der)]);
  assert.equal(store.size, 2);
  assert.equal(store.bySubject(parseCertificate(root.der).subject).length, 1);
  refused(
    () => createTrustStore([root.der, Uint8Array.of(0x30, 0)]),
    'TLS_ERR_CONFIG',
    /trusted certificate 2 cannot be read/,
  );
});

test('a lenient store decodes on demand and leaves out what cannot be decoded', () => {
  const damaged = makeRoot({ subject: 'Damaged' }).der.slice();
  // Behind the subject: the public key's algorithm, id-ecPublicKey.
  damaged[Buffer.from(damaged).indexOf(Buffer.from('2a8648ce3d0201', 'hex'))] = 0x80;
  const store = createTrustStore([root.der, Uint8Array.of(0x30, 0), damaged], { lenient: true });
  const leaf = makeLeaf(root);
  const options = { serverName: 'example.com', now: NOW, purpose: 'server' } as const;
  const { path } = verifyCertificateChain({ chain: [leaf.der], roots: store, ...options });
  assert.deepEqual(path[1].raw, root.der);
  const subject = parseCertificate(makeRoot({ subject: 'Damaged' }).der).subject;
  assert.deepEqual(store.bySubject(subject), []);
  assert.equal(createTrustStore(rootCertificates, { lenient: true }).size, new Set(rootCertificates).size);
});

test('a key matches its certificate and no other', () => {
  const key = newKey();
  const certificate = parseCertificate(makeLeaf(root, { key }).der);
  assert.ok(keyMatchesCertificate(key.spki, certificate));
  assert.ok(!keyMatchesCertificate(newKey().spki, certificate));
  refused(
    () => keyMatchesCertificate(Uint8Array.of(1, 2), certificate),
    'TLS_ERR_BAD_CERTIFICATE',
    /subjectPublicKeyInfo/,
  );
});
