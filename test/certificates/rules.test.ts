/** One broken rule per test, on certificates made for it. RFC 5280 §4, §6; RFC 9846 §4.5.1.2. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { parseCertificate } from '../../src/certificates/certificate.ts';
import {
  derBitString,
  derElement,
  derInteger,
  derOctetString,
  derOid,
  derSequence,
  derUnsigned,
} from '../../src/certificates/der-writer.ts';
import { extensionOids, keyPurposeOids } from '../../src/certificates/oids.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import {
  commonName,
  DAY,
  extension,
  make,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  NOW,
  newKey,
  sharedKey,
} from './builder.ts';
import { refused, verify } from './checks.ts';

const root = makeRoot();
const intermediate = makeIntermediate(root);
const leaf = makeLeaf(intermediate);

test('a chain of leaf, intermediate and trusted root is accepted', () => {
  const { path, notAfter, publicKey } = verify([leaf, intermediate], [root]);
  assert.deepEqual(
    path.map(({ raw }) => raw),
    [leaf.der, intermediate.der, root.der],
  );
  assert.equal(notAfter, NOW + 90 * DAY);
  assert.equal(publicKey.type, 'ec-p256');
});

test('the order of the certificates behind the leaf does not matter, nor does a root among them or a stranger', () => {
  const stranger = makeRoot({ subject: 'Stranger' });
  assert.equal(verify([leaf, stranger, root, intermediate], [root]).path.length, 3);
  const broken = { ...stranger, der: Uint8Array.of(0x30, 0x03, 1, 2, 3) };
  assert.equal(verify([leaf, broken, intermediate], [root]).path.length, 3);
});

test('notAfter of the verdict is the first end of validity on the path', () => {
  const short = makeIntermediate(root, { notAfter: NOW + DAY });
  assert.equal(verify([makeLeaf(short), short], [root]).notAfter, NOW + DAY);
});

test('no certificates at all, and more than a chain can need, are refused', () => {
  refused(() => verify([], [root]), 'TLS_ERR_NO_CERTIFICATE', /sent no certificate/);
  refused(() => verify([leaf, ...Array(40).fill(intermediate)], [root]), 'TLS_ERR_BAD_CERTIFICATE', /41 certificates/);
});

test('a chain to a root that is not trusted is refused with unknown CA', () => {
  const other = makeRoot({ subject: 'Other root' });
  refused(
    () => verify([leaf, intermediate], [other]),
    'TLS_ERR_UNKNOWN_CA',
    /"CN=Test root" is not among the 1 trusted/,
  );
  refused(() => verify([leaf, intermediate, root], [other]), 'TLS_ERR_UNKNOWN_CA', /self-signed and not among/);
  refused(() => verify([leaf], [root]), 'TLS_ERR_UNKNOWN_CA', /"CN=Test intermediate" is not among/);
});

test('a root of the same name with another key is not the issuer', () => {
  refused(() => verify([leaf, intermediate], [makeRoot()]), 'TLS_ERR_UNKNOWN_CA', /leads to no trusted root/);
  // With key identifiers that agree, it is a signature that fails.
  const impostor = makeRoot({ replace: { [extensionOids.subjectKeyIdentifier]: undefined } });
  refused(() => verify([leaf, intermediate], [impostor]), 'TLS_ERR_BAD_CERTIFICATE', /signature .* does not verify/);
});

test('a flipped bit in the signature or in the signed part is refused', () => {
  const flip = (at: number) => {
    const der = leaf.der.slice();
    der[at < 0 ? der.length + at : at] ^= 1;
    return { ...leaf, der };
  };
  refused(() => verify([flip(-3), intermediate], [root]), 'TLS_ERR_BAD_CERTIFICATE', /signature|malformed/);
  const inName = leaf.der.findIndex((_, i) => Buffer.from(leaf.der.subarray(i, i + 9)).toString() === 'Test leaf');
  refused(() => verify([flip(inName), intermediate], [root]), 'TLS_ERR_BAD_CERTIFICATE', /signature/);
});

test('a leaf, an intermediate or a root outside its validity is refused, and the text names it', () => {
  const late = { now: NOW + 91 * DAY };
  refused(
    () => verify([leaf, intermediate], [root], late),
    'TLS_ERR_CERTIFICATE_EXPIRED',
    /"CN=Test leaf" .* expired at 2026-08-30T12:00:00Z/,
  );
  const early = { now: NOW - 2 * DAY };
  refused(
    () => verify([leaf, intermediate], [root], early),
    'TLS_ERR_CERTIFICATE_EXPIRED',
    /not valid before .* check the clock/,
  );
  const old = makeIntermediate(root, { notAfter: NOW - 1000 });
  refused(() => verify([makeLeaf(old), old], [root]), 'TLS_ERR_CERTIFICATE_EXPIRED', /"CN=Test intermediate"/);
  const ended = makeRoot({ notAfter: NOW - 1000 });
  refused(() => verify([makeLeaf(ended)], [ended]), 'TLS_ERR_CERTIFICATE_EXPIRED', /"CN=Test root"/);
});

test('validity includes both of its ends, to the second', () => {
  const exact = makeLeaf(root, { notBefore: NOW, notAfter: NOW });
  verify([exact], [root], { now: NOW + 999 });
  refused(() => verify([exact], [root], { now: NOW + 1000 }), 'TLS_ERR_CERTIFICATE_EXPIRED', /expired/);
  refused(() => verify([exact], [root], { now: NOW - 1 }), 'TLS_ERR_CERTIFICATE_EXPIRED', /not valid before/);
});

test('a time that is no time is within no validity', () => {
  for (const now of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    refused(() => verify([leaf, intermediate], [root], { now }), 'TLS_ERR_CERTIFICATE_EXPIRED', /it is now/);
  }
});

test('an expired cross-certificate does not spoil a path around it', () => {
  const old = makeRoot({ subject: 'Old root' });
  const cross = make({ subject: 'Test root', ca: true, key: root.key, issuer: old, notAfter: NOW - DAY });
  assert.equal(verify([leaf, intermediate, cross], [old, root]).path.length, 3);
  refused(() => verify([leaf, intermediate, cross], [old]), 'TLS_ERR_CERTIFICATE_EXPIRED', /"CN=Test root"/);
});

test('an intermediate that is not a CA is refused', () => {
  const server = makeLeaf(root, { subject: 'Server' });
  refused(
    () => verify([makeLeaf(server), server], [root]),
    'TLS_ERR_BAD_CERTIFICATE',
    /"CN=Server".*do not make it one/,
  );
  const bare = makeIntermediate(root, { replace: { [extensionOids.basicConstraints]: undefined }, keyUsage: null });
  refused(() => verify([makeLeaf(bare), bare], [root]), 'TLS_ERR_BAD_CERTIFICATE', /do not make it one/);
});

test('keyUsage must allow what a certificate is used for, and agree with basicConstraints', () => {
  const mute = makeIntermediate(root, { keyUsage: derBitString(Uint8Array.of(0x80), 7) });
  refused(() => verify([makeLeaf(mute), mute], [root]), 'TLS_ERR_BAD_CERTIFICATE', /does not allow keyCertSign/);
  const silent = makeLeaf(root, { keyUsage: derBitString(Uint8Array.of(0x20), 5) });
  refused(() => verify([silent], [root]), 'TLS_ERR_BAD_CERTIFICATE', /does not allow digitalSignature/);
  const proud = makeLeaf(root, { keyUsage: derBitString(Uint8Array.of(0x84), 2) });
  refused(() => verify([proud], [root]), 'TLS_ERR_BAD_CERTIFICATE', /do not make it a CA/);
  verify([makeLeaf(root, { keyUsage: null })], [root]);
});

test('a path length constraint counts the intermediates below, without self-issued ones', () => {
  const zero = makeIntermediate(root, { subject: 'Zero', ca: 0 });
  verify([makeLeaf(zero), zero], [root]);
  const below = makeIntermediate(zero, { subject: 'Below' });
  refused(
    () => verify([makeLeaf(below), below, zero], [root]),
    'TLS_ERR_BAD_CERTIFICATE',
    /"CN=Zero".*path length constraint is 0, but 1/,
  );
  const renewed = makeIntermediate(zero, { subject: 'Zero', ca: 0 });
  verify([makeLeaf(renewed), renewed, zero], [root]);
  const narrow = makeRoot({ subject: 'Narrow', ca: 0 });
  const under = makeIntermediate(narrow);
  refused(() => verify([makeLeaf(under), under], [narrow]), 'TLS_ERR_BAD_CERTIFICATE', /"CN=Narrow".*path length/);
});

test('a path length constraint without a CA is refused', () => {
  const value = extension(extensionOids.basicConstraints, true, derSequence(derInteger(1)));
  const odd = makeLeaf(root, { replace: { [extensionOids.basicConstraints]: value } });
  refused(() => verify([odd], [root]), 'TLS_ERR_BAD_CERTIFICATE', /path length constraint, but is not a CA/);
});

test('extKeyUsage must allow the purpose in the leaf and in every CA that has it', () => {
  const client = makeLeaf(root, { extKeyUsage: [keyPurposeOids.client] });
  refused(() => verify([client], [root]), 'TLS_ERR_BAD_CERTIFICATE', /does not allow serverAuth/);
  verify([client], [root], { purpose: 'client', checkName: false });
  refused(() => verify([leaf, intermediate], [root], { purpose: 'client' }), 'TLS_ERR_BAD_CERTIFICATE', /clientAuth/);
  verify([makeLeaf(root, { extKeyUsage: null })], [root]);

  const mailOnly = makeIntermediate(root, { extKeyUsage: ['1.3.6.1.5.5.7.3.4'] });
  refused(() => verify([makeLeaf(mailOnly), mailOnly], [root]), 'TLS_ERR_BAD_CERTIFICATE', /CA whose extKeyUsage/);
  const forAny = makeIntermediate(root, { extKeyUsage: [keyPurposeOids.any] });
  verify([makeLeaf(forAny), forAny], [root]);
  const clientRoot = makeRoot({ extKeyUsage: [keyPurposeOids.client] });
  refused(() => verify([makeLeaf(clientRoot)], [clientRoot]), 'TLS_ERR_BAD_CERTIFICATE', /CA whose extKeyUsage/);
});

test('anyExtendedKeyUsage alone makes no server, unless the form is tolerant', () => {
  const any = makeLeaf(root, { extKeyUsage: [keyPurposeOids.any] });
  refused(() => verify([any], [root]), 'TLS_ERR_BAD_CERTIFICATE', /does not allow serverAuth/);
  verify([any], [root], { form: 'tolerant' });
});

test('an unknown critical extension is refused wherever it stands, an unknown non-critical one is not', () => {
  const unknown = (critical: boolean) => [extension('1.3.6.1.4.1.55555.1', critical, derSequence())];
  verify([makeLeaf(root, { more: unknown(false) })], [root]);
  refused(
    () => verify([makeLeaf(root, { more: unknown(true) })], [root]),
    'TLS_ERR_BAD_CERTIFICATE',
    /1\.3\.6\.1\.4\.1\.55555\.1 is not understood/,
  );
  const odd = makeIntermediate(root, { more: unknown(true) });
  refused(() => verify([makeLeaf(odd), odd], [root]), 'TLS_ERR_BAD_CERTIFICATE', /not understood/);
  const oddRoot = makeRoot({ more: unknown(true) });
  refused(() => verify([makeLeaf(oddRoot)], [oddRoot]), 'TLS_ERR_BAD_CERTIFICATE', /not understood/);
});

test('an extension that appears twice is refused, known or not', () => {
  const twice = [extension('1.2.3.4', false, derSequence()), extension('1.2.3.4', false, derSequence())];
  refused(
    () => verify([makeLeaf(root, { more: twice })], [root]),
    'TLS_ERR_BAD_CERTIFICATE',
    /1\.2\.3\.4 appears twice/,
  );
  const usage = extension(extensionOids.keyUsage, true, derBitString(Uint8Array.of(0x80), 7));
  refused(
    () => parseCertificate(makeLeaf(root, { more: [usage] }).der),
    'TLS_ERR_BAD_CERTIFICATE',
    /2\.5\.29\.15 appears twice/,
  );
});

test('signature algorithms inside and outside must agree', () => {
  const other = derSequence(derOid('1.2.840.10045.4.3.3'));
  refused(
    () => verify([makeLeaf(root, { outerAlgorithm: other })], [root]),
    'TLS_ERR_BAD_CERTIFICATE',
    /differs from signatureAlgorithm/,
  );
  refused(
    () => verify([makeLeaf(root, { innerAlgorithm: other })], [root]),
    'TLS_ERR_BAD_CERTIFICATE',
    /differs from signatureAlgorithm/,
  );
});

test('a signature algorithm that is not accepted is refused as unsupported', () => {
  const sha1 = derSequence(derOid('1.2.840.10045.4.1'));
  const weak = makeLeaf(root, { innerAlgorithm: sha1, outerAlgorithm: sha1 });
  refused(() => verify([weak], [root]), 'TLS_ERR_UNSUPPORTED_CERTIFICATE', /1\.2\.840\.10045\.4\.1/);
});

test('keys outside the policy are refused: short RSA, odd sizes, other curves and types', () => {
  const rsa = (bytes: number, first: number, exponent = Uint8Array.of(1, 0, 1)) => {
    const modulus = new Uint8Array(bytes).fill(0xa5);
    modulus[0] = first;
    const key = derSequence(derUnsigned(modulus), derElement(0x02, exponent));
    return derSequence(derSequence(derOid('1.2.840.113549.1.1.1'), Uint8Array.of(5, 0)), derBitString(key));
  };
  const ec = (curve: string) =>
    derSequence(derSequence(derOid('1.2.840.10045.2.1'), derOid(curve)), derBitString(new Uint8Array(65).fill(4)));
  const dsa = derSequence(derSequence(derOid('1.2.840.10040.4.1')), derBitString(derInteger(7)));
  const leafWith = (spki: Uint8Array) => makeLeaf(root, { spki });
  const code = 'TLS_ERR_UNSUPPORTED_CERTIFICATE';
  refused(() => verify([leafWith(rsa(128, 0xa5))], [root]), code, /RSA key has 1024 bits/);
  refused(() => verify([leafWith(rsa(2048, 0xa5))], [root]), code, /RSA key has 16384 bits/);
  for (const exponent of [Uint8Array.of(1), Uint8Array.of(4), new Uint8Array(64).fill(0x11)]) {
    refused(() => verify([leafWith(rsa(256, 0xa5, exponent))], [root]), code, /exponent that is even, 1 or above/);
  }
  refused(() => verify([leafWith(rsa(256, 0x25))], [root]), code, /RSA key has 2046 bits/);
  refused(() => verify([leafWith(rsa(257, 0x25))], [root]), code, /RSA key has 2054 bits/);
  refused(() => verify([leafWith(ec('1.3.132.0.10'))], [root]), code, /curve 1\.3\.132\.0\.10/);
  refused(() => verify([leafWith(ec('1.2.840.10045.3.1.1'))], [root]), code, /curve 1\.2\.840\.10045\.3\.1\.1/);
  refused(() => verify([leafWith(dsa)], [root]), code, /type 1\.2\.840\.10040\.4\.1/);
});

test('a certificate that is not v3 is refused', () => {
  const v1 = makeLeaf(root, { version: 1 });
  refused(() => verify([v1], [root], { checkName: false }), 'TLS_ERR_BAD_CERTIFICATE', /v1 certificate, expected v3/);
  refused(() => parseCertificate(makeLeaf(root, { version: 2 }).der), 'TLS_ERR_BAD_CERTIFICATE', /stand in a v2/);
  refused(() => parseCertificate(makeLeaf(root, { version: 4 }).der), 'TLS_ERR_BAD_CERTIFICATE', /version/);
});

test('serial numbers are positive and of at most 20 octets; tolerant form lets others pass', () => {
  for (const serial of [Uint8Array.of(0), Uint8Array.of(0x80), new Uint8Array(21).fill(0x11)]) {
    const odd = makeLeaf(root, { serial });
    refused(() => verify([odd], [root]), 'TLS_ERR_BAD_CERTIFICATE', /serial number/);
    verify([odd], [root], { form: 'tolerant' });
  }
  refused(
    () => parseCertificate(makeLeaf(root, { serial: Uint8Array.of(0, 1) }).der),
    'TLS_ERR_BAD_CERTIFICATE',
    /shortest/,
  );
});

test('key identifiers must be there; tolerant form does without', () => {
  const leafWithout = makeLeaf(root, { replace: { [extensionOids.authorityKeyIdentifier]: undefined } });
  refused(() => verify([leafWithout], [root]), 'TLS_ERR_BAD_CERTIFICATE', /no authorityKeyIdentifier/);
  verify([leafWithout], [root], { form: 'tolerant' });
  const caWithout = makeIntermediate(root, { replace: { [extensionOids.subjectKeyIdentifier]: undefined } });
  refused(
    () => verify([makeLeaf(caWithout), caWithout], [root]),
    'TLS_ERR_BAD_CERTIFICATE',
    /without subjectKeyIdentifier/,
  );
  const critical = extension(extensionOids.subjectKeyIdentifier, true, derOctetString(new Uint8Array(20)));
  const loud = makeLeaf(root, { replace: { [extensionOids.subjectKeyIdentifier]: critical } });
  refused(() => verify([loud], [root]), 'TLS_ERR_BAD_CERTIFICATE', /subjectKeyIdentifier is critical/);
});

test('an empty issuer, an empty CA name, and an empty subject without critical subjectAltName are refused', () => {
  const empty = derSequence();
  refused(
    () => verify([makeLeaf(root, { issuerName: empty })], [root]),
    'TLS_ERR_BAD_CERTIFICATE',
    /name of a CA is empty/,
  );
  refused(() => verify([makeLeaf(root, { subject: empty })], [root]), 'TLS_ERR_BAD_CERTIFICATE', /subject is empty/);
  const names = extension(
    extensionOids.subjectAltName,
    true,
    derSequence(derElement(0x82, Buffer.from('example.com'))),
  );
  verify([makeLeaf(root, { subject: empty, replace: { [extensionOids.subjectAltName]: names } })], [root]);
  const nameless = makeIntermediate(root, { subject: empty });
  refused(() => verify([makeLeaf(nameless), nameless], [root]), 'TLS_ERR_BAD_CERTIFICATE', /empty/);
});

test('names are compared without regard to case, string type and white space', () => {
  const spelled = derSequence(
    derElement(0x31, derSequence(derOid('2.5.4.3'), derElement(0x13, Buffer.from('  TEST   root ')))),
  );
  verify([makeLeaf(root, { issuerName: spelled })], [root]);
  refused(
    () => verify([makeLeaf(root, { issuerName: commonName('Test roots') })], [root]),
    'TLS_ERR_UNKNOWN_CA',
    /"CN=Test roots"/,
  );
});

test('a self-signed certificate that is trusted itself is accepted for its names, whatever its form', () => {
  const key = sharedKey();
  const self = make({
    subject: 'localhost',
    names: ['localhost'],
    key,
    ca: true,
    serial: Uint8Array.of(0),
    keyUsage: null,
    replace: { [extensionOids.authorityKeyIdentifier]: undefined, [extensionOids.subjectKeyIdentifier]: undefined },
  });
  assert.equal(verify([self], [self], { serverName: 'localhost' }).path.length, 1);
  refused(() => verify([self], [self]), 'TLS_ERR_CERTIFICATE_NAME', /is not for "example.com", it is for localhost/);
  refused(() => verify([self], [root], { form: 'tolerant' }), 'TLS_ERR_UNKNOWN_CA', /self-signed/);
  refused(() => verify([self], [self], { now: NOW + 100 * DAY }), 'TLS_ERR_CERTIFICATE_EXPIRED', /expired/);
});

test('an intermediate may be trusted in the place of its root', () => {
  assert.equal(verify([leaf, intermediate], [intermediate]).path.length, 2);
});

test('of several CAs with one name, the one that signed is found', () => {
  const keys = [newKey(), newKey(), newKey()];
  const twins = keys.map((key) => makeRoot({ subject: 'Twin', key }));
  for (const twin of twins) {
    assert.equal(verify([makeLeaf(twin)], twins).path[1].raw.length, twin.der.length);
    verify([makeLeaf(twin, { replace: { [extensionOids.authorityKeyIdentifier]: undefined } })], twins, {
      form: 'tolerant',
    });
  }
});

test('hostile text in a name cannot reach a terminal', () => {
  const nasty = makeLeaf(root, { subject: 'evil\u001b[2J\u202e\nname', notAfter: NOW - DAY });
  refused(() => verify([nasty], [root]), 'TLS_ERR_CERTIFICATE_EXPIRED', /"CN=evil\\u001b\[2J\\u202e\\u000aname"/);
});

test('RSA, RSA-PSS and EdDSA certificates made by OpenSSL are accepted', skipUnless('openssl'), () => {
  const openssl = requireTool('openssl');
  for (const algorithm of ['RSA', 'RSA-PSS', 'ED25519', 'ED448']) {
    const pem = execFileSync(
      openssl,
      [
        'req',
        '-x509',
        '-newkey',
        algorithm,
        '-nodes',
        '-keyout',
        '/dev/null',
        '-subj',
        '/CN=localhost',
        '-addext',
        'subjectAltName=DNS:localhost',
        '-days',
        '30',
      ],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    );
    const der = new Uint8Array(Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'));
    const self = { der, name: der, key: sharedKey() };
    assert.equal(verify([self], [self], { serverName: 'localhost', now: Date.now() }).path.length, 1, algorithm);
  }
});
