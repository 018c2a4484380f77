/** Name constraints. RFC 5280 §4.2.1.10. */

import { test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import { derElement, derOid, derSequence, derSet, derUtf8String } from '../../src/certificates/der-writer.ts';
import {
  type CertificateSpec,
  commonName,
  directoryName,
  dnsName,
  emailName,
  make,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  network,
  newKey,
  sharedKey,
  uriName,
} from './builder.ts';
import { refused, verify } from './checks.ts';

const key = newKey();
type Constraints = NonNullable<CertificateSpec['nameConstraints']>;

function chainUnder(constraints: Constraints, leaf: CertificateSpec) {
  const root = makeRoot({ nameConstraints: constraints, key });
  return { leaf: makeLeaf(root, { key: sharedKey(), ...leaf }), root };
}

function allows(constraints: Constraints, leaf: CertificateSpec): void {
  const chain = chainUnder(constraints, leaf);
  verify([chain.leaf], [chain.root], { checkName: false });
}

function forbids(constraints: Constraints, leaf: CertificateSpec, text = /permitted by|excluded by/): void {
  const chain = chainUnder(constraints, leaf);
  refused(() => verify([chain.leaf], [chain.root], { checkName: false }), 'TLS_ERR_BAD_CERTIFICATE', text);
}

test('a permitted DNS name allows itself and everything below it, and no other', () => {
  const permitted = [dnsName('example.com')];
  allows({ permitted }, { names: ['example.com', 'a.b.EXAMPLE.com', '*.example.com'] });
  forbids({ permitted }, { names: ['example.org'] }, /"example\.org" is not among those permitted/);
  forbids({ permitted }, { names: ['example.com', 'notexample.com'] });
  forbids({ permitted }, { names: ['com'] });
  forbids({ permitted: [dnsName('foo.example.com')] }, { names: ['*.example.com'] });
});

test('an excluded DNS name forbids itself, everything below it, and wildcards that reach into it', () => {
  const excluded = [dnsName('bar.example.com')];
  allows({ excluded }, { names: ['example.com', 'foobar.example.com', '*.foo.example.com'] });
  forbids({ excluded }, { names: ['bar.example.com'] });
  forbids({ excluded }, { names: ['example.com', 'x.BAR.example.com'] });
  forbids({ excluded }, { names: ['*.example.com'] });
  forbids({ excluded }, { names: ['*.bar.example.com'] });
  forbids({ excluded: [dnsName('')] }, { names: ['example.com'] });
});

test('exclusion wins over permission', () => {
  forbids(
    { permitted: [dnsName('example.com')], excluded: [dnsName('example.com')] },
    { names: ['example.com'] },
    /excluded/,
  );
});

test('constraints on one form of name leave the others free', () => {
  allows({ permitted: [network('192.0.2.0', 24)] }, { names: ['example.com'] });
  allows({ permitted: [dnsName('example.com')] }, { names: ['192.0.2.1'] });
});

test('networks are compared under their mask, IPv4 and IPv6 apart', () => {
  allows({ permitted: [network('192.0.2.0', 24)] }, { names: ['192.0.2.255'] });
  forbids({ permitted: [network('192.0.2.0', 24)] }, { names: ['192.0.3.1'] });
  forbids({ permitted: [network('192.0.2.0', 24)] }, { names: ['::1'] });
  allows({ permitted: [network('2001:db8::', 33)] }, { names: ['2001:db8:7fff::1'] });
  forbids({ permitted: [network('2001:db8::', 33)] }, { names: ['2001:db8:8000::1'] });
  forbids({ excluded: [network('0.0.0.0', 0)] }, { names: ['10.0.0.1'] }, /excluded/);
  allows({ excluded: [network('0.0.0.0', 0)] }, { names: ['::1'] });
});

test('mailboxes are bound by mailbox, host or domain; an asterisk is only a character', () => {
  const names = [emailName('user@mail.example.com')];
  allows({ permitted: [emailName('user@mail.example.com')] }, { names });
  allows({ permitted: [emailName('mail.EXAMPLE.com')] }, { names });
  allows({ permitted: [emailName('.example.com')] }, { names });
  forbids({ permitted: [emailName('example.com')] }, { names });
  forbids({ permitted: [emailName('User@mail.example.com')] }, { names });
  forbids({ permitted: [emailName('*@mail.example.com')] }, { names });
  forbids({ excluded: [emailName('.example.com')] }, { names });
  forbids({ permitted: [emailName('example.com')] }, { names: [emailName('a@b@example.com')] });
  forbids({ permitted: [emailName('example.com')] }, { names: [emailName('example.com')] });
});

test('mail addresses in the subject are bound as well', () => {
  const subject = derSequence(
    derSet(derSequence(derOid('1.2.840.113549.1.9.1'), derElement(0x16, Buffer.from('a@evil.example')))),
  );
  forbids({ permitted: [emailName('example.com')] }, { subject, names: ['example.com'], replace: {}, more: [] });
});

test('directory names are bound by their leading parts, the subject included', () => {
  const name = (...parts: [string, string][]) =>
    derSequence(...parts.map(([type, value]) => derSet(derSequence(derOid(type), derUtf8String(value)))));
  const company = name(['2.5.4.6', 'DE'], ['2.5.4.10', 'Good  Company']);
  const inside = name(['2.5.4.6', 'de'], ['2.5.4.10', 'good company'], ['2.5.4.3', 'Server']);
  const outside = name(['2.5.4.6', 'de'], ['2.5.4.10', 'Bad company'], ['2.5.4.3', 'Server']);
  const permitted = [directoryName(company)];
  allows({ permitted }, { subject: inside });
  forbids({ permitted }, { subject: outside });
  forbids({ permitted }, { subject: inside, names: [directoryName(outside)] });
  forbids({ excluded: permitted }, { subject: inside });
  allows({ excluded: permitted }, { subject: outside });
});

test('a constraint on a form that is not understood refuses exactly the certificates with such a name', () => {
  const otherName = derElement(0xa0, derOid('1.2.3.4'), derElement(0xa0, derUtf8String('x')));
  for (const [constraint, name] of [
    [otherName, otherName],
    [uriName('example.com'), uriName('https://example.com/')],
  ]) {
    forbids({ excluded: [constraint] }, { names: [name] });
    forbids({ permitted: [constraint] }, { names: [name] });
    allows({ excluded: [constraint], permitted: [constraint] }, { names: ['example.com'] });
  }
});

test('a name that cannot be judged is not allowed under constraints of its form', () => {
  forbids({ permitted: [dnsName('example.com')] }, { names: [dnsName('.example.com')] });
  forbids({ excluded: [dnsName('example.org')] }, { names: [dnsName('a..b')] });
});

test('malformed constraints are refused', () => {
  const malformed = /name constraints are malformed/;
  forbids({ permitted: [dnsName('.example.com')] }, {}, malformed);
  forbids({ permitted: [dnsName('*.example.com')] }, {}, malformed);
  forbids({ permitted: [emailName('a@b@example.com')] }, {}, malformed);
  forbids({ excluded: [Uint8Array.of(0x87, 4, 1, 2, 3, 4)] }, {}, malformed);
  forbids({ excluded: [concat(Uint8Array.of(0x87, 8, 10, 0, 0, 0), Uint8Array.of(255, 0, 255, 0))] }, {}, malformed);
});

test('an empty extension, empty lists, and minimum or maximum are refused', () => {
  const root = makeRoot({ key, nameConstraints: {} });
  refused(() => verify([makeLeaf(root)], [root]), 'TLS_ERR_CONFIG', /neither permits nor excludes/);
  const withList = makeRoot({ key, nameConstraints: { permitted: [] } });
  refused(() => verify([makeLeaf(withList)], [withList]), 'TLS_ERR_CONFIG', /is missing/);
  const minimum = makeRoot({
    key,
    nameConstraints: { permitted: [concat(dnsName('example.com'), Uint8Array.of(0x80, 1, 1))] },
  });
  refused(() => verify([makeLeaf(minimum)], [minimum]), 'TLS_ERR_CONFIG', /bytes follow its end/);
});

test('name constraints in a certificate that is not a CA are refused', () => {
  const root = makeRoot({ key });
  const leaf = makeLeaf(root, { nameConstraints: { permitted: [dnsName('example.com')] } });
  refused(() => verify([leaf], [root]), 'TLS_ERR_BAD_CERTIFICATE', /not a CA/);
});

test('each CA can only narrow what those above it allow', () => {
  const root = makeRoot({ key, nameConstraints: { permitted: [dnsName('example.com')] } });
  const wide = makeIntermediate(root, {
    nameConstraints: { permitted: [dnsName('example.com'), dnsName('example.org')] },
  });
  verify([makeLeaf(wide), wide], [root]);
  const outside = makeLeaf(wide, { names: ['example.org'] });
  refused(
    () => verify([outside, wide], [root], { checkName: false }),
    'TLS_ERR_BAD_CERTIFICATE',
    /constraints of "CN=Test root"/,
  );
});

test('constraints bind the names of intermediates, except self-issued ones', () => {
  const root = makeRoot({ key, nameConstraints: { permitted: [dnsName('example.com')] } });
  const named = makeIntermediate(root, { names: ['example.org'] });
  refused(() => verify([makeLeaf(named), named], [root]), 'TLS_ERR_BAD_CERTIFICATE', /"CN=Test intermediate"/);
  const renewed = make({ subject: 'Test root', ca: true, issuer: root, names: ['example.org'] });
  verify([makeLeaf(renewed), renewed], [root]);
  const selfIssuedLeaf = makeLeaf(root, { subject: commonName('Test root'), names: ['example.org'] });
  refused(() => verify([selfIssuedLeaf], [root], { checkName: false }), 'TLS_ERR_BAD_CERTIFICATE', /permitted by/);
});

test('a forbidden path does not hide an allowed one', () => {
  const strictRoot = makeRoot({ subject: 'Strict', nameConstraints: { permitted: [dnsName('example.org')] } });
  const openRoot = makeRoot({ subject: 'Open' });
  const shared = newKey();
  const under = [strictRoot, openRoot].map((issuer) => makeIntermediate(issuer, { key: shared }));
  const leaf = makeLeaf(under[0]);
  verify([leaf, ...under], [strictRoot, openRoot]);
  refused(() => verify([leaf, ...under], [strictRoot]), 'TLS_ERR_BAD_CERTIFICATE', /constraints of "CN=Strict"/);
});
