/** Certificates that say how they must be served (RFC 7633): what they demand, of whom, and who passes it on. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseCertificate } from '../../src/certificates/certificate.ts';
import { createChainCache } from '../../src/certificates/chain-cache.ts';
import { derInteger, derOctetString, derSequence } from '../../src/certificates/der-writer.ts';
import { checkStaple } from '../../src/certificates/ocsp-check.ts';
import { extensionOids } from '../../src/certificates/oids.ts';
import { createTrustStore } from '../../src/certificates/trust-store.ts';
import type { VerifyOptions } from '../../src/certificates/verify.ts';
import {
  type Authority,
  type CertificateSpec,
  DAY,
  extension,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  NOW,
} from './builder.ts';
import { refused, verify } from './checks.ts';
import { makeOcsp, type OcspSpec } from './ocsp-maker.ts';

const STATUS_REQUEST = 5;
const STATUS_REQUEST_V2 = 17;

function features(critical: boolean, ...numbers: readonly number[]): Pick<CertificateSpec, 'more'> {
  return { more: [extension(extensionOids.tlsFeature, critical, derSequence(...numbers.map(derInteger)))] };
}

const root = makeRoot();
const issuer = makeIntermediate(root);
const plain = makeLeaf(issuer);
const mustStaple = makeLeaf(issuer, features(false, STATUS_REQUEST));
const critical = makeLeaf(issuer, features(true, STATUS_REQUEST));

function staple(leaf: Authority, spec: Partial<OcspSpec> = {}): Uint8Array {
  return makeOcsp({ leaf, issuer, ...spec });
}

function judge(leaf: Authority, options: Partial<VerifyOptions> = {}): void {
  verify([leaf, issuer], [root], options);
}

describe('a certificate that must be stapled', () => {
  test('is refused without a staple by whoever judges them, and let pass by whoever does not', () => {
    for (const stapling of ['check', 'require'] as const) {
      refused(() => judge(mustStaple, { stapling }), 'TLS_ERR_BAD_STATUS', /stapled no OCSP response/);
      judge(mustStaple, { stapling, ocspResponse: staple(mustStaple) });
      const revoked = staple(mustStaple, { status: 'revoked' });
      refused(() => judge(mustStaple, { stapling, ocspResponse: revoked }), 'TLS_ERR_CERTIFICATE_REVOKED', /revoked/);
    }
    judge(mustStaple);
    judge(mustStaple, { stapling: 'judged' });
  });

  test('is no other than one that need not, where a staple is required of all', () => {
    judge(plain, { stapling: 'check' });
    refused(() => judge(plain, { stapling: 'require' }), 'TLS_ERR_BAD_STATUS', /one is required/);
    judge(plain, { stapling: 'require', ocspResponse: staple(plain) });
  });

  test('is refused with the staple of another, and with any bytes at all', () => {
    const foreign = staple(plain, { serial: Uint8Array.of(9) });
    for (const ocspResponse of [foreign, Uint8Array.of(0x30, 0), new Uint8Array(0)]) {
      refused(() => judge(mustStaple, { stapling: 'check', ocspResponse }), 'TLS_ERR_BAD_STATUS', /./);
    }
  });

  test('and is trusted by itself can have no valid staple, so that none makes it good', () => {
    const path = [parseCertificate(mustStaple.der)];
    for (const ocspResponse of [undefined, staple(mustStaple), Uint8Array.of(1)]) {
      refused(() => checkStaple({ path, ocspResponse, now: NOW }), 'TLS_ERR_BAD_STATUS', /no issuer|stapled no/);
    }
  });
});

describe('a critical TLS feature extension', () => {
  test('is refused by whoever does not judge staples', () => {
    refused(() => judge(critical), 'TLS_ERR_BAD_CERTIFICATE', /critical TLS feature/);
    refused(() => judge(critical, { form: 'tolerant' }), 'TLS_ERR_BAD_CERTIFICATE', /critical TLS feature/);
    refused(() => verify([critical], [critical]), 'TLS_ERR_BAD_CERTIFICATE', /critical TLS feature/);
  });

  test('is what it says to whoever does', () => {
    refused(() => judge(critical, { stapling: 'check' }), 'TLS_ERR_BAD_STATUS', /stapled no/);
    judge(critical, { stapling: 'check', ocspResponse: staple(critical) });
    judge(critical, { stapling: 'judged' });
  });

  test('with a feature that nobody sees to is refused by all', () => {
    const odd = makeLeaf(issuer, features(true, STATUS_REQUEST, STATUS_REQUEST_V2));
    const options = { stapling: 'require', ocspResponse: staple(odd) } as const;
    refused(() => judge(odd, options), 'TLS_ERR_BAD_CERTIFICATE', /critical TLS feature/);
  });

  test("in a client's certificate is refused: a server asks its clients for no staple", () => {
    const client = makeLeaf(issuer, { extKeyUsage: null, ...features(true, STATUS_REQUEST) });
    refused(() => judge(client, { purpose: 'client' }), 'TLS_ERR_BAD_CERTIFICATE', /critical TLS feature/);
    judge(makeLeaf(issuer, { extKeyUsage: null, ...features(false, STATUS_REQUEST) }), { purpose: 'client' });
  });
});

describe('a CA with TLS features', () => {
  const demanding = makeIntermediate(root, { subject: 'Demanding', ...features(false, STATUS_REQUEST) });

  test('refuses to stand above a certificate without them, whether or not staples are judged', () => {
    const lax = makeLeaf(demanding);
    for (const stapling of [undefined, 'check', 'require', 'judged'] as const) {
      const options = { stapling, ocspResponse: makeOcsp({ leaf: lax, issuer: demanding }) };
      refused(() => verify([lax, demanding], [root], options), 'TLS_ERR_BAD_CERTIFICATE', /TLS feature 5/);
    }
    const other = makeLeaf(demanding, features(false, STATUS_REQUEST_V2));
    refused(() => verify([other, demanding], [root]), 'TLS_ERR_BAD_CERTIFICATE', /TLS feature 5/);
  });

  test('stands above one with the same or more, which then must be stapled', () => {
    for (const numbers of [[STATUS_REQUEST], [STATUS_REQUEST_V2, STATUS_REQUEST]]) {
      const leaf = makeLeaf(demanding, features(false, ...numbers));
      verify([leaf, demanding], [root]);
      const bare = () => verify([leaf, demanding], [root], { stapling: 'check' });
      refused(bare, 'TLS_ERR_BAD_STATUS', /RFC 7633/);
    }
  });

  test('binds what is further below through what is between', () => {
    const between = makeIntermediate(demanding, { subject: 'Between' });
    const leaf = makeLeaf(between, features(false, STATUS_REQUEST));
    refused(() => verify([leaf, between, demanding], [root]), 'TLS_ERR_BAD_CERTIFICATE', /TLS feature 5/);
    const passing = makeIntermediate(demanding, { subject: 'Passing', ...features(false, STATUS_REQUEST) });
    verify([makeLeaf(passing, features(false, STATUS_REQUEST)), passing, demanding], [root]);
    const last = makeLeaf(passing);
    refused(() => verify([last, passing, demanding], [root]), 'TLS_ERR_BAD_CERTIFICATE', /TLS feature 5/);
  });

  test('binds as a root, and is passed by on the way to another root', () => {
    const strict = makeRoot({ subject: 'Strict root', ...features(false, STATUS_REQUEST) });
    refused(() => verify([makeLeaf(strict)], [strict]), 'TLS_ERR_BAD_CERTIFICATE', /TLS feature 5/);
    const twin = makeIntermediate(root, { subject: 'Demanding', key: demanding.key });
    verify([makeLeaf(demanding), demanding, twin], [root]);
  });
});

test('a TLS feature extension that is not a list of small numbers spoils its certificate', () => {
  for (const [value, text] of [
    [derOctetString(Uint8Array.of(5)), /expected tag/],
    [derSequence(Uint8Array.of(0x02, 0)), /INTEGER is empty/],
    [derSequence(Uint8Array.of(0x02, 2, 0, 5)), /shortest form/],
    [derSequence(Uint8Array.of(0x02, 1, 0x85)), /negative/],
    [derSequence(derInteger(5), Uint8Array.of(0x04, 0)), /expected tag/],
    [derSequence(...Array.from({ length: 17 }, () => derInteger(5))), /more than 16/],
  ] as const) {
    const bad = makeLeaf(issuer, { more: [extension(extensionOids.tlsFeature, false, value)] });
    refused(() => judge(bad), 'TLS_ERR_BAD_CERTIFICATE', text);
  }
});

describe('the cache of verdicts', () => {
  const roots = createTrustStore([root.der]);
  const options = (leaf: Authority, changes: Partial<VerifyOptions>): VerifyOptions => ({
    ...{ chain: [leaf.der, issuer.der], roots, serverName: 'example.com', now: NOW, purpose: 'server' },
    ...changes,
  });

  test('judges each staple anew, also where the path is known', () => {
    const cache = createChainCache();
    const good = { stapling: 'check', ocspResponse: staple(mustStaple) } as const;
    const first = cache.verify(options(mustStaple, good));
    assert.equal(cache.verify(options(mustStaple, good)), first);
    for (const [changes, code] of [
      [{ stapling: 'check' }, 'TLS_ERR_BAD_STATUS'],
      [{ stapling: 'require' }, 'TLS_ERR_BAD_STATUS'],
      [{ stapling: 'check', ocspResponse: staple(mustStaple, { status: 'revoked' }) }, 'TLS_ERR_CERTIFICATE_REVOKED'],
      [{ stapling: 'check', ocspResponse: staple(mustStaple, { nextUpdate: NOW - DAY }) }, 'TLS_ERR_BAD_STATUS'],
    ] as const) {
      refused(() => cache.verify(options(mustStaple, changes)), code, /./);
    }
    assert.equal(cache.size, 1);
  });

  test('has a staple end while its path holds', () => {
    const cache = createChainCache({ maxAge: DAY });
    const ocspResponse = staple(mustStaple, { nextUpdate: NOW + 60_000 });
    cache.verify(options(mustStaple, { stapling: 'check', ocspResponse }));
    const later = { stapling: 'check', ocspResponse, now: NOW + 400_000 } as const;
    refused(() => cache.verify(options(mustStaple, later)), 'TLS_ERR_BAD_STATUS', /out of date/);
  });

  test('does not let a critical feature past who judges no staples, in either order', () => {
    const cache = createChainCache();
    const good = { stapling: 'require', ocspResponse: staple(critical) } as const;
    for (let round = 0; round < 2; round++) {
      refused(() => cache.verify(options(critical, {})), 'TLS_ERR_BAD_CERTIFICATE', /critical TLS feature/);
      cache.verify(options(critical, good));
    }
  });
});
