/** Stapled OCSP responses: what is believed and what is refused, with responses of our own making and of OpenSSL's. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import { parseCertificate } from '../../src/certificates/certificate.ts';
import { derBitString, derOctetString, derSequence } from '../../src/certificates/der-writer.ts';
import { parseOcspResponse } from '../../src/certificates/ocsp.ts';
import { checkStaple, mustStaple, type StapleOptions } from '../../src/certificates/ocsp-check.ts';
import { extensionOids, keyPurposeOids } from '../../src/certificates/oids.ts';
import { derToPem } from '../../src/certificates/pem.ts';
import { TLSError } from '../../src/errors.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import {
  type Authority,
  commonName,
  DAY,
  extension,
  make,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  NOW,
} from './builder.ts';
import { refused } from './checks.ts';
import { makeOcsp, makeResponder, makeSingle, type OcspSpec, SHA1, SHA256 } from './ocsp-maker.ts';

const root = makeRoot();
const issuer = makeIntermediate(root);
const leaf = makeLeaf(issuer);
const other = makeLeaf(issuer, { serial: Uint8Array.of(0x4d, 9, 9) });
/** TLS feature status_request. */
const stapleExtension = extension(extensionOids.tlsFeature, false, derSequence(Uint8Array.of(0x02, 1, 5)));

function check(ocspResponse: Uint8Array | undefined, options: Partial<StapleOptions> = {}, of: Authority = leaf): void {
  const path = [of, issuer, root].map(({ der }) => parseCertificate(der));
  checkStaple({ path, ocspResponse, now: NOW, ...options });
}

function response(spec: Partial<OcspSpec> = {}): Uint8Array {
  return makeOcsp({ leaf, issuer, ...spec });
}

describe('a stapled OCSP response', () => {
  test('of the issuer that says good is believed, named by key or by name, with either hash', () => {
    check(response());
    check(response({ byName: true }));
    check(response({ hash: SHA256 }));
    check(response({ byName: true, hash: SHA256 }));
  });

  test('that says revoked is a certificate that was revoked', () => {
    refused(() => check(response({ status: 'revoked' })), 'TLS_ERR_CERTIFICATE_REVOKED', /revoked at 2026-05-30/);
    try {
      check(response({ status: 'revoked' }));
    } catch (error) {
      assert.equal((error as TLSError).alert, 'certificate_revoked');
    }
  });

  test('that says unknown is no answer', () => {
    refused(() => check(response({ status: 'unknown' })), 'TLS_ERR_BAD_STATUS', /does not know/);
  });

  test('about another certificate says nothing of this one', () => {
    refused(() => check(response({ leaf: other })), 'TLS_ERR_BAD_STATUS', /says nothing/);
    refused(() => check(response({ serial: Uint8Array.of(1) })), 'TLS_ERR_BAD_STATUS', /says nothing/);
    const foreign = makeIntermediate(root, { subject: 'Another intermediate' });
    refused(() => check(response({ issuer: foreign, signer: issuer })), 'TLS_ERR_BAD_STATUS', /says nothing/);
    const namesake = makeIntermediate(root);
    refused(() => check(response({ issuer: namesake, signer: issuer })), 'TLS_ERR_BAD_STATUS', /says nothing/);
    const renamed = makeIntermediate(root, { subject: 'Renamed intermediate', key: issuer.key });
    refused(() => check(response({ issuer: renamed, signer: issuer })), 'TLS_ERR_BAD_STATUS', /says nothing/);
    refused(() => check(response({ hash: '1.2.840.113549.2.5' })), 'TLS_ERR_BAD_STATUS', /says nothing/);
  });

  test('for a batch is searched for this certificate, and one that speaks of it twice must be good twice', () => {
    const about = { leaf: other, issuer };
    check(response({ before: [makeSingle({ ...about, status: 'revoked' })] }));
    refused(
      () => check(response({ before: [makeSingle({ leaf, issuer, status: 'revoked' })] })),
      'TLS_ERR_CERTIFICATE_REVOKED',
      /revoked/,
    );
  });

  test('that contradicts itself is refused for the first word that is not good, in every order', () => {
    const codes = { unknown: 'TLS_ERR_BAD_STATUS', revoked: 'TLS_ERR_CERTIFICATE_REVOKED' } as const;
    const words = ['good', 'unknown', 'revoked'] as const;
    for (const pair of words.flatMap((first) => words.map((second) => [first, second] as const))) {
      const bad = pair.find((word) => word !== 'good');
      for (const hash of [SHA1, SHA256]) {
        const both = response({ status: pair[1], before: [makeSingle({ leaf, issuer, status: pair[0], hash })] });
        if (bad === undefined) {
          check(both);
        } else {
          refused(() => check(both), codes[bad], /./);
        }
      }
    }
    const old = makeSingle({ leaf, issuer, nextUpdate: NOW - DAY, thisUpdate: NOW - 2 * DAY });
    refused(() => check(response({ before: [old] })), 'TLS_ERR_BAD_STATUS', /out of date/);
  });

  test('of a responder that the issuer appointed is believed', () => {
    const signer = makeResponder(issuer);
    check(response({ signer, certificates: [signer.der] }));
    check(response({ signer, certificates: [other.der, signer.der], byName: true }));
  });

  test('of a responder that it does not bring is refused', () => {
    const signer = makeResponder(issuer);
    refused(() => check(response({ signer })), 'TLS_ERR_BAD_STATUS', /not by the certificate's issuer/);
    refused(() => check(response({ signer, certificates: [other.der] })), 'TLS_ERR_BAD_STATUS', /not by/);
  });

  for (const [what, make, text] of [
    ['the root appointed', () => makeResponder(root), /not appointed/],
    ['another CA of the same name appointed', () => makeResponder(makeIntermediate(root)), /not appointed/],
    [
      'says that another CA appointed it',
      () => makeResponder(issuer, { issuerName: commonName('X') }),
      /not appointed/,
    ],
    ['may not sign OCSP', () => makeResponder(issuer, { extKeyUsage: [keyPurposeOids.server] }), /id-kp-OCSPSigning/],
    ['has no purpose', () => makeResponder(issuer, { extKeyUsage: null }), /id-kp-OCSPSigning/],
    ['has the purpose any', () => makeResponder(issuer, { extKeyUsage: [keyPurposeOids.any] }), /id-kp-OCSPSigning/],
    ['is a CA', () => makeResponder(issuer, { ca: true, keyUsage: null }), /is a CA/],
    ['is expired', () => makeResponder(issuer, { notAfter: NOW - 1000 }), /expired/],
    ['is not valid yet', () => makeResponder(issuer, { notBefore: NOW + DAY }), /not valid before/],
    [
      'has a critical extension that nobody knows',
      () => makeResponder(issuer, { more: [extension('1.2.3.4', true, Uint8Array.of(5, 0))] }),
      /1\.2\.3\.4/,
    ],
  ] as const) {
    test(`of a responder that ${what} is refused`, () => {
      const signer = make();
      refused(() => check(response({ signer, certificates: [signer.der] })), 'TLS_ERR_BAD_STATUS', text);
    });
  }

  test('of a leaf of the issuer, whose key signs what is not its to say, is refused', () => {
    refused(() => check(response({ signer: leaf, certificates: [leaf.der] })), 'TLS_ERR_BAD_STATUS', /OCSPSigning/);
  });

  test('of the leaf itself is refused, even where the issuer gave it the purpose to sign them', () => {
    const own = makeLeaf(issuer, { extKeyUsage: [keyPurposeOids.server, keyPurposeOids.ocspSigning] });
    const about = { leaf: own, signer: own };
    for (const byName of [false, true]) {
      const certificates = [own.der];
      refused(
        () => check(response({ ...about, byName, certificates }), {}, own),
        'TLS_ERR_BAD_STATUS',
        /it vouches for/,
      );
    }
    const twin = makeResponder(issuer, { key: own.key, serial: Uint8Array.of(0x4d, 7) });
    const byTwin = response({ leaf: own, signer: twin, certificates: [twin.der] });
    refused(() => check(byTwin, {}, own), 'TLS_ERR_BAD_STATUS', /it vouches for/);
    const signer = makeResponder(issuer);
    check(response({ leaf: own, signer, certificates: [signer.der] }), {}, own);
  });

  test('that names one responder and is signed by another is refused, by key and by name', () => {
    const signer = makeResponder(issuer);
    const second = makeResponder(issuer, { subject: 'Second responder' });
    for (const byName of [false, true]) {
      const certificates = [second.der, signer.der];
      const mixed = response({ signer, named: second, byName, certificates });
      refused(() => check(mixed), 'TLS_ERR_BAD_STATUS', /does not verify/);
      const stranger = response({ signer, named: root, byName, certificates: [root.der, signer.der] });
      refused(() => check(stranger), 'TLS_ERR_BAD_STATUS', /not appointed/);
    }
  });

  test('is held to what a responder may do with its key, and signed with no weak hash', () => {
    const keyUsage = derBitString(Uint8Array.of(0x20), 5);
    const signer = makeResponder(issuer, { keyUsage });
    refused(() => check(response({ signer, certificates: [signer.der] })), 'TLS_ERR_BAD_STATUS', /digitalSignature/);
    // ecdsa-with-SHA1 in place of ecdsa-with-SHA256: what it says is refused before it is tried.
    const weak = response({ algorithm: '1.2.840.10045.4.1' });
    refused(() => check(weak), 'TLS_ERR_BAD_STATUS', /algorithm or key that is not accepted/);
  });

  test('that is said to be of the issuer and is not is refused', () => {
    const signer = makeResponder(issuer);
    refused(() => check(response({ signer, named: issuer })), 'TLS_ERR_BAD_STATUS', /does not verify/);
  });

  test('is fresh from thisUpdate to nextUpdate, and five minutes more either way', () => {
    const times = { thisUpdate: NOW - DAY, nextUpdate: NOW };
    check(response(times), { now: NOW + 299_000 });
    refused(() => check(response(times), { now: NOW + 301_000 }), 'TLS_ERR_BAD_STATUS', /out of date/);
    check(response(times), { now: NOW + 301_000, clockSkew: 302_000 });
    const early = { thisUpdate: NOW + 299_000, nextUpdate: NOW + DAY };
    check(response(early));
    refused(() => check(response(early), { clockSkew: 0 }), 'TLS_ERR_BAD_STATUS', /still to come/);
    refused(() => check(response({ producedAt: NOW + DAY })), 'TLS_ERR_BAD_STATUS', /produced .* still to come/);
    refused(() => check(response(), { now: Number.NaN }), 'TLS_ERR_BAD_STATUS', /to come|out of date/);
  });

  test('that ends before it begins is refused, also where the clocks may differ', () => {
    const times = { thisUpdate: NOW + 1000, nextUpdate: NOW };
    refused(() => check(response(times)), 'TLS_ERR_BAD_STATUS', /ends before it begins/);
    check(response({ thisUpdate: NOW, nextUpdate: NOW }));
  });

  test('that says revoked is none the better for being of tomorrow or of last year', () => {
    for (const thisUpdate of [NOW + DAY, NOW - 365 * DAY]) {
      const late = response({ status: 'revoked', thisUpdate, nextUpdate: thisUpdate + DAY });
      refused(() => check(late), 'TLS_ERR_BAD_STATUS', /still to come|out of date/);
    }
  });

  test('without nextUpdate is fresh for a day', () => {
    const spec = { thisUpdate: NOW - DAY, nextUpdate: null };
    check(response(spec));
    refused(() => check(response(spec), { now: NOW + 301_000 }), 'TLS_ERR_BAD_STATUS', /out of date/);
  });

  test('may be held to a maximum age', () => {
    const spec = { thisUpdate: NOW - 2 * DAY, nextUpdate: NOW + 365 * DAY };
    check(response(spec));
    check(response(spec), { maxAge: 2 * DAY });
    refused(() => check(response(spec), { maxAge: DAY }), 'TLS_ERR_BAD_STATUS', /out of date/);
  });

  test('with a critical extension that is not known is refused', () => {
    refused(() => check(response({ critical: 'response' })), 'TLS_ERR_BAD_STATUS', /1\.2\.3\.4/);
    refused(() => check(response({ critical: 'single' })), 'TLS_ERR_BAD_STATUS', /1\.2\.3\.4/);
  });

  test('may bring a nonce or what else is not critical: a staple answers no request of ours', () => {
    const nonce = extension('1.3.6.1.5.5.7.48.1.2', false, derOctetString(Uint8Array.of(1, 2, 3, 4)));
    check(response({ extensions: [nonce] }));
    const critical = extension('1.3.6.1.5.5.7.48.1.2', true, derOctetString(Uint8Array.of(1, 2, 3, 4)));
    refused(() => check(response({ extensions: [nonce, critical] })), 'TLS_ERR_BAD_STATUS', /48\.1\.2/);
  });

  test('that is no answer at all is refused', () => {
    for (const [code, name] of [
      [1, 'malformedRequest'],
      [3, 'tryLater'],
      [6, 'unauthorized'],
    ] as const) {
      refused(() => check(response({ responseStatus: code })), 'TLS_ERR_BAD_STATUS', new RegExp(name));
    }
    refused(() => check(response({ responseStatus: 4 })), 'TLS_ERR_BAD_STATUS', /no meaning/);
    refused(() => check(response({ responseType: '1.3.6.1.5.5.7.48.1.2' })), 'TLS_ERR_BAD_STATUS', /ocsp-basic/);
    refused(() => check(new Uint8Array(0)), 'TLS_ERR_BAD_STATUS', /cannot be read/);
    refused(() => check(leaf.der), 'TLS_ERR_BAD_STATUS', /cannot be read/);
  });

  test('is refused with any one bit changed, cut short or followed by a byte', () => {
    const signer = makeResponder(issuer);
    const good = response({ signer, certificates: [signer.der] });
    check(good);
    for (let at = 0; at < good.length; at++) {
      const bad = good.slice();
      bad[at] ^= 1 << (at % 8);
      assert.throws(() => check(bad), codes, `byte ${at}`);
    }
    for (let length = 0; length < good.length; length += 7) {
      refused(() => check(good.subarray(0, length)), 'TLS_ERR_BAD_STATUS', /./);
    }
    refused(() => check(concat(good, Uint8Array.of(0))), 'TLS_ERR_BAD_STATUS', /follow its end/);
  });

  test('has bounds on what it may bring', () => {
    const signer = makeResponder(issuer);
    const certificates = Array.from({ length: 5 }, () => signer.der);
    refused(() => check(response({ signer, certificates })), 'TLS_ERR_BAD_STATUS', /more than 4/);
    const before = Array.from({ length: 64 }, () => makeSingle({ leaf: other, issuer }));
    refused(() => check(response({ before })), 'TLS_ERR_BAD_STATUS', /more than 64/);
  });
});

describe('a missing OCSP response', () => {
  test('is no fault where none is required', () => {
    check(undefined);
    refused(() => check(undefined, { required: true }), 'TLS_ERR_BAD_STATUS', /stapled no/);
  });

  test('is one where the certificate says that it must be stapled', () => {
    const strict = makeLeaf(issuer, { more: [stapleExtension] });
    assert.equal(mustStaple(parseCertificate(strict.der)), true);
    assert.equal(mustStaple(parseCertificate(leaf.der)), false);
    const lax = makeLeaf(issuer, {
      more: [extension(extensionOids.tlsFeature, false, derSequence(Uint8Array.of(0x02, 1, 17)))],
    });
    assert.equal(mustStaple(parseCertificate(lax.der)), false);
    refused(() => check(undefined, {}, strict), 'TLS_ERR_BAD_STATUS', /RFC 7633/);
    check(makeOcsp({ leaf: strict, issuer }), {}, strict);
  });

  test('cannot be made good by a leaf that is trusted by itself', () => {
    const path = [parseCertificate(make({ subject: 'Alone' }).der)];
    checkStaple({ path, ocspResponse: response(), now: NOW });
    refused(
      () => checkStaple({ path, ocspResponse: response(), now: NOW, required: true }),
      'TLS_ERR_BAD_STATUS',
      /no issuer/,
    );
  });
});

describe('OCSP responses that OpenSSL made', skipUnless('openssl'), () => {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-ocsp-'));
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const openssl = (...args: string[]) => execFileSync(requireTool('openssl'), args, { cwd: folder, stdio: 'pipe' });
  const now = Date.now();
  const validity = { notBefore: now - DAY, notAfter: now + 30 * DAY };
  const ca = makeRoot(validity);
  const site = makeLeaf(ca, validity);
  const gone = makeLeaf(ca, { ...validity, serial: Uint8Array.of(0x4d, 7) });
  const signer = makeResponder(ca, validity);
  write('ca.pem', derToPem(ca.der));
  write('ca.key', ca.key.privateKeyPem);
  write('signer.pem', derToPem(signer.der));
  write('signer.key', signer.key.privateKeyPem);
  write('site.pem', derToPem(site.der));
  write('gone.pem', derToPem(gone.der));
  write(
    'index.txt',
    `V\t301231000000Z\t\t4D010203\tunknown\t/CN=a\nR\t301231000000Z\t260101000000Z\t4D07\tunknown\t/CN=b\n`,
  );

  const ask = (certificate: string, by: 'ca' | 'signer', ...more: string[]) => {
    const files = ['-rsigner', `${by}.pem`, '-rkey', `${by}.key`, '-CA', 'ca.pem', '-index', 'index.txt'];
    openssl('ocsp', '-issuer', 'ca.pem', '-cert', certificate, '-no_nonce', '-reqout', 'request.der', ...more);
    openssl('ocsp', ...files, '-reqin', 'request.der', '-respout', 'response.der', '-ndays', '2');
    return new Uint8Array(readFileSync(join(folder, 'response.der')));
  };
  const judge = (of: Authority, ocspResponse: Uint8Array) =>
    checkStaple({ path: [of, ca].map(({ der }) => parseCertificate(der)), ocspResponse, now: Date.now() });

  test('are read and judged as ours', () => {
    try {
      judge(site, ask('site.pem', 'ca'));
      judge(site, ask('site.pem', 'signer'));
      refused(() => judge(gone, ask('gone.pem', 'signer')), 'TLS_ERR_CERTIFICATE_REVOKED', /2026-01-01/);
      refused(() => judge(gone, ask('site.pem', 'ca')), 'TLS_ERR_BAD_STATUS', /says nothing/);
      const { basic } = parseOcspResponse(ask('site.pem', 'signer'));
      assert.equal(basic?.responses[0].status, 'good');
      assert.equal(basic?.certificates.length, 1);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

function codes(error: unknown): boolean {
  return error instanceof TLSError && error.code === 'TLS_ERR_BAD_STATUS';
}
