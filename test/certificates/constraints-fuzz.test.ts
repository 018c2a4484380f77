/** Name constraints at random: no name gets past them here that does not get past OpenSSL's. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { skipUnless } from '../support/tools.ts';
import {
  commonName,
  directoryName,
  dnsName,
  emailName,
  make,
  makeLeaf,
  makeRoot,
  NOW,
  network,
  newKey,
  uriName,
} from './builder.ts';
import { verify } from './checks.ts';
import { OpenSsl } from './openssl.ts';

const CAS = Number(process.env.MAYFLY_FUZZ_RUNS ?? 400) / 10;
const SEED = Number(process.env.MAYFLY_FUZZ_SEED ?? 4210);
const LEAVES = 12;

const host = fc
  .array(fc.constantFrom('a', 'B', 'example', 'com', 'org', 'xa'), { minLength: 1, maxLength: 3 })
  .map((labels) => labels.join('.'));
const address = fc.constantFrom('192.0.2.7', '192.0.3.7', '10.0.0.1', '2001:db8::1', '2001:db9::1');
const anyBase = fc.oneof(
  host.map(dnsName),
  host.map(dnsName),
  fc.tuple(address, fc.constantFrom(0, 8, 24, 31, 32)).map(([base, prefix]) => network(base, prefix)),
  host.map(emailName),
  host.map((name) => emailName(`.${name}`)),
  host.map((name) => emailName(`me@${name}`)),
  host.map(uriName),
  fc.constantFrom('Test leaf', 'test  LEAF', 'Other').map((text) => directoryName(commonName(text))),
);
const anyName = fc.oneof(
  host.map(dnsName),
  host.map((name) => dnsName(`*.${name}`)),
  address,
  host.map((name) => emailName(`me@${name}`)),
  host.map((name) => emailName(`ME@${name.toUpperCase()}`)),
  host.map((name) => uriName(`https://${name}/`)),
  fc.constantFrom('Test leaf', 'Other').map((text) => directoryName(commonName(text))),
);
const list = (base: fc.Arbitrary<Uint8Array>) => fc.array(base, { maxLength: 3 });
const anyCase = fc
  .record({
    permitted: list(anyBase),
    excluded: list(anyBase),
    leaves: fc.array(fc.array(anyName, { minLength: 1, maxLength: 3 }), { minLength: LEAVES, maxLength: LEAVES }),
  })
  .filter(({ permitted, excluded }) => permitted.length + excluded.length > 0);

test('a leaf that name constraints let pass, OpenSSL lets pass as well', skipUnless('openssl'), () => {
  const openssl = new OpenSsl();
  const root = makeRoot();
  const wrong: string[] = [];
  const count = { accepted: 0, refused: 0 };
  for (const { permitted, excluded, leaves } of fc.sample(anyCase, { seed: SEED, numRuns: CAS })) {
    const nameConstraints = {
      ...(permitted.length > 0 && { permitted }),
      ...(excluded.length > 0 && { excluded }),
    };
    const issuer = make({ subject: 'Constrained', ca: true, key: newKey(), issuer: root, nameConstraints });
    const made = leaves.map((names) => makeLeaf(issuer, { names, key: issuer.key }));
    const accepted = made.filter((leaf) => {
      try {
        verify([leaf, issuer], [root], { checkName: false });
        return true;
      } catch {
        return false;
      }
    });
    count.accepted += accepted.length;
    count.refused += made.length - accepted.length;
    const spec = { root: root.der, intermediate: issuer.der, form: 'strict', at: NOW, name: null } as const;
    const refusals =
      accepted.length === 0
        ? []
        : openssl.refusals(
            accepted.map(({ der }) => der),
            spec,
          );
    for (const [i, refusal] of refusals.entries()) {
      if (refusal !== undefined) {
        const text = (ders: readonly (Uint8Array | string)[]) => ders.map((der) => Buffer.from(der).toString('latin1'));
        const names = leaves[made.indexOf(accepted[i])];
        wrong.push(
          `${refusal} ${JSON.stringify({ permitted: text(permitted), excluded: text(excluded), names: text(names) })}`,
        );
      }
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(count.accepted > CAS && count.refused > CAS, JSON.stringify(count));
});
