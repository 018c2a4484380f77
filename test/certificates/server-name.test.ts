/** Which names a certificate is for. RFC 9525 §6. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCertificate } from '../../src/certificates/certificate.ts';
import { ipAddressText, parseIpAddress } from '../../src/certificates/general-name.ts';
import { matchesServerName } from '../../src/certificates/server-name.ts';
import { dnsName, makeLeaf, makeRoot, sharedKey, uriName } from './builder.ts';
import { refused, verify } from './checks.ts';

const root = makeRoot();

function matches(names: readonly (string | Uint8Array)[], serverName: string): boolean {
  return matchesServerName(parseCertificate(makeLeaf(root, { names, key: sharedKey() }).der), serverName);
}

test('a DNS name matches itself whatever its case, and with a trailing dot', () => {
  for (const name of ['example.com', 'EXAMPLE.com', 'example.com.']) {
    assert.ok(matches(['Example.COM'], name), name);
  }
  for (const name of ['www.example.com', 'com', 'example.org', 'xample.com', 'example.com..', '.example.com', '']) {
    assert.ok(!matches(['example.com'], name), name);
  }
});

test('a wildcard stands for exactly one whole leftmost label', () => {
  assert.ok(matches(['*.example.com'], 'www.example.com'));
  assert.ok(matches(['*.example.com'], 'xn--bcher-kva.example.com'));
  assert.ok(matches(['*.example.com'], 'my_bucket.example.com'));
  for (const name of ['example.com', 'a.b.example.com', '.example.com', '*.example.com', 'www.example.org']) {
    assert.ok(!matches(['*.example.com'], name), name);
  }
});

test('a wildcard within a label, behind the first label, twice, or alone matches nothing', () => {
  for (const pattern of [
    'w*.example.com',
    '*w.example.com',
    'www.*.com',
    '*.*.com',
    '*',
    '*.com',
    '*.',
    'xn--*.example.com',
    '**.example.com',
  ]) {
    for (const name of ['www.example.com', 'www.com', 'example.com', 'com']) {
      assert.ok(!matches([pattern], name), `${pattern} ${name}`);
    }
  }
});

test('the common name is never consulted', () => {
  const bare = makeLeaf(root, { subject: 'example.com', names: undefined, key: sharedKey() });
  refused(() => verify([bare], [root]), 'TLS_ERR_CERTIFICATE_NAME', /no server at all/);
  const other = makeLeaf(root, { subject: 'example.com', names: ['example.org'], key: sharedKey() });
  refused(() => verify([other], [root]), 'TLS_ERR_CERTIFICATE_NAME', /it is for example\.org/);
  verify([other], [root], { checkName: false, serverName: '' });
  refused(() => verify([other], [root], { serverName: '' }), 'TLS_ERR_CERTIFICATE_NAME', /not for ""/);
});

test('an address matches only as iPAddress, a name only as dNSName', () => {
  assert.ok(matches(['192.0.2.1'], '192.0.2.1'));
  assert.ok(!matches(['192.0.2.1'], '192.0.2.2'));
  assert.ok(!matches([dnsName('192.0.2.1')], '192.0.2.1'));
  assert.ok(!matches([dnsName('*.0.2.1')], '192.0.2.1'));
  assert.ok(matches(['2001:db8::1'], '2001:0DB8:0:0:0:0:0:1'));
  assert.ok(!matches(['2001:db8::1'], '2001:db8::2'));
  assert.ok(!matches([dnsName('2001:db8::1')], '2001:db8::1'));
  assert.ok(!matches([uriName('https://example.com/')], 'example.com'));
});

test('a name that some resolvers read as an address matches nothing', () => {
  for (const name of ['127.1', '0x7f.1', '192.0.2.01', '1.2.3.4.5', 'example.0x1']) {
    assert.ok(!matches([dnsName(name)], name), name);
  }
});

test('an IDN is compared as A-labels, given either way', () => {
  assert.ok(matches(['xn--bcher-kva.example'], 'bücher.example'));
  assert.ok(matches(['xn--bcher-kva.example'], 'xn--bcher-kva.example'));
  assert.ok(!matches(['bucher.example'], 'bücher.example'));
  assert.ok(!matches(['bcher.example'], 'bü/cher.example'));
  assert.ok(!matches(['example.com'], 'ü@example.com'));
});

test('a NUL or another control character in a name spoils the certificate', () => {
  for (const hidden of ['example.com\0.evil.example', 'example.com\n', 'exämple.com']) {
    const bad = makeLeaf(root, { names: [dnsName(hidden)], key: sharedKey() });
    refused(() => verify([bad], [root]), 'TLS_ERR_BAD_CERTIFICATE', /a name contains the byte 0x/);
  }
});

test('an iPAddress of a wrong length spoils the certificate', () => {
  const bad = makeLeaf(root, { names: [Uint8Array.of(0x87, 5, 1, 2, 3, 4, 5)], key: sharedKey() });
  refused(() => verify([bad], [root]), 'TLS_ERR_BAD_CERTIFICATE', /5 bytes long/);
});

test('an underscore in a certificate is refused in strict form only', () => {
  const odd = makeLeaf(root, { names: ['my_host.example.com'], key: sharedKey() });
  refused(() => verify([odd], [root], { serverName: 'my_host.example.com' }), 'TLS_ERR_BAD_CERTIFICATE', /underscore/);
  verify([odd], [root], { serverName: 'my_host.example.com', form: 'tolerant' });
});

test('addresses are read and printed in their usual forms', () => {
  const pairs = [
    ['0.0.0.0', '0.0.0.0'],
    ['255.1.2.3', '255.1.2.3'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ];
  for (const [text, canonical] of pairs) {
    const bytes = parseIpAddress(text);
    assert.ok(bytes !== undefined, text);
    assert.equal(ipAddressText(bytes), canonical);
  }
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    'g::',
    '::1.2.3',
    '1.2.3.4::',
    '::12345',
    '1:2:3:4:5:6:7:8::',
    '%::1',
    '[::1]',
    'fe80::1%eth0',
  ]) {
    assert.equal(parseIpAddress(text), undefined, text);
  }
});

test('what matches here, OpenSSL matches as well, whatever stands in the certificate and is asked for', () => {
  const label = fc.constantFrom(
    'a',
    'B',
    'com',
    'example',
    'xn--bcher-kva',
    '*',
    'a*',
    '*a',
    '_a',
    '-a',
    '1',
    '0x1',
    '',
  );
  const dotted = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
  const name = fc.oneof(dotted, fc.constantFrom('192.0.2.7', '::1', '2001:db8::1', 'example.com', 'a.example.com'));
  const wildcard = fc.oneof(dotted, name).map((base) => `*.${base}`);
  const presented = fc.array(fc.oneof(name, wildcard), { minLength: 1, maxLength: 3 });
  let matched = 0;
  fc.assert(
    fc.property(presented, fc.array(name, { minLength: 10, maxLength: 10 }), (names, asked) => {
      const { der } = makeLeaf(root, { names, key: sharedKey() });
      const ours = parseCertificate(der);
      const theirs = new X509Certificate(der);
      for (const reference of [...asked, ...names, ...names.map((one) => one.replace('*', 'b'))]) {
        // OpenSSL has no wildcards over labels with an underscore, which hosts do have.
        if (!matchesServerName(ours, reference) || reference.includes('_')) {
          continue;
        }
        matched++;
        // OpenSSL knows no trailing dot.
        const absolute = reference.replace(/\.$/, '');
        const agrees =
          parseIpAddress(reference) === undefined
            ? theirs.checkHost(absolute, { subject: 'never', partialWildcards: false })
            : theirs.checkIP(reference);
        assert.ok(agrees !== undefined, `${names.join(' ')} for ${reference}`);
      }
    }),
    { seed: 9525, numRuns: 300 },
  );
  assert.ok(matched > 200, `${matched} matched`);
});
