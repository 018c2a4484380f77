/**
 * Chains and OCSP responses that were changed and signed again: whatever comes of it is a verdict and no crash, and what is
 * accepted, OpenSSL accepts as well. The same on every run; MAYFLY_FUZZ_RUNS and MAYFLY_FUZZ_SEED make others, and more.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sameBytes } from '../../src/bytes/bytes.ts';
import { type ParsedCertificate, parseCertificate } from '../../src/certificates/certificate.ts';
import { contextTag } from '../../src/certificates/der.ts';
import {
  derBitString,
  derElement,
  derInteger,
  derOctetString,
  derOid,
  derSequence,
} from '../../src/certificates/der-writer.ts';
import { checkStaple } from '../../src/certificates/ocsp-check.ts';
import { extensionOids, keyPurposeOids, OID_ECDSA_WITH_SHA256 } from '../../src/certificates/oids.ts';
import { peerCertificate } from '../../src/certificates/peer-certificate.ts';
import { createTrustStore } from '../../src/certificates/trust-store.ts';
import { type VerifiedChain, verifyCertificateChain } from '../../src/certificates/verify.ts';
import { TLSError } from '../../src/errors.ts';
import { skipUnless } from '../support/tools.ts';
import {
  type Authority,
  commonName,
  DAY,
  directoryName,
  dnsName,
  emailName,
  extension,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  network,
  policies,
  uriName,
} from './builder.ts';
import { anyChange, type Change, elements, mutant, mutate, type Node } from './mutants.ts';
import { makeOcsp, makeResponder } from './ocsp-maker.ts';
import { OpenSsl } from './openssl.ts';
import { countReads } from './reads.ts';

const RUNS = Number(process.env.MAYFLY_FUZZ_RUNS ?? 400);
const SEED = Number(process.env.MAYFLY_FUZZ_SEED ?? 5280);
/** By the real clock: the openssl commands for OCSP know no other. */
const NOW = Math.floor(Date.now() / 1000) * 1000;
const validity = { notBefore: NOW - DAY, notAfter: NOW + 30 * DAY };
const names = ['example.com', '*.example.com', '192.0.2.7'];

interface Chain {
  readonly root: Authority;
  readonly intermediate: Authority;
  readonly leaf: Authority;
}

/** Each has other extensions in it: what is not there cannot be changed. */
const chains: readonly Chain[] = [
  chain({}, {}, {}),
  chain(
    {
      nameConstraints: {
        permitted: [dnsName('example.com'), network('192.0.2.0', 24), directoryName(commonName('Test leaf'))],
        excluded: [dnsName('evil.example.com'), emailName('example.org')],
      },
    },
    {},
    { names: [...names, emailName('a@example.com'), directoryName(commonName('Test leaf'))] },
  ),
  chain(
    { ca: 0, extKeyUsage: [keyPurposeOids.server], more: [policies('1.2.3'), policyConstraints()] },
    { ca: 1 },
    {
      more: [policies('1.2.3'), extension(extensionOids.tlsFeature, false, derSequence(derInteger(5))), infoAccess()],
      names: [...names, uriName('https://example.com/')],
    },
  ),
];

const anyMutants = fc.record({
  chain: fc.constantFrom(...chains),
  who: fc.constantFrom('root' as const, 'intermediate' as const, 'leaf' as const),
  changes: fc.array(anyChange, { minLength: 1, maxLength: 2 }),
});

interface Mutant {
  readonly who: keyof Chain;
  readonly changes: readonly Change[];
  /** DER. */
  readonly changed: Uint8Array;
  readonly root: Uint8Array;
  readonly intermediate: Uint8Array;
  readonly leaf: Uint8Array;
}

function mutants(): Mutant[] {
  return fc.sample(anyMutants, { seed: SEED, numRuns: RUNS }).map(({ chain: of, who, changes }) => {
    const signer = who === 'leaf' ? of.intermediate : of.root;
    const changed = mutant(of[who].der, changes, signer.key);
    const ders = { root: of.root.der, intermediate: of.intermediate.der, leaf: of.leaf.der };
    return { who, changes, changed, ...ders, [who]: changed };
  });
}

test('a chain that was changed and signed again gets a verdict, and no more is read than there are bytes', () => {
  for (const one of mutants()) {
    const reads = countReads(() => {
      onlyTlsError(one, () => peerCertificate(parseCertificate(one.changed)));
    });
    assert.ok(reads <= one.changed.length, `${reads} elements in ${one.changed.length} bytes: ${story(one)}`);
    for (const form of ['strict', 'tolerant'] as const) {
      for (const purpose of ['server', 'client'] as const) {
        onlyTlsError(one, () => judged(one, form, purpose));
      }
    }
  }
});

test(
  'what was changed and is accepted, OpenSSL accepts as well, or it is written here why not',
  skipUnless('openssl'),
  () => {
    const openssl = new OpenSsl();
    const count = { accepted: 0, argued: 0 };
    const wrong: string[] = [];
    for (const one of mutants()) {
      for (const form of ['strict', 'tolerant'] as const) {
        const verdict = attempted(() => judged(one, form, 'server'));
        if (verdict === undefined) {
          continue;
        }
        count.accepted++;
        const refusal = openssl.refusals([one.leaf], { ...one, form, at: NOW })[0];
        const reason = refusal === undefined ? undefined : argued(one, verdict, refusal);
        if (refusal !== undefined && reason === undefined) {
          wrong.push(`${form}: ${refusal} ${story(one)}`);
        }
        count.argued += reason === undefined ? 0 : 1;
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(count.accepted > RUNS / 20 && count.argued < count.accepted / 2, JSON.stringify(count));
  },
);

test(
  'an OCSP response that was changed and signed again gets a verdict, and OpenSSL believes it too',
  skipUnless('openssl'),
  () => {
    const [{ root, intermediate: issuer, leaf }] = chains;
    const path = [leaf, issuer, root].map(({ der }) => parseCertificate(der));
    const openssl = new OpenSsl();
    const responder = makeResponder(issuer, validity);
    const times = { producedAt: NOW - 60_000, thisUpdate: NOW - 60_000, nextUpdate: NOW + DAY };
    const good = [
      makeOcsp({ leaf, issuer, ...times }),
      makeOcsp({ leaf, issuer, ...times, nextUpdate: null, byName: true }),
      makeOcsp({ leaf, issuer, ...times, signer: responder, certificates: [responder.der] }),
      makeOcsp({ leaf, issuer, ...times, status: 'revoked' }),
    ];
    const anyResponse = fc.record({
      which: fc.nat(good.length - 1),
      changes: fc.array(anyChange, { minLength: 1, maxLength: 2 }),
    });
    let accepted = 0;
    for (const { which, changes } of fc.sample(anyResponse, { seed: SEED, numRuns: RUNS })) {
      const ocspResponse = signedAgain(good[which], changes, which === 2 ? responder : issuer);
      try {
        checkStaple({ path, ocspResponse, now: Date.now() });
      } catch (error) {
        assert.ok(error instanceof TLSError, `${String((error as Error).stack)} ${JSON.stringify(changes)}`);
        continue;
      }
      accepted++;
      const said = openssl.ocsp(ocspResponse, { root: root.der, issuer: issuer.der, leaf: leaf.der });
      assert.match(said, /Response verify OK/, JSON.stringify({ which, changes }));
      assert.match(said, /leaf\.pem: good/, JSON.stringify({ which, changes }));
    }
    assert.ok(accepted > RUNS / 100, `${accepted} of ${RUNS}`);
  },
);

/** The reasons for which OpenSSL refuses what is accepted here. */
function argued({ who }: Mutant, { path }: VerifiedChain, refusal: string): string | undefined {
  if (
    /unable to get (local )?issuer certificate/.test(refusal) &&
    path.some((child, i) => hintsElsewhere(child, path[i + 1]))
  ) {
    return 'key identifiers are there to find an issuer (RFC 5280 §4.2.1.1); the signature says who it is';
  }
  if (who === 'root' && /at 2 depth lookup: (Missing|Basic Constraints|CA cert does not|Path length)/.test(refusal)) {
    return "the form of a root is its owner's choice, as in `limbo-exceptions.ts`";
  }
  return undefined;
}

/** By key, or by issuer and serial number. */
function hintsElsewhere(child: ParsedCertificate, issuer: ParsedCertificate | undefined): boolean {
  const extension = child.extensions.get(extensionOids.authorityKeyIdentifier);
  const hint = child.authorityKeyIdentifier?.keyIdentifier;
  const own = issuer?.subjectKeyIdentifier;
  const hasMore = extension !== undefined && extension.value.length > 4 + (hint?.length ?? 0);
  return hasMore || (hint !== undefined && own !== undefined && !sameBytes(hint, own));
}

function judged({ root, intermediate, leaf }: Mutant, form: 'strict' | 'tolerant', purpose: 'server' | 'client') {
  const options = { serverName: 'example.com', now: NOW, purpose, form };
  return verifyCertificateChain({ chain: [leaf, intermediate], roots: createTrustStore([root]), ...options });
}

function attempted<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

function onlyTlsError(one: Mutant, action: () => unknown): void {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof TLSError, `${String((error as Error).stack)} ${story(one)}`);
  }
}

function story({ who, changes }: Mutant): string {
  return `${who} ${JSON.stringify(changes)}`;
}

/** Changes what is signed, and now and then what is around it. */
function signedAgain(response: Uint8Array, changes: readonly Change[], signer: Authority): Uint8Array {
  const [whole] = elements(response);
  const basic = descend(whole, 1, 0, 1, 0);
  const tbs = mutate(descend(basic, 0), changes);
  const certificates = (basic.children ?? []).slice(3).map((node) => mutate(node, []));
  const signature = derBitString(signer.key.sign(tbs));
  const again = derSequence(tbs, derSequence(derOid(OID_ECDSA_WITH_SHA256)), signature, ...certificates);
  const type = mutate(descend(whole, 1, 0, 0), []);
  const bytes = derElement(contextTag(0, true), derSequence(type, derOctetString(again)));
  return derSequence(derElement(0x0a, Uint8Array.of(0)), bytes);
}

function descend(node: Node, ...path: readonly number[]): Node {
  return path.reduce((at, index) => (at.children as readonly Node[])[index], node);
}

function chain(
  intermediate: Parameters<typeof makeIntermediate>[1],
  root: Parameters<typeof makeRoot>[0],
  leaf: Parameters<typeof makeLeaf>[1],
): Chain {
  const anchor = makeRoot({ ...validity, ...root });
  const issuer = makeIntermediate(anchor, { ...validity, ...intermediate });
  return { root: anchor, intermediate: issuer, leaf: makeLeaf(issuer, { ...validity, names, ...leaf }) };
}

function policyConstraints(): Uint8Array {
  const zero = derElement(contextTag(0, false), Uint8Array.of(0));
  return extension(extensionOids.policyConstraints, true, derSequence(zero));
}

function infoAccess(): Uint8Array {
  const description = derSequence(derOid('1.3.6.1.5.5.7.48.1'), uriName('http://ocsp.example.com/'));
  return extension(extensionOids.authorityInfoAccess, false, derSequence(description));
}
